// Convolutions as matrix products, on the CPU: all in f64; in f32 those that oneDNN has nothing better for
// than loops, or that the build has no oneDNN for, and the gradient by x of images with few channels, which a
// decoder takes last to give a picture its colours. There oneDNN, which multiplies blocks of 16 channels,
// reaches a quarter of the processor's speed.
//
// "Columns" are a matrix with a row for each place of the kernel: what lies under it there. They are made for
// one image or a few at a time, so that they are multiplied while they are in the cache. Results do not
// depend on the number of threads, as those of gemm do not. Layouts are conv.h's.
#pragma once

#include "tensor/conv.h"

namespace elbo::columns {

/// Whether conv_backward_data is faster than oneDNN's.
bool suit(const ConvSizes& sizes);

/// y = conv(x, weight) (+ y, if `accumulate`).
void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate);

/// dx = gradient by x (+ dx, if `accumulate`).
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate);

/// dw = gradient by weight (+ dw, if `accumulate`).
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate);

}  // namespace elbo::columns
