#include "tensor/conv_columns.h"

#include <cstring>

#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace elbo::columns {
namespace {

constexpr int64_t kFewChannels = 8;
constexpr int64_t kColumns =
    1 << 20;  // numbers of columns, about, that are made at a time for the gradient by weight

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

void add_columns(const ConvSizes& s, float* image, const float* columns) {
  for_each_row(s, [&](int64_t to, int64_t from, int64_t count) {
#pragma omp simd
    for (int64_t k = 0; k < count; ++k) image[to + k] += columns[from + k];
  });
}

void take_columns(const ConvSizes& s, float* columns, const float* image) {
  if (s.padding > 0)
    std::memset(columns, 0, static_cast<size_t>(places(s) * place_elements(s)) * sizeof(float));
  for_each_row(s, [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(columns + to, image + from, static_cast<size_t>(count) * sizeof(float));
  });
}

}  // namespace

bool suit(const ConvSizes& s) { return s.channels <= kFewChannels && s.filters > kFewChannels; }

void conv_forward(const ConvSizes& s, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate) {
  const Tensor weights = weight.reshape({s.filters, -1});
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    const Tensor columns = Tensor::empty({places(s), place_elements(s)});
    for (int64_t n = begin; n < end; ++n) {
      take_columns(s, columns.data<float>(), x.slice(n).data<float>());
      gemm(y.slice(n).reshape({places(s), s.filters}), columns, Transpose::no, weights, Transpose::yes,
           accumulate);
    }
  });
}

void conv_backward_data(const ConvSizes& s, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  const Tensor weights = weight.reshape({s.filters, -1});
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    const Tensor columns = Tensor::empty({places(s), place_elements(s)});
    for (int64_t n = begin; n < end; ++n) {
      gemm(columns, dy.slice(n).reshape({places(s), s.filters}), Transpose::no, weights, Transpose::no);
      if (!accumulate) dx.slice(n).fill(0);
      add_columns(s, dx.slice(n).data<float>(), columns.data<float>());
    }
  });
}

void conv_backward_weight(const ConvSizes& s, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  const int64_t image = places(s) * place_elements(s), most = std::max<int64_t>(1, kColumns / image);
  const Tensor columns = Tensor::empty({std::min(most, s.batch) * places(s), place_elements(s)});
  const Tensor rows = dy.reshape({s.batch * places(s), s.filters});
  for (int64_t first = 0; first < s.batch; first += most) {
    const int64_t count = std::min(most, s.batch - first);
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        take_columns(s, columns.data<float>() + n * image, x.slice(first + n).data<float>());
    });
    gemm(dw.reshape({s.filters, -1}), rows.slice(first * places(s), (first + count) * places(s)),
         Transpose::yes, columns.slice(0, count * places(s)), Transpose::no, accumulate || first > 0);
  }
}

}  // namespace elbo::columns
