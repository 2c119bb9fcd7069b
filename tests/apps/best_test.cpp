// The best of several: NaN never is, wherever it stands.
#include "apps/support/best.h"

#include <doctest/doctest.h>

#include <vector>

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("NaN is never the best, first, last or between") {
    const double nan = std::nan("");
    for (const std::vector<double>& values : {std::vector<double>{nan, -3, -1, -2},
                                              {-3, nan, -1, nan, -2},
                                              {-3, -1, nan},
                                              {-INFINITY, -1, nan},
                                              {nan, nan, -1}}) {
      double best = nan;
      for (double value : values)
        if (beats(value, best)) best = value;
      CHECK(best == -1);
    }
    CHECK(beats(-INFINITY, nan));
    CHECK_FALSE(beats(nan, nan));
    CHECK_FALSE(beats(nan, -INFINITY));
    CHECK_FALSE(beats(1, 1));
  }
}

}  // namespace elbo
