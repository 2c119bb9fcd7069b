// linalg: factorisations multiplied back together.
#include "tensor/linalg.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tensor/gemm.h"
#include "tests/error_of.h"
#include "tests/tensor/operands.h"

namespace elbo {
namespace {

Tensor rough_numbers(const Shape& shape, DType dtype, Engine& engine) {
  const Tensor x = Tensor::empty(shape, DType::f64);
  for (double& value : x.span<double>()) value = std::uniform_real_distribution<double>(-1, 1)(engine);
  return x.to(dtype);
}

/// x x^T + n/4: symmetric, positive definite, well conditioned.
Tensor positive_definite(int64_t n, DType dtype, Engine& engine) {
  const Tensor x = rough_numbers({n, n}, DType::f64, engine);
  const Tensor a = matmul(x, Transpose::no, x, Transpose::yes);
  for (int64_t i = 0; i < n; ++i) a.data<double>()[i * n + i] += static_cast<double>(n) / 4;
  return a.to(dtype);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double difference = std::abs(a.at(i) - b.at(i));
    worst = difference <= worst ? worst : difference;  // a NaN stays
  }
  return worst;
}

Tensor identity(int64_t n, DType dtype) {
  const Tensor x = Tensor::zeros({n, n}, DType::f64);
  for (int64_t i = 0; i < n; ++i) x.data<double>()[i * n + i] = 1;
  return x.to(dtype);
}

/// What f32 and f64 results of well-conditioned problems of a hundred rows agree to.
double tolerance(DType dtype) { return dtype == DType::f32 ? 3e-4 : 1e-12; }

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE(
      "left singular vectors are the eigenvectors of a a^T, and their values the roots of its eigenvalues") {
    Engine engine(4);
    for (const Shape& size : {Shape{1, 1}, {7, 3}, {3, 7}, {6, 6}, {1, 5}, {5, 1}, {80, 20}}) {
      CAPTURE(size.str());
      const int64_t d = size[0], r = size[1];
      const Tensor a = rough_numbers(size, DType::f64, engine);
      const Eigen svd = left_singular_vectors(a);
      REQUIRE(svd.values.shape() == Shape{std::min(d, r)});
      REQUIRE(svd.vectors.shape() == Shape{d, std::min(d, r)});
      CHECK(largest_difference(matmul(svd.vectors, Transpose::yes, svd.vectors, Transpose::no),
                               identity(std::min(d, r), DType::f64)) < 1e-13);
      const Tensor scaled = svd.vectors.clone();
      for (int64_t i = 0; i < scaled.elements(); ++i)
        scaled.data<double>()[i] *= svd.values.at(i % std::min(d, r));
      CHECK(largest_difference(matmul(scaled, Transpose::no, scaled, Transpose::yes),
                               matmul(a, Transpose::no, a, Transpose::yes)) < 1e-12);
      CHECK(std::is_sorted(svd.values.data<double>(), svd.values.data<double>() + svd.values.elements(),
                           std::greater<>()));
    }
    CHECK(mentions(error_of([] {
                     left_singular_vectors(Tensor::full({2, 2}, std::nan(""), DType::f64));
                   }),
                   "[left_singular_vectors] the matrix holds a NaN"));
    CHECK(mentions(error_of([] { left_singular_vectors(Tensor::zeros({2, 2})); }), "needs an f64 matrix"));
  }

  TEST_CASE("a triangular root takes up columns and other triangular roots") {
    Engine engine(5);
    for (int64_t d : {1, 2, 5, 40})
      for (int64_t n : {1, 3, 40, 100}) {
        CAPTURE(d);
        CAPTURE(n);
        const Tensor l = Tensor::zeros({d, d}, DType::f64), other = Tensor::zeros({d, d}, DType::f64);
        const Tensor first = rough_numbers({d, n}, DType::f64, engine),
                     second = rough_numbers({d, n}, DType::f64, engine);
        const Tensor expected = matmul(first, Transpose::no, first, Transpose::yes);
        gemm(expected, second, Transpose::no, second, Transpose::yes, true);
        add_to_cholesky(l, first.clone());
        add_to_cholesky(other, second.clone());
        const Tensor joined = l.clone();
        add_to_cholesky(joined, other, true);
        add_to_cholesky(l, second.clone());
        for (const Tensor& root : {l, joined}) {
          CHECK(largest_difference(matmul(root, Transpose::no, root, Transpose::yes), expected) < 1e-12);
          for (int64_t i = 0; i < d; ++i)
            for (int64_t j = i + 1; j < d; ++j) CHECK(root.at(i * d + j) == 0);
        }
      }
    const Tensor l = Tensor::zeros({3, 3}, DType::f64);
    CHECK(mentions(error_of([&] {
                     add_to_cholesky(l, Tensor::zeros({2, 3}, DType::f64));
                   }),
                   "[add_to_cholesky] f64 (2, 3) cannot be added to f64 (3, 3)"));
  }

