#include "tensor/linalg.h"

#include <cblas.h>
#include <lapacke.h>

#include <cmath>

#include "tensor/blas.h"
#include "tensor/cuda/kernels.h"

namespace elbo {
namespace {

int64_t square_size(const Tensor& a, const char* where) {
  if (a.rank() != 2 || a.size(0) != a.size(1))
    fail("[{}] needs a square matrix, got {}", where, a.shape().str());
  if (a.size(0) > std::numeric_limits<int>::max())
    fail("[{}] LAPACK takes sizes up to 2^31 - 1, got {}", where, a.shape().str());
  use_one_blas_thread();
  return a.size(0);
}

template <class T>
void check_finite(const Tensor& a, const char* where) {
  for (T value : a.span<T>())
    if (!std::isfinite(value)) fail("[{}] the matrix holds a NaN or an infinity", where);
}

int potrf(int n, float* a) { return LAPACKE_spotrf(LAPACK_ROW_MAJOR, 'L', n, a, n); }
int potrf(int n, double* a) { return LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', n, a, n); }

void trsm(CBLAS_TRANSPOSE op, int n, int columns, const float* l, float* x) {
  cblas_strsm(CblasRowMajor, CblasLeft, CblasLower, op, CblasNonUnit, n, columns, 1.0f, l, n, x, columns);
}
void trsm(CBLAS_TRANSPOSE op, int n, int columns, const double* l, double* x) {
  cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, op, CblasNonUnit, n, columns, 1.0, l, n, x, columns);
}

}  // namespace

Tensor trace(const Tensor& x) {
  if (x.rank() < 2 || x.size(-1) != x.size(-2))
    fail("[trace] needs square matrices, got {}", x.shape().str());
  const int64_t n = x.size(-1);
  Tensor result = Tensor::empty(x.shape().drop_back(2), x.dtype(), x.device());
  if (x.device() == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::trace(result.bytes(), x.bytes(), x.dtype(), result.elements(), n);
    return result;
  }
  visit_floating(x.dtype(), "trace", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t m = 0; m < result.elements(); ++m) {
      double total = 0;
      for (int64_t i = 0; i < n; ++i) total += static_cast<double>(x.data<T>()[(m * n + i) * n + i]);
      result.data<T>()[m] = static_cast<T>(total);
    }
  });
  return result;
}

Tensor identity_matrix(int64_t n, DType dtype, Device device) {
  Tensor result = Tensor::zeros({n, n}, dtype, device);
  if (device == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::identity_matrix(result.bytes(), dtype, n);
    return result;
  }
  visit_floating(dtype, "identity_matrix", [&](auto zero) {
    for (int64_t i = 0; i < n; ++i) result.data<decltype(zero)>()[i * n + i] = 1;
  });
  return result;
}

Eigen symmetric_eigen(const Tensor& s) {
  const int64_t n = square_size(s, "symmetric_eigen");
  visit_floating(s.dtype(), "symmetric_eigen",
                 [&](auto zero) { check_finite<decltype(zero)>(s, "symmetric_eigen"); });
  // Also of f32: the ssymv that OpenBLAS has for processors it does not know reads beyond a matrix's end.
  const Tensor ascending = s.dtype() == DType::f64 ? s.clone() : s.to(DType::f64);
  const Eigen result{Tensor::empty({n}, DType::f64), Tensor::empty({n, n}, DType::f64)};
  const int info = LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'L', static_cast<int>(n), ascending.data<double>(),
                                  static_cast<int>(n), result.values.data<double>());
  if (info != 0) fail("[symmetric_eigen] LAPACK's syevd did not converge (info {})", info);
  std::reverse(result.values.data<double>(), result.values.data<double>() + n);
  const double* from = ascending.data<double>();
  double* to = result.vectors.data<double>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) to[i * n + j] = from[i * n + (n - 1 - j)];
  return {result.values.to(s.dtype()), result.vectors.to(s.dtype())};
}

