// The convolutions of conv.h on the CPU in f32 through oneDNN.
//
// On raw memory in conv.h's layouts: images stay (N, H, W, C) from layer to layer, weights are brought into
// the order that oneDNN likes at each call, which costs next to nothing beside the products. Primitives are
// made once for each set of sizes. oneDNN would divide a convolution as there are threads; so it is given
// blocks of images whose number follows from the sizes, each to be done by one thread: results have the same
// bits for any number of threads. Where oneDNN has nothing better than its own plain loops (it calls them
// "ref"), or is missing from the build, these functions return false and have done nothing.
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
