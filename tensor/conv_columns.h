// The gradient by x of a convolution whose images have few channels, f32 on the CPU: what a decoder does
// last, to give a picture its colours.
//
// oneDNN multiplies blocks of 16 channels, and for three of them reaches a quarter of the processor's speed.
// Here gemm makes, an image at a time, the matrix whose rows are what each place of the kernel adds to the
// image, and these are added up while they are in the cache.
#pragma once

#include "tensor/conv.h"

namespace elbo::columns {

/// Whether conv_backward_data is faster than oneDNN's.
bool suit(const ConvSizes& sizes);

/// dx = gradient by x, in conv.h's layouts.
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight);

}  // namespace elbo::columns
