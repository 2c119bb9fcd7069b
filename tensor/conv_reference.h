// The convolutions of conv.h as plain loops, one line for each line of their definition: what faster
// implementations are tested against, and what runs in f64.
//
// On raw CPU memory, f32 or f64. Sums are taken in double, each by one thread in one order, so that results
// do not depend on the number of threads.
#pragma once

#include "tensor/conv.h"
#include "tensor/math.h"

namespace elbo::reference {

/// y = conv(x, weight) (+ y, if `accumulate`).
template <class T>
void conv_forward(const ConvSizes& sizes, T* y, const T* x, const T* weight, bool accumulate);

/// dx = gradient by x (+ dx, if `accumulate`).
template <class T>
void conv_backward_data(const ConvSizes& sizes, T* dx, const T* dy, const T* weight, bool accumulate);

/// dw = gradient by weight (+ dw, if `accumulate`).
template <class T>
void conv_backward_weight(const ConvSizes& sizes, T* dw, const T* x, const T* dy, bool accumulate);

// Where things lie, for these loops and for the kernels that are like them.

/// The pixel of x under row (or column) `tap` of the kernel, for pixel `out` of y; it may lie in the padding.
ELBO_HD int64_t under(const ConvSizes& s, int64_t out, int64_t tap) {
  return out * s.stride - s.padding + tap;
}

/// The pixel of y, of `count`, for which pixel `in` of x lies under `tap`; -1 if there is none.
ELBO_HD int64_t above(const ConvSizes& s, int64_t in, int64_t tap, int64_t count) {
  const int64_t strides = in + s.padding - tap;
  if (strides < 0 || strides % s.stride != 0 || strides / s.stride >= count) return -1;
  return strides / s.stride;
}

ELBO_HD bool is_inside(int64_t pixel, int64_t count) { return pixel >= 0 && pixel < count; }

/// Where pixel (row, column) of image `n` begins, in images of this height, width and depth.
ELBO_HD int64_t pixel(int64_t n, int64_t row, int64_t column, int64_t height, int64_t width, int64_t depth) {
  return ((n * height + row) * width + column) * depth;
}

}  // namespace elbo::reference
