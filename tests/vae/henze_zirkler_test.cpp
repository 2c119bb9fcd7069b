// Henze and Zirkler's statistic: published numbers, the formula in loops, its gradient, and how often
// Gaussian points pass for others.
#include "vae/henze_zirkler.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/tape.h"
#include "tensor/linalg.h"
#include "tests/error_of.h"
#include "tests/thread_count.h"
#include "tests/vae/helpers.h"
#include "vae/exponential.h"

using namespace elbo;

namespace {

/// Iris setosa (Fisher 1936, Anderson's flowers): length and width of sepals, then of petals, in cm.
Tensor setosa() {
  return Tensor::from<double>(
      {50, 4},
      {5.1, 3.5, 1.4, 0.2, 4.9, 3.0, 1.4, 0.2, 4.7, 3.2, 1.3, 0.2, 4.6, 3.1, 1.5, 0.2, 5.0, 3.6, 1.4, 0.2,
       5.4, 3.9, 1.7, 0.4, 4.6, 3.4, 1.4, 0.3, 5.0, 3.4, 1.5, 0.2, 4.4, 2.9, 1.4, 0.2, 4.9, 3.1, 1.5, 0.1,
       5.4, 3.7, 1.5, 0.2, 4.8, 3.4, 1.6, 0.2, 4.8, 3.0, 1.4, 0.1, 4.3, 3.0, 1.1, 0.1, 5.8, 4.0, 1.2, 0.2,
       5.7, 4.4, 1.5, 0.4, 5.4, 3.9, 1.3, 0.4, 5.1, 3.5, 1.4, 0.3, 5.7, 3.8, 1.7, 0.3, 5.1, 3.8, 1.5, 0.3,
       5.4, 3.4, 1.7, 0.2, 5.1, 3.7, 1.5, 0.4, 4.6, 3.6, 1.0, 0.2, 5.1, 3.3, 1.7, 0.5, 4.8, 3.4, 1.9, 0.2,
       5.0, 3.0, 1.6, 0.2, 5.0, 3.4, 1.6, 0.4, 5.2, 3.5, 1.5, 0.2, 5.2, 3.4, 1.4, 0.2, 4.7, 3.2, 1.6, 0.2,
       4.8, 3.1, 1.6, 0.2, 5.4, 3.4, 1.5, 0.4, 5.2, 4.1, 1.5, 0.1, 5.5, 4.2, 1.4, 0.2, 4.9, 3.1, 1.5, 0.2,
       5.0, 3.2, 1.2, 0.2, 5.5, 3.5, 1.3, 0.2, 4.9, 3.6, 1.4, 0.1, 4.4, 3.0, 1.3, 0.2, 5.1, 3.4, 1.5, 0.2,
       5.0, 3.5, 1.3, 0.3, 4.5, 2.3, 1.3, 0.3, 4.4, 3.2, 1.3, 0.2, 5.0, 3.5, 1.6, 0.6, 5.1, 3.8, 1.9, 0.4,
       4.8, 3.0, 1.4, 0.3, 5.1, 3.8, 1.6, 0.2, 4.6, 3.2, 1.4, 0.2, 5.3, 3.7, 1.5, 0.2, 5.0, 3.3, 1.4, 0.2});
}

/// The formula with S^-1 written out, pair by pair.
double in_loops(const Tensor& z) {
  const int64_t n = z.size(0), d = z.size(1);
  const Variable centred = Variable(z) - mean(z, {0}, true);
  const Tensor covariance = (matmul_tn(centred, centred) / static_cast<double>(n)).value(),
               inverse = solve_positive_definite(covariance, identity_matrix(d, DType::f64));
  const auto squared = [&](const auto& difference) {
    double total = 0;
    for (int64_t i = 0; i < d; ++i)
      for (int64_t k = 0; k < d; ++k) total += difference(i) * inverse.at(i * d + k) * difference(k);
    return total;
  };
  const auto p = static_cast<double>(d), count = static_cast<double>(n);
  const double b = std::pow((2 * p + 1) * count / 4, 1 / (p + 4)) / std::sqrt(2.0), b2 = b * b;
  double pairs = 0, singles = 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t k = 0; k < n; ++k)
      pairs += std::exp(-b2 / 2 * squared([&](int64_t i) { return z.at(j * d + i) - z.at(k * d + i); }));
    singles +=
        std::exp(-b2 / (2 * (1 + b2)) * squared([&](int64_t i) { return centred.value().at(j * d + i); }));
  }
  return pairs / count - 2 * std::pow(1 + b2, -p / 2) * singles + count * std::pow(1 + 2 * b2, -p / 2);
}

