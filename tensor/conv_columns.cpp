#include "tensor/conv_columns.h"

#include <cstring>

#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace elbo::columns {
namespace {

constexpr int64_t kFewChannels = 8;
constexpr int64_t kColumns = 1 << 20;  // numbers, about, of columns made at a time for the gradient by weight

int64_t places(const ConvSizes& s) { return s.out_height * s.out_width; }
int64_t place_elements(const ConvSizes& s) { return s.kernel_height * s.kernel_width * s.channels; }

/// Calls f(image, columns, count) for each row of the kernel at each of its places: the offsets of `count`
/// numbers that lie side by side in the image (height, width, channels) and in the columns (out_height *
/// out_width, kernel_height * kernel_width * channels), without those that lie in the padding.
template <class F>
void for_each_row(const ConvSizes& s, const F& f) {
  const int64_t row = s.kernel_width * s.channels, place = s.kernel_height * row;
  for (int64_t i = 0; i < s.out_height; ++i)
    for (int64_t r = 0; r < s.kernel_height; ++r) {
      const int64_t h = i * s.stride - s.padding + r;
      if (h < 0 || h >= s.height) continue;
      for (int64_t j = 0; j < s.out_width; ++j) {
        const int64_t w = j * s.stride - s.padding;
        const int64_t first = std::max<int64_t>(0, -w), last = std::min(s.kernel_width, s.width - w);
        if (first < last)
          f((h * s.width + w + first) * s.channels,
            (i * s.out_width + j) * place + r * row + first * s.channels, (last - first) * s.channels);
      }
    }
}

void add_columns(const ConvSizes& s, const Tensor& image, const Tensor& columns) {
  visit_floating(image.dtype(), "conv2d", [&](auto zero) {
    auto* const sums = image.data<decltype(zero)>();
    const auto* const terms = columns.data<decltype(zero)>();
    for_each_row(s, [&](int64_t to, int64_t from, int64_t count) {
#pragma omp simd
      for (int64_t k = 0; k < count; ++k) sums[to + k] += terms[from + k];
    });
  });
}

void take_columns(const ConvSizes& s, const Tensor& columns, const Tensor& image) {
  if (s.padding > 0) columns.fill(0);
  const int64_t size = size_of(image.dtype());
  auto* const target = static_cast<std::byte*>(columns.bytes());
  const auto* const source = static_cast<const std::byte*>(image.bytes());
  for_each_row(s, [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(target + to * size, source + from * size, static_cast<size_t>(count * size));
  });
}

}  // namespace

bool suit(const ConvSizes& s) { return s.channels <= kFewChannels && s.filters > kFewChannels; }

void conv_forward(const ConvSizes& s, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate) {
  const Tensor weights = weight.reshape({s.filters, -1});
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    const Tensor columns = Tensor::empty({places(s), place_elements(s)}, x.dtype());
    for (int64_t n = begin; n < end; ++n) {
      take_columns(s, columns, x.slice(n));
      gemm(y.slice(n).reshape({places(s), s.filters}), columns, Transpose::no, weights, Transpose::yes,
           accumulate);
    }
  });
}

void conv_backward_data(const ConvSizes& s, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  const Tensor weights = weight.reshape({s.filters, -1});
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    const Tensor columns = Tensor::empty({places(s), place_elements(s)}, dy.dtype());
    for (int64_t n = begin; n < end; ++n) {
      gemm(columns, dy.slice(n).reshape({places(s), s.filters}), Transpose::no, weights, Transpose::no);
      if (!accumulate) dx.slice(n).fill(0);
      add_columns(s, dx.slice(n), columns);
    }
  });
}

void conv_backward_weight(const ConvSizes& s, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  const int64_t image = places(s) * place_elements(s), most = std::max<int64_t>(1, kColumns / image);
  const Tensor columns = Tensor::empty({std::min(most, s.batch) * places(s), place_elements(s)}, x.dtype());
  const Tensor rows = dy.reshape({s.batch * places(s), s.filters});
  for (int64_t first = 0; first < s.batch; first += most) {
    const int64_t count = std::min(most, s.batch - first);
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        take_columns(s, columns.slice(n * places(s), (n + 1) * places(s)), x.slice(first + n));
    });
    gemm(dw.reshape({s.filters, -1}), rows.slice(first * places(s), (first + count) * places(s)),
         Transpose::yes, columns.slice(0, count * places(s)), Transpose::no, accumulate || first > 0);
  }
}

}  // namespace elbo::columns
