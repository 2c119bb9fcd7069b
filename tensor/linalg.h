// linalg: traces, and the factorisations that closed-form pPCA needs, from LAPACK, in f64 or f32. The
// factorisations are for matrices on the CPU.
//
//   const Eigen e = symmetric_eigen(s);          // s (D, D) f64: values (D), largest first, vectors (D, D)
//   Tensor l = cholesky(s);                      // s = L L^T
//   Tensor y = solve_triangular(l, b);           // L y = b, b (D, n)
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

/// Eigendecomposition of the symmetric matrix s (D, D), computed in f64; only the lower triangle is read.
/// Throws when s is not square or holds a NaN or infinity.
Eigen symmetric_eigen(const Tensor& s);

/// Of a (D, R) f64: the singular values (min(D, R)), largest first, and the left vectors (D, min(D, R)). The
/// squared values and the vectors are the eigenvalues and eigenvectors of a a^T, which is not formed, as its
/// rounding would lose values that are small beside the largest of a a^T and not beside that of a. Throws for
/// a NaN or infinity.
Eigen left_singular_vectors(const Tensor& a);

/// Lower-triangular L with L L^T = a, for symmetric positive definite a (D, D); only the lower triangle is
/// used. Throws, naming the leading minor that fails, when a is not positive definite, or holds a NaN or
/// infinity.
Tensor cholesky(const Tensor& a);

/// Adds c c^T to l l^T by Householder reflections, without forming either product. l (D, D) is
/// lower-triangular and stays so; signs on its diagonal may change. c (D, n) f64 is overwritten. `triangular`
/// says that c is (D, D) and lower-triangular, which is cheaper. Runs on the calling thread alone.
void add_to_cholesky(const Tensor& l, const Tensor& c, bool triangular = false);

/// Solves L x = b (or L^T x = b) for lower-triangular L (D, D) and b (D, n). Throws when L's diagonal holds a
/// 0.
Tensor solve_triangular(const Tensor& l, const Tensor& b, bool transposed = false);

/// Solves a x = b for symmetric positive definite a (D, D) and b (D, n), through Cholesky.
Tensor solve_positive_definite(const Tensor& a, const Tensor& b);

}  // namespace elbo
