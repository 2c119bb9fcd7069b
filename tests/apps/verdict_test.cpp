// Verdicts on numbers that were made up for them, and that the tests' errors occur as often as they say.
#include "apps/ledger/verdict.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace elbo::ledger;

namespace {

const double kNone = std::nan("");

Verdict verdict(const PublishedNumber& paper, const Measured& here, double margin = 0) {
  return compare(paper, here, margin, Better::neither).verdict;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a number within the paper's own error, where ours is known as well") {
    const PublishedNumber paper{.value = -1011.1, .deviation = 2.7, .runs = 5, .digits = 1};
    CHECK(verdict(paper, {-1013.0, 2.0, 5}) == Verdict::within_error);
    CHECK(verdict(paper, {-1013.86, 2.0, 5}) != Verdict::within_error);  // 2.7 and half a digit are 2.75
    CHECK(verdict(paper, {-1013.84, 2.0, 5}) == Verdict::within_error);
    // Near by luck: our mean may be anywhere.
    CHECK(verdict(paper, {-1011.1, 60, 3}) == Verdict::not_told_apart);
    // One run beside five: it spreads as theirs.
    CHECK(verdict(paper, {-1012, kNone, 1}) == Verdict::within_error);
    CHECK(verdict(paper, {-1016, kNone, 1}) == Verdict::not_told_apart);
    CHECK(verdict(paper, {-1030, kNone, 1}) == Verdict::different);
  }

  TEST_CASE("closed forms are held to the printed digits") {
    const PublishedNumber paper{.value = 0.196, .digits = 3};
    CHECK(verdict(paper, {.mean = 0.19649, .exact = true}) == Verdict::within_error);
    CHECK(verdict(paper, {.mean = 0.19651, .exact = true}) == Verdict::not_told_apart);
    CHECK(verdict(paper, {.mean = 0.1975, .exact = true}) == Verdict::different);
    CHECK(verdict({.value = 0.196, .digits = 2}, {.mean = 0.1975, .exact = true}) == Verdict::within_error);
  }

  TEST_CASE("equivalent within a margin, different, or not told apart") {
    const PublishedNumber paper{.value = 10, .deviation = 0.2, .runs = 5, .digits = 2};
    const Measured near{10.3, 0.2, 5};
    CHECK(verdict(paper, near) == Verdict::different);  // no margin was said
    CHECK(verdict(paper, near, 1) == Verdict::equivalent);
    CHECK(verdict(paper, near, 0.31) == Verdict::different);
    CHECK(verdict(paper, {10.3, 0.9, 3}, 1) == Verdict::not_told_apart);
    CHECK(verdict(paper, {11, 0.2, 5}, 1) == Verdict::different);
    // Welch's interval, by hand: both errors 0.2 / sqrt 5, rounding 0.005^2 / 3; t of 8.0017 degrees.
    const Comparison c = compare(paper, near, 0, Better::neither);
    CHECK(c.low == doctest::Approx(0.3 - 2.30598 * std::sqrt(0.016 + 0.000025 / 3)).epsilon(1e-4));
    CHECK(c.high == doctest::Approx(0.3 + 2.30598 * std::sqrt(0.016 + 0.000025 / 3)).epsilon(1e-4));
  }

  TEST_CASE("a side that knows no spread has the other's; where neither does nothing is tested") {
    const PublishedNumber single{.value = 0.99131817, .digits = 8};
    CHECK(verdict(single, {1.02, 0.02, 10}) == Verdict::not_told_apart);
    CHECK(verdict(single, {1.08, 0.02, 10}) == Verdict::different);
    const Comparison none = compare({.value = 950.7, .digits = 1}, {949.1, kNone, 1}, 10, Better::higher);
    CHECK(none.verdict == Verdict::not_told_apart);
    CHECK(std::isnan(none.low));
    CHECK(compare({.value = 950.7, .digits = 1}, {700, kNone, 1}, 10, Better::higher).verdict ==
          Verdict::not_told_apart);
  }

  TEST_CASE("too good is what differs on the better side") {
    const PublishedNumber paper{.value = -3.15, .deviation = 0.04, .runs = 5, .digits = 2};
    const Measured higher{-2.9, 0.04, 5}, lower{-3.4, 0.04, 5};
    CHECK(compare(paper, higher, 0, Better::higher).too_good);
    CHECK(!compare(paper, lower, 0, Better::higher).too_good);
    CHECK(compare(paper, lower, 0, Better::lower).too_good);
    CHECK(!compare(paper, higher, 0, Better::neither).too_good);
    CHECK(!compare(paper, {-3.14, 0.04, 5}, 0, Better::higher).too_good);
    CHECK(!compare(paper, {-2.9, 0.04, 5}, 1, Better::higher).too_good);  // equivalent
  }

  TEST_CASE("half of the 95 % interval") {
    CHECK(half_interval({1, 0.2, 10}) == doctest::Approx(2.262157162798 * 0.2 / std::sqrt(10)).epsilon(1e-9));
    CHECK(std::isnan(half_interval({1, kNone, 1})));
    CHECK(half_interval({.mean = 1, .exact = true}) == 0);
  }

  TEST_CASE("of numbers that are the same one in twenty is different; of those at the margin, equivalent") {
    std::mt19937 random(1);
    std::normal_distribution<double> noise;
    const auto sample = [&](double mean, double deviation, int runs) {
      double sum = 0, squares = 0;
      for (int i = 0; i < runs; ++i) {
        const double value = mean + deviation * noise(random);
        sum += value;
        squares += value * value;
      }
      const double own = sum / runs;
      return Measured{own, std::sqrt((squares - runs * own * own) / (runs - 1)), runs};
    };
    constexpr int kTimes = 4000;
    int outside = 0, equivalent = 0;
    for (int i = 0; i < kTimes; ++i) {
      const Measured a = sample(0, 1, 5), b = sample(0, 3, 8), c = sample(2, 1, 8);
      const PublishedNumber paper{a.mean, a.deviation, 5, 9};
      const Comparison same = compare(paper, b, 0, Better::neither);
      outside += same.low > 0 || same.high < 0;
      equivalent += compare(paper, c, 2, Better::neither).verdict == Verdict::equivalent;
    }
    CHECK(outside == doctest::Approx(0.05 * kTimes).epsilon(0.25));
    CHECK(equivalent <= 0.07 * kTimes);
  }
}
