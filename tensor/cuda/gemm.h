// Matrix products on the GPU, for tensor/gemm.cpp and the linear layer: cuBLASLt with cached plans.
//
// Shapes are checked by the caller (tensor/gemm.h says what they mean). All tensors are on the GPU.
// gemm_cuda.cpp is the real one; gemm_emulated.cpp keeps its promises on the host.
#pragma once

#include "tensor/gemm.h"

namespace elbo::cuda {

/// c = alpha op(a) op(b) + (accumulate ? c : 0), enqueued on the current stream. Leading axes broadcast as in
/// elbo::gemm.
void gemm(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b, bool accumulate,
          double alpha);

/// y = x w^T + bias in one kernel, or relu of that: x (M?, N, in), w (M?, out, in), bias (M?, out), y (M?, N,
/// out). Returns false, with nothing enqueued, when the library has no such kernel for these shapes.
bool gemm_bias(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu);

/// dw = d^T x (+ dw) and db = sum of d over N (never accumulated), in one kernel: d (N, out), x (N, in), dw
/// (out, in), db (out). Returns false, with nothing enqueued, when the library has no such kernel for these
/// shapes, or there are members.
bool gemm_bias_gradient(const Tensor& dw, const Tensor& db, const Tensor& d, const Tensor& x,
                        bool accumulate);

/// "cuBLAS 13.1.0", for provenance.
const char* blas_name();

}  // namespace elbo::cuda