  TEST_CASE("eigenvectors are orthonormal, put the matrix together again, and come largest first") {
    Engine engine(1);
    for (DType dtype : {DType::f32, DType::f64})
      for (int64_t n : {0, 1, 2, 5, 64, 100}) {
        CAPTURE(n);
        const Tensor x = rough_numbers({n, n}, DType::f64, engine);
        const Tensor s = Tensor::empty({n, n}, DType::f64);
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < n; ++j) s.data<double>()[i * n + j] = x.at(i * n + j) + x.at(j * n + i);
        const Tensor before = s.to(dtype).clone(), matrix = before.clone();
        const Eigen eigen = symmetric_eigen(matrix);
        CHECK(same_bits(matrix, before));
        CHECK(eigen.values.shape() == Shape{n});
        const Tensor scaled = eigen.vectors.clone();
        visit_floating(dtype, "test", [&](auto zero) {
          using T = decltype(zero);
          for (int64_t i = 0; i < n; ++i)
            for (int64_t j = 0; j < n; ++j) scaled.data<T>()[i * n + j] *= eigen.values.data<T>()[j];
        });
        const Tensor& u = eigen.vectors;
        CHECK(largest_difference(matmul(scaled, Transpose::no, u, Transpose::yes), matrix) <=
              tolerance(dtype));
        CHECK(largest_difference(matmul(u, Transpose::yes, u, Transpose::no), identity(n, dtype)) <=
              tolerance(dtype));
        for (int64_t i = 1; i < n; ++i) CHECK(eigen.values.at(i - 1) >= eigen.values.at(i));
      }
  }

  TEST_CASE("eigenvalues of a known matrix, from its lower triangle alone") {
    // Second differences: 2 - 2 cos(pi j / (n + 1)).
    constexpr int64_t n = 10;
    const Tensor s = Tensor::zeros({n, n}, DType::f64);
    for (int64_t i = 0; i < n; ++i) {
      s.data<double>()[i * n + i] = 2;
      if (i > 0) s.data<double>()[i * n + i - 1] = -1;
      if (i > 0) s.data<double>()[(i - 1) * n + i] = 77;
    }
    for (DType dtype : {DType::f32, DType::f64}) {
      const Tensor values = symmetric_eigen(s.to(dtype)).values;
      for (int64_t j = 0; j < n; ++j) {
        const double exact = 2 - 2 * std::cos(std::acos(-1.0) * static_cast<double>(n - j) / (n + 1));
        CHECK(std::abs(values.at(j) - exact) < (dtype == DType::f32 ? 3e-6 : 1e-14));
      }
    }
  }

  TEST_CASE("the Cholesky factor is lower triangular and multiplies to the matrix") {
    Engine engine(2);
    for (DType dtype : {DType::f32, DType::f64})
      for (int64_t n : {0, 1, 3, 100}) {
        CAPTURE(n);
        const Tensor a = positive_definite(n, dtype, engine), before = a.clone(), l = cholesky(a);
        CHECK(same_bits(a, before));
        CHECK(largest_difference(matmul(l, Transpose::no, l, Transpose::yes), a) <= tolerance(dtype));
        for (int64_t i = 0; i < n; ++i) {
          CHECK(l.at(i * n + i) > 0);
          for (int64_t j = i + 1; j < n; ++j) REQUIRE(l.at(i * n + j) == 0);
        }
      }
  }

  TEST_CASE("solves undo products") {
    Engine engine(3);
    for (DType dtype : {DType::f32, DType::f64})
      for (int64_t n : {0, 1, 4, 100})
        for (int64_t columns : {0, 1, 7}) {
          CAPTURE(n);
          CAPTURE(columns);
          const Tensor a = positive_definite(n, dtype, engine),
                       x = rough_numbers({n, columns}, dtype, engine);
          const Tensor l = cholesky(a);
          const double bound = 10 * tolerance(dtype);
          CHECK(largest_difference(solve_triangular(l, matmul(l, Transpose::no, x, Transpose::no)), x) <=
                bound);
          CHECK(largest_difference(solve_triangular(l, matmul(l, Transpose::yes, x, Transpose::no), true),
                                   x) <= bound);
          CHECK(largest_difference(solve_positive_definite(a, matmul(a, Transpose::no, x, Transpose::no)),
                                   x) <= bound);
        }
  }

  TEST_CASE("matrices that cannot be factorised are refused") {
    const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
    for (double bad : {nan, infinity, -infinity})
      for (int64_t where : {0, 1, 4, 6}) {
        const Tensor a = identity(3, DType::f64);
        a.data<double>()[where] = bad;
        CHECK(error_of([&] { symmetric_eigen(a); }) ==
              "[symmetric_eigen] the matrix holds a NaN or an infinity");
        CHECK(error_of([&] { cholesky(a); }) == "[cholesky] the matrix holds a NaN or an infinity");
      }
    const Tensor indefinite = Tensor::from<double>({3, 3}, {4, 0, 0, 0, -1, 0, 0, 0, 1});
    CHECK(error_of([&] { cholesky(indefinite); }) ==
          "[cholesky] the matrix is not positive definite: leading minor 2 of 3");
    CHECK(mentions(error_of([&] { cholesky(Tensor::zeros({2, 2})); }), "leading minor 1 of 2"));
    CHECK(mentions(error_of([&] {
                     solve_positive_definite(indefinite, Tensor::zeros({3, 1}, DType::f64));
                   }),
                   "not positive definite"));
    const Tensor square = identity(3, DType::f64);
    CHECK(error_of([] {
            symmetric_eigen(Tensor::zeros({2, 3}));
          }) == "[symmetric_eigen] needs a square matrix, got (2, 3)");
    CHECK(mentions(error_of([] { cholesky(Tensor::zeros({4})); }), "[cholesky] needs a square matrix"));
    CHECK(mentions(error_of([] { cholesky(Tensor::zeros({2, 2}, DType::i64)); }), "needs f32 or f64"));
    CHECK(mentions(error_of([&] {
                     solve_triangular(square, Tensor::zeros({2, 1}, DType::f64));
                   }),
                   "the right side must be f64 (3, n), got f64 (2, 1)"));
    CHECK(mentions(error_of([&] { solve_triangular(square, Tensor::zeros({3, 1})); }), "got f32 (3, 1)"));
    CHECK(error_of([&] {
            solve_triangular(Tensor::zeros({2, 2}), Tensor::zeros({2, 1}));
          }) == "[solve_triangular] the diagonal holds a 0 at index 0");
  }
}

}  // namespace elbo
