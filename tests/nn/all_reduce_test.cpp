// Sums over processes: in their order, in double, the same bits for all of them.
#include "nn/all_reduce.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tensor/random.h"
#include "tests/processes.h"

namespace elbo {
namespace {

Tensor numbers_of(int64_t rank, int64_t n, DType dtype) {
  return normal({n}, dtype, {.seed = 3, .member = static_cast<uint32_t>(rank), .stream = kTestInput});
}

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("all-reduce: parts are added in their order, in double") {
    // In f32, or in another order, the small numbers would be lost.
    const Tensor parts = Tensor::from<float>({3, 2}, {1e8F, 1.0F, 1.0F, 1e-8F, -1e8F, -1.0F});
    const Tensor sum = Tensor::empty({2});
    add_in_order(parts, std::vector<double>{1, 1, 1}, sum);
    CHECK(sum.at(0) == 1);
    CHECK(sum.at(1) == doctest::Approx(1e-8).epsilon(1e-6));
    const Tensor f64 = Tensor::from<double>({3, 1}, {1e16, 1.0, -1e16});
    const Tensor of_f64 = Tensor::empty({1}, DType::f64);
    add_in_order(f64, std::vector<double>{1, 1, 1}, of_f64);
    CHECK(of_f64.at(0) == 0);  // 1e16 + 1 is 1e16
    add_in_order(Tensor::from<double>({3, 1}, {1e16, -1e16, 1.0}), std::vector<double>{1, 1, 1}, of_f64);
    CHECK(of_f64.at(0) == 1);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    add_in_order(Tensor::from<double>({2, 1}, {nan, 6.0}), std::vector<double>{0, 0.5}, of_f64);
    CHECK(of_f64.at(0) == 3);
    add_in_order(Tensor::from<double>({2, 1}, {nan, 6.0}), std::vector<double>{0.5, 0.5}, of_f64);
    CHECK(std::isnan(of_f64.at(0)));
  }

  TEST_CASE("all-reduce: all processes have the same weighted means, which are those of a plain loop") {
    for (int64_t count : {1, 2, 3, 5})
      for (int64_t n : {0, 1, 16, 17, 5000})
        for (DType dtype : {DType::f32, DType::f64}) {
          CAPTURE(count);
          CAPTURE(n);
          const std::vector<double> weights{3, 0, 5, 2, 7};
          double total = 0;
          for (int64_t p = 0; p < count; ++p) total += weights[static_cast<size_t>(p)];
          std::vector<double> expected(static_cast<size_t>(n)), expected_number(2);
          for (int64_t p = 0; p < count; ++p) {
            const double weight = weights[static_cast<size_t>(p)] / total;
            const Tensor own = numbers_of(p, n, dtype);
            for (int64_t i = 0; i < n; ++i) expected[static_cast<size_t>(i)] += weight * own.at(i);
            for (int64_t i = 0; i < 2; ++i)
              expected_number[static_cast<size_t>(i)] += weight * static_cast<double>(10 * p + i);
          }
          std::vector<Tensor> found(static_cast<size_t>(count));
          std::vector<std::vector<double>> found_numbers(static_cast<size_t>(count));
          in_processes(count, [&](ThreadAllReduce& all_reduce) {
            const auto r = static_cast<size_t>(all_reduce.rank());
            found[r] = numbers_of(all_reduce.rank(), n, dtype);
            const auto of = static_cast<double>(10 * all_reduce.rank());
            found_numbers[r] = {of, of + 1};
            all_reduce.mean(found[r], found_numbers[r], weights[r]);
          });
          for (size_t p = 0; p < found.size(); ++p) {
            CHECK(found_numbers[p] == expected_number);
            const Tensor exact = Tensor::from<double>({n}, expected).to(dtype);
            CHECK(found[p].to_vector() == exact.to_vector());
          }
        }
  }

  TEST_CASE("all-reduce: sums of numbers, and one that was asked to stop stops all") {
    std::vector<std::vector<double>> found(3);
    std::vector<std::vector<bool>> stops(3);
    in_processes(3, [&](ThreadAllReduce& all_reduce) {
      const auto r = static_cast<size_t>(all_reduce.rank());
      found[r] = {static_cast<double>(r), 0.5};
      all_reduce.sum(found[r]);
      stops[r].push_back(all_reduce.stops());
      all_reduce.asked = r == 1;
      const Tensor flat = Tensor::zeros({4});
      all_reduce.mean(flat, {}, 1);
      stops[r].push_back(all_reduce.stops());
      all_reduce.asked = r == 2;
      all_reduce.sum({});
      stops[r].push_back(all_reduce.stops());
      all_reduce.asked = false;
      all_reduce.sum({});
      stops[r].push_back(all_reduce.stops());
    });
    for (size_t r = 0; r < 3; ++r) {
      CHECK(found[r] == std::vector<double>{3, 1.5});
      CHECK(stops[r] == std::vector<bool>{false, true, true, false});
    }
  }
}

}  // namespace elbo
