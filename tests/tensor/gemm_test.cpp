// gemm: every transpose, batch and broadcast against three nested loops in double.
#include "tensor/gemm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/error_of.h"
#include "tests/tensor/naive.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

constexpr Op kOps[] = {Op::none, Op::transpose};

/// alpha op(a) op(b) + beta c, one element at a time.
std::vector<double> naive_gemm(const Tensor& c, const Tensor& a, Op op_a, const Tensor& b, Op op_b,
                               double beta, double alpha) {
  const int64_t m = c.size(-2), n = c.size(-1), k = a.size(op_a == Op::none ? -1 : -2);
  const Shape batch = c.shape().drop_back(2);
  const std::vector<double> as = a.to_vector(), bs = b.to_vector();
  std::vector<double> result = c.to_vector();
  for (int64_t which = 0; which < batch.elements(); ++which) {
    const int64_t from_a = naive_offset(a.shape().drop_back(2), batch, which) * m * k;
    const int64_t from_b = naive_offset(b.shape().drop_back(2), batch, which) * k * n;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += as[static_cast<size_t>(from_a + (op_a == Op::none ? i * k + l : l * m + i))] *
                 bs[static_cast<size_t>(from_b + (op_b == Op::none ? l * n + j : j * k + l))];
        double& out = result[static_cast<size_t>((which * m + i) * n + j)];
        out = alpha * sum + (beta == 0 ? 0 : beta * out);  // a NaN in c must not survive beta = 0
      }
  }
  return result;
}

Shape matrix_shape(const Shape& batch, Op op, int64_t rows, int64_t columns) {
  return batch.concatenated(op == Op::none ? Shape{rows, columns} : Shape{columns, rows});
}

