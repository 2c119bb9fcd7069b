// gemm: matrix products, the one place that calls BLAS.
//
// Row-major, with transposes as flags and leading axes as a batch. BLAS runs single-threaded inside our own
// parallel region, each thread computing a block of the result: right with every BLAS build, and no second
// thread runtime competes for the cores.
#pragma once

#include "tensor/tensor.h"

namespace elbo {

enum class Op { none, transpose };

/// c = alpha op(a) op(b) + (accumulate ? c : 0), all f32 or all f64.
///
/// The last two axes are the matrices: op(a) (..., m, k), op(b) (..., k, n), c (..., m, n). Leading axes of a
/// and b broadcast to c's. Throws when inner sizes or leading axes disagree. c must not overlap a or b.
void gemm(const Tensor& c, const Tensor& a, Op op_a, const Tensor& b, Op op_b, bool accumulate = false,
          double alpha = 1.0);

/// The shape of op(a) op(b), or an error that names both shapes and says which product would fit.
Shape gemm_shape(const Tensor& a, Op op_a, const Tensor& b, Op op_b);

/// The new tensor op(a) op(b).
Tensor matmul(const Tensor& a, Op op_a, const Tensor& b, Op op_b);

/// Keeps BLAS from starting threads of its own; everything here and in linalg calls it first.
void use_one_blas_thread();

/// What BLAS this is, for provenance: "OpenBLAS 0.3.21 ... SkylakeX", or "BLAS".
const char* blas_name();

}  // namespace elbo
