// Sums over processes: in their order, in double, the same bits for all of them.
#include "nn/all_reduce.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

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

  TEST_CASE("all-reduce: what is complete early goes out early, and the means have the same bits") {
    const std::vector<double> weights{3, 0, 5};
    for (int64_t n : {0, 1, 1 << 18, (1 << 18) + 1, 700'001})
      for (DType dtype : {DType::f32, DType::f64}) {
        CAPTURE(n);
        std::vector<Tensor> found(3), expected(3);
        std::vector<std::vector<double>> numbers(3), expected_numbers(3);
        in_processes(3, [&](ThreadAllReduce& all_reduce) {
          const auto r = static_cast<size_t>(all_reduce.rank());
          expected[r] = numbers_of(all_reduce.rank(), n, dtype);
          expected_numbers[r] = {static_cast<double>(r), 2};
          EarlyMean mean(all_reduce, expected[r], weights[r]);
          CHECK_FALSE(mean.is_early());
          mean.complete_from(n / 2);
          mean.finish(expected_numbers[r]);
        });
        const bool early = true;
        in_processes(
            3,
            [&](ThreadAllReduce& all_reduce) {
              const auto r = static_cast<size_t>(all_reduce.rank());
              const Tensor given = numbers_of(all_reduce.rank(), n, dtype);
              found[r] = Tensor::full({n}, 1e30, dtype);
              numbers[r] = {static_cast<double>(r), 2};
              all_reduce.asked = r == 2;
              EarlyMean mean(all_reduce, found[r], weights[r]);
              CHECK(mean.is_early());
              // Some at a time, other ones in each process; the one of weight 0 says nothing.
              for (int64_t from = n, part = 1; from > 0 && weights[r] > 0; ++part) {
                const int64_t until =
                    std::exchange(from, std::max<int64_t>(from - 30'011 * (part % 7 + all_reduce.rank()), 0));
                found[r].slice(from, until).copy_from(given.slice(from, until));
                if (from > 0 || part % 2 == 0) mean.complete_from(from);
              }
              mean.finish(numbers[r]);
              CHECK(all_reduce.stops());
            },
            early);
        for (size_t p = 0; p < found.size(); ++p) {
          CHECK(found[p].to_vector() == expected[0].to_vector());
          CHECK(numbers[p] == expected_numbers[0]);
        }
      }
  }

  TEST_CASE("all-reduce: the first steps try whether what goes out early takes less time") {
    using std::chrono::milliseconds;
    for (const int64_t n : {(1 << 18) + 1, 1 << 18})  // the latter is one piece, which cannot be early
      for (const bool early_is_faster : {true, false}) {
        CAPTURE(n);
        CAPTURE(early_is_faster);
        std::vector<std::vector<bool>> early(2);
        in_processes(
            2,
            [&](ThreadAllReduce& all_reduce) {
              const auto r = static_cast<size_t>(all_reduce.rank());
              // The second, for which it makes no difference, goes along.
              if (r == 0)
                (early_is_faster ? all_reduce.when_awake : all_reduce.when_asleep) = milliseconds(40);
              const Tensor flat = Tensor::full({n}, static_cast<double>(r));
              for (int step = 0; step < 22; ++step) {
                EarlyMean mean(all_reduce, flat, 1);
                early[r].push_back(mean.is_early());
                mean.finish({});
              }
              CHECK(flat.at(n - 1) == 0.5);
            },
            std::nullopt);
        CHECK(early[0] == early[1]);
        std::vector<bool> expected;
        for (int step = 0; step < 22; ++step)
          expected.push_back(n > 1 << 18 && (step < 18 ? step % 2 == 1 : early_is_faster));
        CHECK(early[0] == expected);
      }
  }

  TEST_CASE("all-reduce: an early mean that is given up leaves what was not complete") {
    constexpr int64_t kNumbers = 3 << 18, kFrom = 2 << 18;
    std::vector<Tensor> found(2);
    in_processes(
        2,
        [&](ThreadAllReduce& all_reduce) {
          const auto r = static_cast<size_t>(all_reduce.rank());
          found[r] = Tensor::full({kNumbers}, static_cast<double>(2 * r));
          EarlyMean mean(all_reduce, found[r], 1);
          mean.complete_from(kFrom);
          while (all_reduce.exchanges == 0) std::this_thread::yield();
        },
        true);
    for (size_t p = 0; p < 2; ++p) {
      CHECK(found[p].at(kFrom - 1) == static_cast<double>(2 * p));
      CHECK(found[p].at(kFrom) == 1);
      CHECK(found[p].at(kNumbers - 1) == 1);
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
