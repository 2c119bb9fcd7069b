// Who does a convolution on the GPU (conv.h). Knows sizes and dtypes; enqueues nothing itself.
#include "tensor/cuda/conv.h"

#include <limits>

namespace elbo::cuda {
namespace {

/// Images of so few channels leave cuDNN's tiles mostly empty, and it copies them to more channels before.
constexpr int64_t kFewChannels = 8;
/// Numbers of columns that are made at a time: 256 MB.
constexpr int64_t kMostColumns = int64_t{1} << 26;

bool suits_columns(const ConvSizes& s, DType dtype) {
  return dtype == DType::f32 && s.channels <= kFewChannels;
}

/// The images of x and y of which neither has more numbers than the library counts to.
int64_t library_batch(const ConvSizes& s) {
  const int64_t image = std::max(s.height * s.width * s.channels, s.out_height * s.out_width * s.filters);
  return std::max<int64_t>(1, std::numeric_limits<int>::max() / image);
}

}  // namespace

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate) {
  if (suits_columns(sizes, y.dtype()))
    return columns::conv_forward(sizes, y, x, weight, accumulate, kMostColumns);
  for_each_part(sizes, library_batch(sizes), x, y,
                [&](const ConvSizes& part, const Tensor& xs, const Tensor& ys) {
                  if (!library::conv_forward(part, ys, xs, weight, accumulate))
                    plain::conv_forward(part, ys, xs, weight, accumulate);
                });
}

void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  if (suits_columns(sizes, dx.dtype()))
    return columns::conv_backward_data(sizes, dx, dy, weight, accumulate, kMostColumns);
  for_each_part(sizes, library_batch(sizes), dx, dy,
                [&](const ConvSizes& part, const Tensor& dxs, const Tensor& dys) {
                  if (!library::conv_backward_data(part, dxs, dys, weight, accumulate))
                    plain::conv_backward_data(part, dxs, dys, weight, accumulate);
                });
}

void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  if (dw.dtype() == DType::f32)
    columns::conv_backward_weight(sizes, dw, x, dy, accumulate, kMostColumns);
  else
    plain::conv_backward_weight(sizes, dw, x, dy, accumulate);
}

}  // namespace elbo::cuda