struct Taped {
  Tensor value, gradient;
};
Taped run(Variable (*function)(const Variable&), const Tensor& z, const Tensor& cotangent) {
  Parameter leaf{"z", z, Tensor::zeros(z.shape(), z.dtype()), false};
  Tape tape;
  const Variable y = function(leaf);
  tape.backward(y, cotangent);
  return {y.value(), leaf.gradient};
}

/// Far from Gaussian: two heaps, and one dimension bent by another.
Tensor bent(const Shape& shape, uint64_t seed) {
  Tensor z = draw(shape, seed).clone();
  const int64_t d = shape[-1];
  for (int64_t i = 0; i < z.elements(); i += d) {
    double* row = z.data<double>() + i;
    row[0] += row[0] > 0 ? 2 : -2;
    row[d - 1] += 0.3 * row[0] * row[0];
  }
  return z;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE(
      "henze_zirkler: of Fisher's setosa it is the number that R's MVN publishes, of parts pingouin's") {
    // Korkmaz, Goksuluk & Zararsiz 2014 (The R Journal 6/2, MVN): HZ 0.9488453, p-value 0.04995356.
    const Tensor all = setosa();
    const double statistic = henze_zirkler(all).item();
    CHECK(std::abs(statistic - 0.9488453) < 5e-8);
    CHECK(std::abs(henze_zirkler_null(50, 4).p_value(statistic) - 0.04995356) < 5e-9);
    // multivariate_normality of pingouin 0.7.0, in Python.
    const auto columns = [&](int64_t points, int64_t from, int64_t to) {
      return slice(all.slice(0, points), 1, from, to);
    };
    const struct {
      Variable z;
      double statistic, p_value;
    } cases[] = {{columns(50, 0, 4), 0.9488453160016629, 0.04995355617922131},
                 {columns(50, 0, 2), 0.28560068642923403, 0.9146335955259991},
                 {columns(12, 0, 3), 0.41917107386753083, 0.7644849377139166},
                 {columns(9, 2, 4), 0.7366013819333828, 0.018630692094328542},
                 {exp(columns(50, 0, 2)), 1.452242319067193, 0.0013475590825506331}};
    for (const auto& [z, expected, p_value] : cases) {
      CHECK(close(henze_zirkler(z).item(), expected, 1e-11));
      CHECK(close(henze_zirkler_twin(z).item(), expected, 1e-11));
      CHECK(std::abs(henze_zirkler_null(z.size(0), z.size(1)).p_value(expected) - p_value) < 1e-12);
    }
  }

  TEST_CASE("henze_zirkler: blocks, parts and members are the formula in loops, in both types") {
    for (int64_t d : {1, 2, 5})
      for (int64_t n : {6, 31, 33, 64, 300})
        for (DType dtype : {DType::f32, DType::f64}) {
          CAPTURE(d);
          CAPTURE(n);
          const Tensor z = bent({2, n, d}, 3).to(dtype);
          const Tensor both = henze_zirkler(z).value();
          REQUIRE(both.shape() == Shape{2});
          REQUIRE(both.dtype() == dtype);
          for (int64_t m = 0; m < 2; ++m) {
            const double expected = in_loops(z.slice(m).to(DType::f64));
            CHECK(close(both.at(m), expected, dtype == DType::f64 ? 1e-10 : 1e-6 * std::max(1.0, expected)));
          }
        }
  }

  TEST_CASE(
      "henze_zirkler: of several parts the gradient is the twin's, and does not move what cannot matter") {
    for (int64_t d : {1, 3}) {
      const int64_t n = 300;
      const Tensor z = bent({2, n, d}, 5), cotangent = draw({2}, 6);
      const Taped fused = run(henze_zirkler, z, cotangent), twin = run(henze_zirkler_twin, z, cotangent);
      double largest = 0, off = 0;
      for (int64_t i = 0; i < z.elements(); ++i) {
        largest = std::max(largest, std::abs(twin.gradient.at(i)));
        off = std::max(off, std::abs(twin.gradient.at(i) - fused.gradient.at(i)));
      }
      CHECK(largest > 1e-3);
      CHECK(off < 1e-9 * largest);
      // With a tape the value is the one without.
      CHECK(fused.value.to_vector() == henze_zirkler(z).value().to_vector());
      // HZ stays where all points move, or are mixed by a matrix: its gradient is orthogonal to both.
      for (int64_t m = 0; m < 2; ++m) {
        const Variable own = z.slice(m), gradient = fused.gradient.slice(m);
        for (const Variable& still : {sum(gradient, {0}), matmul_tn(gradient, own)})
          for (double value : still.value().to_vector()) CHECK(std::abs(value) < 1e-9 * largest * n);
      }
    }
  }

  TEST_CASE("henze_zirkler: neither place, scale nor mixing of the points changes it") {
    const Tensor z = bent({70, 3}, 7), mix = draw({3, 3}, 8);
    const double plain = henze_zirkler(z).item();
    const Variable moved = matmul(z, mix) * 1e4 + Variable(draw({3}, 9)) * 1e6;
    CHECK(close(henze_zirkler(moved).item(), plain, 1e-7));
    CHECK(close(henze_zirkler(Variable(z) * 1e-8).item(), plain, 1e-11));
  }

  TEST_CASE(
      "henze_zirkler: any number of threads gives the same bits, and a member those that it has alone") {
    for (int64_t n : {50, 700}) {
      const Tensor z = bent({3, n, 2}, 11), cotangent = draw({3}, 12);
      std::vector<Taped> runs;
      for (int count : {1, 2, 3, 5}) {
        const ThreadCount with(count);
        runs.push_back(run(henze_zirkler, z, cotangent));
        CHECK(runs.back().value.to_vector() == runs[0].value.to_vector());
        CHECK(runs.back().gradient.to_vector() == runs[0].gradient.to_vector());
      }
      for (int64_t m = 0; m < 3; ++m) {
        const Taped alone = run(henze_zirkler, z.slice(m), cotangent.slice(m));
        CHECK(alone.value.item() == runs[0].value.at(m));
        CHECK(alone.gradient.to_vector() == runs[0].gradient.slice(m).to_vector());
      }
    }
  }

  TEST_CASE("henze_zirkler: of points on a line there is no number, and none of their fellows' is lost") {
    Tensor z = draw({3, 40, 2}, 13).clone();
    for (int64_t j = 0; j < 40; ++j) {
      double* second = z.data<double>() + (40 + j) * 2;
      second[1] = 3 * second[0] + 0.1;           // rounding is all that is left
      z.data<double>()[(80 + j) * 2] = 1.0 / 3;  // and here a constant
    }
    const Taped taped = run(henze_zirkler, z, draw({3}, 14));
    for (int64_t m = 0; m < 3; ++m) {
      CHECK(std::isnan(taped.value.at(m)) == (m > 0));
      for (double value : taped.gradient.slice(m).to_vector()) CHECK(std::isnan(value) == (m > 0));
    }
    Tensor broken = draw({40, 2}, 15).clone();
    broken.data<double>()[7] = NAN;
    CHECK(std::isnan(henze_zirkler(broken).item()));
    CHECK(std::isnan(henze_zirkler_null(40, 2).p_value(NAN)));
    CHECK(error_of([&] {
            henze_zirkler(draw({3, 3}, 1));
          }) ==
          "[henze_zirkler] 3 points in 3 dimensions; their covariance needs more points than dimensions");
    CHECK(mentions(error_of([&] { henze_zirkler(draw({3}, 1)); }), "(N, d) or (M, N, d), got (3,)"));
    CHECK(mentions(error_of([&] { henze_zirkler_null(0, 3); }), "0 points"));
    CHECK(mentions(error_of([&] { test_henze_zirkler(draw({9, 3}, 1), 0, {}); }), "at least one point"));
  }

  TEST_CASE("henze_zirkler: Gaussian points are found wanting as often as the p-value says, others always") {
    const int64_t sets = 600, n = 100;
    for (int64_t d : {1, 2, 4}) {
      CAPTURE(d);
      const HenzeZirklerNull null = henze_zirkler_null(n, d);
      const Tensor statistics = henze_zirkler(draw({sets, n, d}, 20)).value(),
                   of_bent = henze_zirkler(bent({20, n, d}, 21)).value();
      Estimate mean;
      int64_t below_tenth = 0, below_half = 0;
      for (int64_t m = 0; m < sets; ++m) {
        const double p = null.p_value(statistics.at(m));
        mean.add(statistics.at(m));
        below_tenth += p < 0.1 ? 1 : 0;
        below_half += p < 0.5 ? 1 : 0;
      }
      // The null is that of many points; what a hundred differ from it is below a tenth of its spread.
      CHECK(std::abs(mean.mean() - null.mean) < 0.3 * std::sqrt(null.variance));
      CHECK(below_tenth > 0.06 * sets);
      CHECK(below_tenth < 0.14 * sets);
      CHECK(below_half > 0.42 * sets);
      CHECK(below_half < 0.58 * sets);
      for (double statistic : of_bent.to_vector()) CHECK(null.p_value(statistic) < 1e-3);
    }
  }

  TEST_CASE("henze_zirkler: the test of many points takes some of them, the same for all members") {
    const Tensor z = draw({500, 2}, 30);
    const RandomKey key{.seed = 4, .stream = kSubset};
    const auto all = test_henze_zirkler(z, 1000, key);
    REQUIRE(all.size() == 1);
    CHECK(all[0].points == 500);
    CHECK(close(all[0].statistic, in_loops(z), 1e-10));
    CHECK(all[0].p_value == henze_zirkler_null(500, 2).p_value(all[0].statistic));
    const Tensor chosen = permutation(500, key).slice(0, 60);
    const double expected = henze_zirkler(gather_rows(z, chosen)).item();
    const auto twice =
        test_henze_zirkler(concat({reshape(z, {1, 500, 2}), reshape(z, {1, 500, 2})}, 0).value(), 60, key);
    REQUIRE(twice.size() == 2);
    for (const HenzeZirklerTest& test : twice) {
      CHECK(test.points == 60);
      CHECK(test.statistic == expected);
    }
    CHECK(std::isnan(test_henze_zirkler(z, 2, key)[0].statistic));
    CHECK(std::isnan(test_henze_zirkler(z, 2, key)[0].p_value));
  }

  TEST_CASE("exp_not_positive is the C library's exp to two units in the last place") {
    double worst = 0;
    for (int i = 0; i <= 200000; ++i) {
      const double x = -708.0 * std::pow(static_cast<double>(i) / 200000, 3), expected = std::exp(x);
      worst = std::max(worst, std::abs(exp_not_positive(x) / expected - 1));
    }
    CHECK(worst < 4.5e-16);
    CHECK(exp_not_positive(0) == 1);
    CHECK(exp_not_positive(-0.0) == 1);
    CHECK(exp_not_positive(-1e-320) == 1);
    CHECK(exp_not_positive(-708.5) == 0);
    CHECK(exp_not_positive(-1e300) == 0);
    CHECK(exp_not_positive(-std::numeric_limits<double>::infinity()) == 0);
    CHECK(std::isnan(exp_not_positive(std::nan(""))));
  }
}
