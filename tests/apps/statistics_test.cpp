// Means over runs and their 95 % intervals, beside SciPy's.
#include "apps/support/statistics.h"

#include <doctest/doctest.h>

#include <cmath>

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("a mean's interval is Student's t, and none of a single value") {
    const Interval interval = statistics_of({1, 2, 3, 4, std::nan("")}).interval();
    CHECK(interval.middle == 2.5);
    CHECK(interval.half == doctest::Approx(3.182446305284263 * std::sqrt(5.0 / 3 / 4)).epsilon(1e-9));
    CHECK(std::isnan(statistics_of({5}).interval().half));
    CHECK(with_interval(statistics_of({1, 2, 3, 4}), "{:.2f}") == "2.50 ± 2.05");
    CHECK(with_interval(statistics_of({5}), "{:.1f}") == "5.0");
    CHECK(with_interval(statistics_of({5, 5}), "{:.1f}") == "5.0");
    CHECK(with_interval(statistics_of({}), "{:.1f}") == "-");
  }

  TEST_CASE("the interval of a difference is Welch's") {
    const Statistics a = statistics_of({1, 2, 3, 4}), b = statistics_of({2.5, 2.7, 9.0});
    const Interval difference = difference_of(a, b);
    CHECK(difference.middle == doctest::Approx(-2.2333333333333334).epsilon(1e-12));
    CHECK(difference.half == doctest::Approx(8.293148085112053).epsilon(1e-7));
    CHECK(difference_of(b, a).half == difference.half);
    // One side that does not spread leaves the other's.
    CHECK(difference_of(a, statistics_of({7, 7, 7})).half == doctest::Approx(a.interval().half));
    CHECK(difference_of(statistics_of({1, 1}), statistics_of({2, 2})).half == 0);
    CHECK(std::isnan(difference_of(a, statistics_of({2})).half));
  }
}

}  // namespace elbo
