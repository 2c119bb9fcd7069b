// Convolutions on the GPU, for tensor/conv.cpp: cuDNN in f32, and plain kernels for f64, which is for checks,
// and for what cuDNN refuses.
//
// Shapes are checked by the caller (tensor/conv.h says what they mean). All tensors are on the GPU, packed,
// of one dtype, f32 or f64, and have elements; work is enqueued on the current stream. conv_cuda.cpp is the
// real one; conv_emulated.cpp has the plain kernels alone.
//
// f32 products are as precise as `matmul_precision` says; bf16 is tf32 here, as cuDNN would convert to fp16,
// whose range gradients leave. The algorithm is chosen by cuDNN's heuristic and not by timing: the same bits
// every time, run after run.
#pragma once

#include "tensor/conv.h"

namespace elbo::cuda {

/// y = conv(x, weight) (+ y, if `accumulate`).
void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate);

/// dx = gradient by x (+ dx, if `accumulate`).
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate);

/// dw = gradient by weight (+ dw, if `accumulate`).
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate);

/// "cuDNN 9.19.0", for provenance.
const char* cudnn_name();

/// The same as the loops of conv_reference.h, with a thread for each number of the result, summed in double.
namespace plain {
void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate);
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate);
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate);
}  // namespace plain

}  // namespace elbo::cuda
