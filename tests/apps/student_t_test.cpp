// Student's t: quantiles as SciPy and tables have them, closed forms of 1 and 2 degrees, symmetry, the normal
// limit, and that probability and quantile undo each other.
#include "apps/support/student_t.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/error_of.h"

using namespace elbo;

TEST_SUITE("apps") {
  TEST_CASE("Student's t: quantiles that are known") {
    struct Known {
      double probability, degrees, quantile;
    };
    // Those of whole degrees as tables print them, the others by quadrature of the density.
    constexpr Known kKnown[] = {{0.975, 1, 12.70620473617},    {0.975, 2, 4.302652729749},
                                {0.975, 4, 2.776445105198},    {0.975, 9, 2.262157162798},
                                {0.95, 4, 2.131846786327},     {0.95, 7.3, 1.882930017956},
                                {0.999, 3.5, 8.315567604516},  {0.6, 30, 0.2556053649519},
                                {0.975, 1000, 1.962339080826}, {0.975, 0.7, 36.61141503159}};
    for (const Known& known : kKnown) {
      CAPTURE(known.probability);
      CAPTURE(known.degrees);
      CHECK(student_t_quantile(known.probability, known.degrees) ==
            doctest::Approx(known.quantile).epsilon(1e-9));
      CHECK(student_t_quantile(1 - known.probability, known.degrees) ==
            doctest::Approx(-known.quantile).epsilon(1e-9));
    }
    CHECK(student_t_quantile(0.975, INFINITY) == doctest::Approx(1.959963984540054).epsilon(1e-12));
    CHECK(student_t_quantile(0.5, 3) == 0);
  }

  TEST_CASE("Student's t: probabilities in closed form") {
    for (const double t : {-40.0, -3.0, -0.2, 0.0, 0.7, 5.0, 1e4}) {
      CAPTURE(t);
      CHECK(student_t_probability(t, 1) ==
            doctest::Approx(0.5 + std::atan(t) / std::acos(-1.0)).epsilon(1e-12));
      CHECK(student_t_probability(t, 2) ==
            doctest::Approx(0.5 + t / (2 * std::sqrt(2 + t * t))).epsilon(1e-9));
      for (const double degrees : {0.7, 2.5, 17.0, 1e6})
        CHECK(student_t_probability(t, degrees) + student_t_probability(-t, degrees) ==
              doctest::Approx(1).epsilon(1e-14));
    }
    CHECK(student_t_probability(-40, 5) == doctest::Approx(9.20598108588648e-08).epsilon(1e-9));
    for (const double degrees : {0.8, 3.0, 12.5, 400.0})
      for (const double probability : {0.001, 0.2, 0.9, 0.9999})
        CHECK(student_t_probability(student_t_quantile(probability, degrees), degrees) ==
              doctest::Approx(probability).epsilon(1e-10));
  }

  TEST_CASE("Student's t refuses what is no distribution") {
    CHECK(error_of([] { student_t_quantile(0.9, 0); }).find("[student_t]") == 0);
    CHECK(error_of([] { student_t_quantile(1, 3); }).find("[student_t]") == 0);
    CHECK(error_of([] { student_t_probability(1, -2); }).find("[student_t]") == 0);
  }
}