Eigen left_singular_vectors(const Tensor& a) {
  if (a.rank() != 2 || a.dtype() != DType::f64 || a.elements() == 0)
    fail("[left_singular_vectors] needs an f64 matrix, got {} {}", name(a.dtype()), a.shape().str());
  check_finite<double>(a, "left_singular_vectors");
  use_one_blas_thread();
  // What is a (D, R) by rows is its transpose (R, D) by columns, as LAPACK has it; its right vectors are
  // ours.
  const auto d = static_cast<int>(a.size(0)), r = static_cast<int>(a.size(1)), least = std::min(d, r);
  const Tensor spent = a.clone(), other = Tensor::empty({least, r}, DType::f64);
  Eigen result{Tensor::empty({least}, DType::f64), Tensor::empty({d, least}, DType::f64)};
  const int info =
      LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', r, d, spent.data<double>(), r, result.values.data<double>(),
                     other.data<double>(), r, result.vectors.data<double>(), least);
  if (info != 0) fail("[left_singular_vectors] LAPACK's gesdd did not converge (info {})", info);
  return result;
}

void add_to_cholesky(const Tensor& l, const Tensor& c, bool triangular) {
  const auto d = static_cast<int>(square_size(l, "add_to_cholesky")), n = static_cast<int>(c.size(-1));
  if (c.rank() != 2 || c.size(0) != d || (triangular && n != d) || c.dtype() != DType::f64 ||
      l.dtype() != DType::f64)
    fail("[add_to_cholesky] {} {} cannot be added to {} {}", name(c.dtype()), c.shape().str(),
         name(l.dtype()), l.shape().str());
  if (c.elements() == 0) return;
  // By columns, l is the upper triangle R of a QR factorisation, and c rows below it.
  constexpr int kTogether = 32;  // reflections applied at once
  const int together = std::min(kTogether, d);
  const Tensor reflections = Tensor::empty({d, together}, DType::f64);
  const int info = LAPACKE_dtpqrt(LAPACK_COL_MAJOR, n, d, triangular ? d : 0, together, l.data<double>(), d,
                                  c.data<double>(), n, reflections.data<double>(), together);
  if (info != 0) fail("[add_to_cholesky] LAPACK's tpqrt ended with info {}", info);
}

Tensor cholesky(const Tensor& a) {
  const int64_t n = square_size(a, "cholesky");
  return visit_floating(a.dtype(), "cholesky", [&](auto zero) {
    using T = decltype(zero);
    check_finite<T>(a, "cholesky");
    Tensor l = a.clone();
    const int info = potrf(static_cast<int>(n), l.data<T>());
    if (info > 0) fail("[cholesky] the matrix is not positive definite: leading minor {} of {}", info, n);
    if (info < 0) fail("[cholesky] LAPACK's potrf rejected argument {}", -info);
    T* data = l.data<T>();
    for (int64_t i = 0; i < n; ++i) std::fill(data + i * n + i + 1, data + (i + 1) * n, T(0));
    return l;
  });
}

Tensor solve_triangular(const Tensor& l, const Tensor& b, bool transposed) {
  const int64_t n = square_size(l, "solve_triangular");
  if (b.rank() != 2 || b.size(0) != n || b.dtype() != l.dtype())
    fail("[solve_triangular] the right side must be {} ({}, n), got {} {}", name(l.dtype()), n,
         name(b.dtype()), b.shape().str());
  return visit_floating(l.dtype(), "solve_triangular", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i)
      if (l.data<T>()[i * n + i] == T(0)) fail("[solve_triangular] the diagonal holds a 0 at index {}", i);
    Tensor x = b.clone();
    if (x.elements() == 0) return x;
    trsm(transposed ? CblasTrans : CblasNoTrans, static_cast<int>(n), static_cast<int>(b.size(1)),
         l.data<T>(), x.data<T>());
    return x;
  });
}

Tensor solve_positive_definite(const Tensor& a, const Tensor& b) {
  const Tensor l = cholesky(a);
  return solve_triangular(l, solve_triangular(l, b), true);
}

}  // namespace elbo
