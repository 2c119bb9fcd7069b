// linalg: traces, and the two factorisations that closed-form pPCA needs, from LAPACK, in f64 or f32. The
// factorisations are for matrices on the CPU.
#pragma once

#include "tensor/tensor.h"

namespace elbo {

/// The sums of the diagonals of x (..., n, n), of shape (...), and the identity (n, n).
Tensor trace(const Tensor& x);
Tensor identity_matrix(int64_t n, DType dtype, Device device = Device::cpu);

struct Eigen {
  Tensor values;   ///< (D), largest first
  Tensor vectors;  ///< (D, D), column j belongs to values[j]; unit length
};

/// Eigendecomposition of the symmetric matrix s (D, D); only the lower triangle is read.
/// Throws when s is not square or holds a NaN or infinity.
Eigen symmetric_eigen(const Tensor& s);

/// Lower-triangular L with L L^T = a, for symmetric positive definite a (D, D); only the lower triangle is
/// used. Throws, naming the leading minor that fails, when a is not positive definite, or holds a NaN or
/// infinity.
Tensor cholesky(const Tensor& a);

/// Solves L x = b (or L^T x = b) for lower-triangular L (D, D) and b (D, n). Throws when L's diagonal holds a
/// 0.
Tensor solve_triangular(const Tensor& l, const Tensor& b, bool transposed = false);

/// Solves a x = b for symmetric positive definite a (D, D) and b (D, n), through Cholesky.
Tensor solve_positive_definite(const Tensor& a, const Tensor& b);

}  // namespace elbo