/// Checks one product in all ways; whole numbers make it exact in f32 and f64.
void check(Engine& engine, const Shape& batch_a, const Shape& batch_b, int64_t m, int64_t n, int64_t k) {
  const Shape batch = broadcast(batch_a, batch_b, "test");
  for (Op op_a : kOps)
    for (Op op_b : kOps)
      for (DType dtype : {DType::f32, DType::f64}) {
        const Tensor a = small_numbers(matrix_shape(batch_a, op_a, m, k), dtype, engine);
        const Tensor b = small_numbers(matrix_shape(batch_b, op_b, k, n), dtype, engine);
        const Tensor c = small_numbers(batch.concatenated({m, n}), dtype, engine);
        CAPTURE(a.shape().str());
        CAPTURE(b.shape().str());
        CAPTURE(c.shape().str());
        CHECK(matmul(a, op_a, b, op_b).to_vector() == naive_gemm(c, a, op_a, b, op_b, 0, 1));
        const std::vector<double> onto = naive_gemm(c, a, op_a, b, op_b, 1, -0.5);
        gemm(c, a, op_a, b, op_b, true, -0.5);
        CHECK(c.to_vector() == onto);
        c.fill(std::nan(""));
        gemm(c, a, op_a, b, op_b, false, 2);
        CHECK(c.to_vector() == naive_gemm(c, a, op_a, b, op_b, 0, 2));
      }
}

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("gemm agrees with three loops for every transpose, accumulation and scale") {
    Engine engine(1);
    for (int count : {1, 3}) {
      const ThreadCount scope(count);
      check(engine, {}, {}, 1, 1, 1);
      check(engine, {}, {}, 7, 1, 5);
      check(engine, {}, {}, 1, 9, 3);
      check(engine, {}, {}, 33, 17, 65);
      // Wide and tall enough to be cut between threads, in uneven pieces.
      check(engine, {}, {}, 61, 203, 67);
      check(engine, {}, {}, 203, 61, 67);
    }
  }

  TEST_CASE("leading axes are a batch, and broadcast") {
    Engine engine(2);
    for (int count : {1, 3}) {
      const ThreadCount scope(count);
      check(engine, {4}, {4}, 5, 3, 2);
      check(engine, {4}, {}, 5, 3, 2);
      check(engine, {}, {4}, 5, 3, 2);
      check(engine, {3, 1}, {2}, 4, 3, 5);
      check(engine, {2, 1, 3}, {1, 2, 1}, 2, 2, 2);
      check(engine, {1}, {1, 1}, 2, 3, 4);
      check(engine, {2}, {2}, 130, 140, 60);  // fewer products than threads, each cut
    }
  }

  TEST_CASE("sizes of zero give zeros or nothing") {
    Engine engine(3);
    check(engine, {}, {}, 3, 2, 0);
    check(engine, {}, {}, 0, 2, 3);
    check(engine, {}, {}, 3, 0, 2);
    check(engine, {}, {}, 0, 0, 0);
    check(engine, {0}, {1}, 2, 2, 2);
    check(engine, {2}, {2}, 2, 3, 0);
  }

  TEST_CASE("gemm reads and writes only its own matrices") {
    Engine engine(4);
    const Tensor arena = Tensor::full({500}, 7);
    const Tensor a = small_numbers({5, 6}, DType::f32, engine), b = small_numbers({6, 7}, DType::f32, engine);
    gemm(arena.view_at(101, {5, 7}), a, Op::none, b, Op::none);
    CHECK(arena.view_at(101, {5, 7}).to_vector() == matmul(a, Op::none, b, Op::none).to_vector());
    for (int64_t i = 0; i < 500; ++i)
      if (i < 101 || i >= 136) REQUIRE(arena.at(i) == 7);
  }

  TEST_CASE("a large product is as precise as its element type, with any number of threads") {
    Engine engine(5);
    const auto rough = [&](const Shape& shape) {
      const Tensor x = Tensor::empty(shape, DType::f64);
      for (double& value : x.span<double>()) value = std::uniform_real_distribution<double>(-1, 1)(engine);
      return x;
    };
    const Tensor a = rough({150, 400}), b = rough({170, 400}), c = Tensor::empty({150, 170}, DType::f64);
    const std::vector<double> exact = naive_gemm(c, a, Op::none, b, Op::transpose, 0, 1);
    for (int count : {1, 2, 5}) {
      const ThreadCount scope(count);
      const Tensor f64 = matmul(a, Op::none, b, Op::transpose);
      const Tensor f32 = matmul(a.to(DType::f32), Op::none, b.to(DType::f32), Op::transpose);
      double worst64 = 0, worst32 = 0;
      for (size_t i = 0; i < exact.size(); ++i) {
        worst64 = std::max(worst64, std::abs(f64.at(static_cast<int64_t>(i)) - exact[i]));
        worst32 = std::max(worst32, std::abs(f32.at(static_cast<int64_t>(i)) - exact[i]));
      }
      CHECK(worst64 < 1e-13);
      CHECK(worst32 < 2e-5);
      CHECK(worst32 > 1e-7);  // it is f32 arithmetic
    }
  }

  TEST_CASE("products that do not fit are refused with both shapes and a way out") {
    const Tensor a = Tensor::zeros({128, 784}), b = Tensor::zeros({512, 784}), none = Tensor::zeros({3});
    CHECK(error_of([&] { matmul(a, Op::none, b, Op::none); }) ==
          "[matmul] inner sizes differ: a (128, 784), b (512, 784); did you mean matmul_nt?");
    CHECK(error_of([&] {
            matmul(a, Op::none, b.reshape({784, 512}), Op::transpose);
          }) == "[matmul_nt] inner sizes differ: a (128, 784), b (784, 512); did you mean matmul?");
    CHECK(mentions(error_of([&] {
                     matmul(a.reshape({784, 128}), Op::none, b.reshape({784, 512}), Op::none);
                   }),
                   "did you mean matmul_tn?"));
    CHECK(mentions(error_of([&] {
                     matmul(a.reshape({784, 128}), Op::none, b, Op::none);
                   }),
                   "did you mean matmul_tt?"));
    CHECK(error_of([&] {
            matmul(a, Op::transpose, Tensor::zeros({5, 6}), Op::none);
          }) == "[matmul_tn] inner sizes differ: a (128, 784), b (5, 6)");
    CHECK(mentions(error_of([&] { matmul(a, Op::none, none, Op::none); }),
                   "needs matrices: a (128, 784), b (3,)"));
    CHECK(mentions(error_of([&] { matmul(a, Op::none, b.to(DType::f64), Op::transpose); }),
                   "a is f32 and b is f64"));
    CHECK(mentions(error_of([&] {
                     matmul(Tensor::zeros({2, 3, 4}), Op::none, Tensor::zeros({3, 4, 5}), Op::none);
                   }),
                   "[matmul] shapes do not broadcast: (2,) and (3,)"));
    CHECK(error_of([&] {
            gemm(Tensor::zeros({5, 5}), a, Op::none, b, Op::transpose);
          }) == "[gemm] the product is f32 (128, 512), the result given is f32 (5, 5)");
    CHECK(mentions(error_of([&] {
                     gemm(Tensor::zeros({128, 512}, DType::f64), a, Op::none, b, Op::transpose);
                   }),
                   "the result given is f64"));
    CHECK(mentions(error_of([&] { matmul(a.to(DType::u8), Op::none, b.to(DType::u8), Op::transpose); }),
                   "[gemm] needs f32 or f64"));
  }

  TEST_CASE("the BLAS in use has a name") { CHECK(std::string(blas_name()).size() >= 4); }
}

}  // namespace elbo
