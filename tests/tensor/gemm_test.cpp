// gemm: every transpose, batch and broadcast against three nested loops in double.
#include "tensor/gemm.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include "tensor/gemm_kernel.h"
#include "tests/error_of.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

constexpr Transpose kOps[] = {Transpose::no, Transpose::yes};

/// alpha op(a) op(b) + beta c, one element at a time.
std::vector<double> gemm_twin(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b,
                              Transpose op_b, double beta, double alpha) {
  const int64_t m = c.size(-2), n = c.size(-1), k = a.size(op_a == Transpose::no ? -1 : -2);
  const Shape batch = c.shape().drop_back(2);
  const std::vector<double> as = a.to_vector(), bs = b.to_vector();
  std::vector<double> result = c.to_vector();
  for (int64_t which = 0; which < batch.elements(); ++which) {
    const int64_t from_a = offset_twin(a.shape().drop_back(2), batch, which) * m * k;
    const int64_t from_b = offset_twin(b.shape().drop_back(2), batch, which) * k * n;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += as[static_cast<size_t>(from_a + (op_a == Transpose::no ? i * k + l : l * m + i))] *
                 bs[static_cast<size_t>(from_b + (op_b == Transpose::no ? l * n + j : j * k + l))];
        double& out = result[static_cast<size_t>((which * m + i) * n + j)];
        out = alpha * sum + (beta == 0 ? 0 : beta * out);  // a NaN in c must not survive beta = 0
      }
  }
  return result;
}

Shape matrix_shape(const Shape& batch, Transpose op, int64_t rows, int64_t columns) {
  return batch.concatenated(op == Transpose::no ? Shape{rows, columns} : Shape{columns, rows});
}

/// Checks one product in all ways; whole numbers make it exact in f32 and f64.
void check(Engine& engine, const Shape& batch_a, const Shape& batch_b, int64_t m, int64_t n, int64_t k) {
  const Shape batch = broadcast(batch_a, batch_b, "test");
  for (Transpose op_a : kOps)
    for (Transpose op_b : kOps)
      for (DType dtype : {DType::f32, DType::f64}) {
        const Tensor a = small_numbers(matrix_shape(batch_a, op_a, m, k), dtype, engine);
        const Tensor b = small_numbers(matrix_shape(batch_b, op_b, k, n), dtype, engine);
        const Tensor c = small_numbers(batch.concatenated({m, n}), dtype, engine);
        CAPTURE(a.shape().str());
        CAPTURE(b.shape().str());
        CAPTURE(c.shape().str());
        CHECK(matmul(a, op_a, b, op_b).to_vector() == gemm_twin(c, a, op_a, b, op_b, 0, 1));
        const std::vector<double> onto = gemm_twin(c, a, op_a, b, op_b, 1, -0.5);
        gemm(c, a, op_a, b, op_b, true, -0.5);
        CHECK(c.to_vector() == onto);
        c.fill(std::nan(""));
        gemm(c, a, op_a, b, op_b, false, 2);
        CHECK(c.to_vector() == gemm_twin(c, a, op_a, b, op_b, 0, 2));
      }
}

