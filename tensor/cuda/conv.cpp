// Who does a convolution on the GPU (conv.h). Knows sizes and dtypes; enqueues nothing itself.
#include "tensor/cuda/conv.h"

#include <limits>

namespace elbo::cuda {
namespace {

/// Images of so few channels leave cuDNN's tiles mostly empty, and it copies them to more channels before.
constexpr int64_t kFewChannels = 8;
/// Numbers of columns that are made at a time: 256 MB in f32.
constexpr int64_t kMostColumns = int64_t{1} << 26;

/// How many images fit into x and into y if neither may have more numbers than the library counts to.
int64_t library_batch(const ConvSizes& s) {
  const int64_t image = std::max(s.height * s.width * s.channels, s.out_height * s.out_width * s.filters);
  return std::max<int64_t>(1, std::numeric_limits<int>::max() / image);
}

using ByColumns = void(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool, int64_t);
using ByLibrary = bool(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool);

/// Images from images, in one direction or the other.
void convolve(const ConvSizes& sizes, const Tensor& to, const Tensor& from, const Tensor& weight,
              bool accumulate, ByColumns& by_columns, ByLibrary& by_library) {
  for_each_part(
      sizes, library_batch(sizes), to, from,
      [&](const ConvSizes& part, const Tensor& some_to, const Tensor& some_from) {
        if (sizes.channels <= kFewChannels || !by_library(part, some_to, some_from, weight, accumulate))
          by_columns(part, some_to, some_from, weight, accumulate, kMostColumns);
      });
}

}  // namespace

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate) {
  convolve(sizes, y, x, weight, accumulate, columns::conv_forward, library::conv_forward);
}

void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  convolve(sizes, dx, dy, weight, accumulate, columns::conv_backward_data, library::conv_backward_data);
}

void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  columns::conv_backward_weight(sizes, dw, x, dy, accumulate, kMostColumns);
}

}  // namespace elbo::cuda
