// The convolutions of conv.h on the CPU in f32 through oneDNN.
//
// Memory is raw, in conv.h's layouts. Images stay (N, H, W, C) from layer to layer; each call reorders the
// weights for oneDNN, which costs little beside the products. Primitives are made once for each set of sizes.
// oneDNN would divide a convolution by the number of threads, so it gets blocks of images whose number
// follows from the sizes, and one thread does each: the bits are the same for any number of threads. Where
// oneDNN has only simple loops (it calls them "ref"), or the build has no oneDNN, these functions do nothing
// and return false.
#pragma once

#include <string>

#include "tensor/conv.h"

namespace elbo::onednn {

/// y = conv(x, weight).
bool conv_forward(const ConvSizes& sizes, float* y, const float* x, const float* weight);

/// dx = gradient by x.
bool conv_backward_data(const ConvSizes& sizes, float* dx, const float* dy, const float* weight);

/// dw = gradient by weight.
bool conv_backward_weight(const ConvSizes& sizes, float* dw, const float* x, const float* dy);

/// "oneDNN 2.6.3", or that there is none, for provenance.
const std::string& library_name();

}  // namespace elbo::onednn
