#include "tensor/conv_columns.h"

#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace elbo::columns {
namespace {

constexpr int64_t kFewChannels = 8;

/// Adds up what the kernel gives at all its places: columns (out_height * out_width, kernel_height *
/// kernel_width
/// * channels) to image (height, width, channels). Of one place a kernel's row lies side by side in both.
void add_columns(const ConvSizes& s, float* image, const float* columns) {
  const int64_t row = s.kernel_width * s.channels, place = s.kernel_height * row;
  for (int64_t i = 0; i < s.out_height; ++i)
    for (int64_t r = 0; r < s.kernel_height; ++r) {
      const int64_t h = i * s.stride - s.padding + r;
      if (h < 0 || h >= s.height) continue;
      for (int64_t j = 0; j < s.out_width; ++j) {
        const int64_t w = j * s.stride - s.padding;  // the rest of the row may lie in the padding
        const int64_t first = std::max<int64_t>(0, -w), last = std::min(s.kernel_width, s.width - w);
        const float* const from = columns + (i * s.out_width + j) * place + r * row;
        float* const to = image + (h * s.width + w) * s.channels;
#pragma omp simd
        for (int64_t k = first * s.channels; k < last * s.channels; ++k) to[k] += from[k];
      }
    }
}

}  // namespace

bool suit(const ConvSizes& s) { return s.channels <= kFewChannels && s.filters > kFewChannels; }

void conv_backward_data(const ConvSizes& s, const Tensor& dx, const Tensor& dy, const Tensor& weight) {
  const int64_t places = s.out_height * s.out_width;
  const Tensor weights = weight.reshape({s.filters, -1});
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    const Tensor columns = Tensor::empty({places, weights.size(1)});
    for (int64_t n = begin; n < end; ++n) {
      gemm(columns, dy.slice(n).reshape({places, s.filters}), Op::none, weights, Op::none);
      dx.slice(n).fill(0);
      add_columns(s, dx.slice(n).data<float>(), columns.data<float>());
    }
  });
}

}  // namespace elbo::columns