/// Our own kernel, whatever the size: all transposes, accumulating or not, on matrices that end where their
/// memory ends and whose rows lie apart, with NaN between them that must be neither used nor overwritten.
void check_sgemm(int64_t m, int64_t n, int64_t k, Engine& engine) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  struct Matrix {
    int64_t rows, columns, stride;
    std::vector<float> data;
    float& at(int64_t i, int64_t j) { return data[static_cast<size_t>(i * stride + j)]; }
  };
  const auto matrix = [&](int64_t rows, int64_t columns) {
    Matrix x{rows, columns, columns + pick(engine, {0, 1, 5}), {}};
    x.data.assign(static_cast<size_t>((rows - 1) * x.stride + columns), std::nanf(""));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        x.at(i, j) = static_cast<float>(std::uniform_int_distribution<int>(-8, 8)(engine));
    return x;
  };
  for (bool a_transposed : {false, true})
    for (bool b_transposed : {false, true})
      for (bool accumulate : {false, true}) {
        Matrix a = a_transposed ? matrix(k, m) : matrix(m, k);
        Matrix b = b_transposed ? matrix(n, k) : matrix(k, n);
        Matrix c = matrix(m, n), wanted = c;
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            float sum = 0;
            for (int64_t l = 0; l < k; ++l)
              sum += (a_transposed ? a.at(l, i) : a.at(i, l)) * (b_transposed ? b.at(j, l) : b.at(l, j));
            wanted.at(i, j) = -0.5f * sum + (accumulate ? c.at(i, j) : 0);
            if (!accumulate) c.at(i, j) = std::nanf("");
          }
        sgemm({m, n, k, a.data.data(), a.stride, a_transposed, b.data.data(), b.stride, b_transposed,
               c.data.data(), c.stride, -0.5f, accumulate});
        bool equal = true;  // NaN between the rows included
        for (size_t i = 0; i < c.data.size(); ++i)
          equal &= c.data[i] == wanted.data[i] || (std::isnan(c.data[i]) && std::isnan(wanted.data[i]));
        CHECK(equal);
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

  TEST_CASE("our own kernel agrees with three loops at every edge of its tiles and panels") {
    if (!sgemm_suits(512, 512, 512)) return;  // not in this build
    Engine engine(6);
    const std::vector<int64_t> sizes{1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 13, 15, 16, 17, 19, 23,
                                     29, 31, 32, 33, 40, 47, 48, 49, 50, 61, 63, 64, 65, 66, 69, 70};
    for (int round = 0; round < 80; ++round)
      check_sgemm(pick(engine, sizes), pick(engine, sizes), pick(engine, sizes), engine);
    for (int64_t m : {5, 6, 7, 8, 9, 12, 16})
      for (int64_t n : {7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 95, 96, 97, 145})
        check_sgemm(m, n, pick(engine, sizes), engine);
    // The rows are cut into blocks, the inner dimension into pieces, and what is packed of b into wide parts.
    for (int64_t m : {95, 96, 97, 193, 512, 513, 520, 1025}) check_sgemm(m, 17, 5, engine);
    for (int64_t k : {383, 384, 385, 800, 1023, 1024, 1025, 2050}) check_sgemm(9, 51, k, engine);
    for (int64_t n : {1023, 1024, 1025, 2100}) check_sgemm(9, n, 5, engine);
    check_sgemm(515, 49, 1026, engine);
    check_sgemm(101, 1030, 390, engine);
  }

  TEST_CASE("products large enough for our own kernel, alone, broadcast and on several threads") {
    Engine engine(7);
    for (int count : {1, 2, 3}) {
      const ThreadCount scope(count);
      check(engine, {}, {}, 121, 126, 67);
      check(engine, {}, {}, 250, 61, 67);
    }
    const ThreadCount scope(2);
    check(engine, {3}, {}, 97, 110, 96);
    check(engine, {}, {1, 2}, 97, 110, 96);
  }

  TEST_CASE("a product's bits depend neither on the batch it is in nor on the thread count") {
    // Given that BLAS does the same when it is called the same way again: its calls follow from a product's
    // own sizes. Uncut ones, and ones that are cut into columns, rows and both.
    Engine engine(8);
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{130, 111, 90},
                                  {130, 200, 1100},
                                  {70, 64, 90},
                                  {310, 9, 900},
                                  {9, 310, 900},
                                  {420, 430, 110}})
      for (Transpose op_a : kOps)
        for (Transpose op_b : kOps)
          for (DType dtype : {DType::f32, DType::f64}) {
            const auto rough = [&](const Shape& shape) {
              const Tensor x = Tensor::empty(shape, DType::f64);
              for (double& value : x.span<double>())
                value = std::uniform_real_distribution<double>(-1, 1)(engine);
              return x.to(dtype);
            };
            const Tensor a = rough(matrix_shape({3}, op_a, m, k)), b = rough(matrix_shape({3}, op_b, k, n));
            const Tensor before = rough({3, m, n}), all = before.clone();
            CAPTURE(a.shape().str());
            CAPTURE(b.shape().str());
            CAPTURE(std::string(name(dtype)));
            {
              const ThreadCount one(1);
              gemm(all, a, op_a, b, op_b, true, 0.3);
            }
            for (int count : {1, 2, 3, 5}) {
              const ThreadCount scope(count);
              const Tensor again = before.clone();
              gemm(again, a, op_a, b, op_b, true, 0.3);
              CHECK(same_bits(again, all));
              for (int64_t i = 0; i < 3; ++i) {
                const Tensor alone = before.slice(i).clone();
                gemm(alone, a.slice(i), op_a, b.slice(i), op_b, true, 0.3);
                CHECK(same_bits(alone, all.slice(i)));
              }
            }
          }
  }

  TEST_CASE("a function given to gemm sees every finished element once, and where it is") {
    Engine engine(9);
    for (int count : {1, 3})
      for (DType dtype : {DType::f32, DType::f64})
        for (const auto& [m, n, k] : {std::array<int64_t, 3>{121, 126, 67},
                                      {601, 61, 1030},
                                      {25, 1100, 400},
                                      {61, 63, 5},
                                      {3, 4, 0}}) {
          const ThreadCount scope(count);
          const Tensor a = small_numbers({2, m, k}, dtype, engine), b = small_numbers({n, k}, dtype, engine);
          const Tensor c = small_numbers({2, m, n}, dtype, engine);
          std::vector<double> wanted = gemm_twin(c, a, Transpose::no, b, Transpose::yes, 1, 1);
          for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = 2 * wanted[i] + static_cast<double>(i);
          const auto finish = [&, columns = n, rows = m](const Block& block) {
            for (int64_t i = 0; i < block.rows; ++i)
              for (int64_t j = 0; j < block.columns; ++j) {
                const int64_t flat = (block.batch * rows + block.row + i) * columns + block.column + j;
                if (dtype == DType::f32) {
                  float& x = block.row_data<float>(i)[j];
                  x = 2 * x + static_cast<float>(flat);
                } else {
                  double& x = block.row_data<double>(i)[j];
                  x = 2 * x + static_cast<double>(flat);
                }
              }
          };
          const BlockFunction function(finish);
          gemm(c, a, Transpose::no, b, Transpose::yes, true, 1, &function);
          CHECK(c.to_vector() == wanted);
        }
  }

  TEST_CASE("infinities and NaN go through a product as through plain arithmetic") {
    Engine engine(10);
    const int64_t m = 121, n = 126, k = 67;
    for (Transpose op_a : kOps)
      for (Transpose op_b : kOps) {
        const Tensor a = Tensor::full(matrix_shape({}, op_a, m, k), 1);
        const Tensor b = Tensor::full(matrix_shape({}, op_b, k, n), 1);
        a.span<float>()[op_a == Transpose::no ? 5 * k + 3 : 3 * m + 5] =
            std::numeric_limits<float>::infinity();
        b.span<float>()[op_b == Transpose::no ? 3 * n + 7 : 7 * k + 3] = 0;
        b.span<float>()[op_b == Transpose::no ? 4 * n + 125 : 125 * k + 4] = std::nanf("");
        const Tensor c = matmul(a, op_a, b, op_b);
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            const double x = c.at(i * n + j);
            if (j == 125 || (i == 5 && j == 7))
              REQUIRE(std::isnan(x));
            else
              REQUIRE(x == (i == 5 ? std::numeric_limits<double>::infinity() : j == 7 ? 66 : 67));
          }
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
    gemm(arena.view_at(101, {5, 7}), a, Transpose::no, b, Transpose::no);
    CHECK(arena.view_at(101, {5, 7}).to_vector() == matmul(a, Transpose::no, b, Transpose::no).to_vector());
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
    const std::vector<double> exact = gemm_twin(c, a, Transpose::no, b, Transpose::yes, 0, 1);
    for (int count : {1, 2, 5}) {
      const ThreadCount scope(count);
      const Tensor f64 = matmul(a, Transpose::no, b, Transpose::yes);
      const Tensor f32 = matmul(a.to(DType::f32), Transpose::no, b.to(DType::f32), Transpose::yes);
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
    CHECK(error_of([&] { matmul(a, Transpose::no, b, Transpose::no); }) ==
          "[matmul] inner sizes differ: a (128, 784), b (512, 784); did you mean matmul_nt?");
    CHECK(error_of([&] {
            matmul(a, Transpose::no, b.reshape({784, 512}), Transpose::yes);
          }) == "[matmul_nt] inner sizes differ: a (128, 784), b (784, 512); did you mean matmul?");
    CHECK(mentions(error_of([&] {
                     matmul(a.reshape({784, 128}), Transpose::no, b.reshape({784, 512}), Transpose::no);
                   }),
                   "did you mean matmul_tn?"));
    CHECK(mentions(error_of([&] {
                     matmul(a.reshape({784, 128}), Transpose::no, b, Transpose::no);
                   }),
                   "did you mean matmul_tt?"));
    CHECK(error_of([&] {
            matmul(a, Transpose::yes, Tensor::zeros({5, 6}), Transpose::no);
          }) == "[matmul_tn] inner sizes differ: a (128, 784), b (5, 6)");
    CHECK(mentions(error_of([&] { matmul(a, Transpose::no, none, Transpose::no); }),
                   "needs matrices: a (128, 784), b (3,)"));
    CHECK(mentions(error_of([&] { matmul(a, Transpose::no, b.to(DType::f64), Transpose::yes); }),
                   "a is f32 and b is f64"));
    CHECK(mentions(error_of([&] {
                     matmul(Tensor::zeros({2, 3, 4}), Transpose::no, Tensor::zeros({3, 4, 5}), Transpose::no);
                   }),
                   "[matmul] shapes do not broadcast: (2,) and (3,)"));
    CHECK(error_of([&] {
            gemm(Tensor::zeros({5, 5}), a, Transpose::no, b, Transpose::yes);
          }) == "[gemm] the product is f32 (128, 512), the result given is f32 (5, 5)");
    CHECK(mentions(error_of([&] {
                     gemm(Tensor::zeros({128, 512}, DType::f64), a, Transpose::no, b, Transpose::yes);
                   }),
                   "the result given is f64"));
    CHECK(mentions(error_of([&] { matmul(a.to(DType::u8), Transpose::no, b.to(DType::u8), Transpose::yes); }),
                   "[gemm] needs f32 or f64"));
  }
}

}  // namespace elbo
