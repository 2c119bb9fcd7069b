// Convolutions on the GPU, for tensor/conv.cpp: cuDNN, with the algorithm of each chosen once.
//
// Shapes are checked by the caller (tensor/conv.h says what they mean). All tensors are on the GPU, packed,
// of one dtype, f32 or f64, and have elements; work is enqueued on the current stream. conv_cuda.cpp is the
// real one; conv_emulated.cpp keeps its promises on the host.
//
// f32 products are as precise as `matmul_precision` says; bf16 is tf32 here, as cuDNN would convert to fp16,
// whose range gradients leave. The first call with new sizes, outside of a captured graph, times the
// algorithms and waits for the GPU; with `deterministic_convolutions`, and within a capture that has come
// first, cuDNN's heuristic decides.
#pragma once

#include "tensor/conv.h"

namespace elbo::cuda {

/// y = conv(x, weight) (+ bias (filters,), if defined) (+ y, if `accumulate`; not both).
void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  const Tensor& bias, bool accumulate);

/// dx = gradient by x (+ dx, if `accumulate`).
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate);

/// dw = gradient by weight (+ dw, if `accumulate`).
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate);

/// "cuDNN 9.19.0", for provenance.
const char* cudnn_name();

}  // namespace elbo::cuda
