// What is computed for figures, against NumPy's numbers and closed forms.
#include "apps/support/figure_parts.h"

#include <doctest/doctest.h>

#include <cmath>

#include "apps/support/figure_axis.h"
#include "tensor/error.h"

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("quartiles and deviations over runs agree with NumPy, and leave out what is no number") {
    // numpy.percentile([1, 2, 4, 8], [25, 50, 75]) = 1.75, 3, 5; numpy.std(..., ddof=1) = 3.0956959368...
    const std::vector<std::vector<double>> runs{
        {4, 1, NAN}, {1, NAN, NAN}, {8, 3, INFINITY}, {2, -INFINITY, NAN}};
    const Series quartiles = quartile_band("q", {0, 1, 2}, runs);
    CHECK(quartiles.name == "q");
    CHECK(quartiles.band_low[0] == doctest::Approx(1.75));
    CHECK(quartiles.y[0] == doctest::Approx(3));
    CHECK(quartiles.band_high[0] == doctest::Approx(5));
    CHECK(quartiles.y[1] == doctest::Approx(2));
    CHECK(quartiles.band_low[1] == doctest::Approx(1.5));
    CHECK(std::isnan(quartiles.y[2]));
    CHECK(std::isnan(quartiles.band_high[2]));

    const Series deviation = deviation_band("d", {0, 1, 2}, runs);
    CHECK(deviation.y[0] == doctest::Approx(3.75));
    CHECK(deviation.band_high[0] - deviation.y[0] == doctest::Approx(3.0956959368344519));
    CHECK(deviation.y[0] - deviation.band_low[0] == doctest::Approx(3.0956959368344519));
    CHECK(deviation.y[1] == doctest::Approx(2));
    CHECK(std::isnan(deviation.y[2]));
    // A single run has a mean and no deviation.
    const Series single = deviation_band("d", {0}, {{5}});
    CHECK(single.y[0] == 5);
    CHECK(std::isnan(single.band_low[0]));
    CHECK_THROWS_WITH_AS(quartile_band("q", {0, 1}, {{1}}), doctest::Contains("1 values at 2 places"), Error);
    CHECK_THROWS_WITH_AS(deviation_band("d", {0}, {{1, 2}}), doctest::Contains("2 values at 1 places"),
                         Error);
  }

  TEST_CASE("a function's surface is row by row in y") {
    const Surface surface = surface_of([](double x, double y) { return x + 10 * y; }, {0, 1, 2}, {3, 4});
    CHECK((surface.values == std::vector<double>{30, 31, 32, 40, 41, 42}));
    CHECK((evenly(-1, 1, 5) == std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  }

  TEST_CASE("pictures in a row get the ranges that hold the data of all") {
    Figure first{.series = {{.x = {0, 1}, .y = {0, 1}, .style = Style::points, .value = {1, 2}}}};
    Figure second{.series = {{.x = {-9, 1}, .y = {5, 6}, .style = Style::points, .value = {0, 1}}}};
    share_ranges({&first, &second});
    for (const Figure* figure : {&first, &second}) {
      CHECK(figure->x.low == doctest::Approx(-9 - 0.02 * 10));
      CHECK(figure->x.high == doctest::Approx(1 + 0.02 * 10));
      CHECK(figure->y.low == doctest::Approx(0 - 0.05 * 6));
      CHECK(figure->colours.low == 0);
      CHECK(figure->colours.high == 2);
    }
    share_ranges({});
  }

  TEST_CASE("ticks are round numbers within the axis, whose labels do not touch") {
    const auto labels = [](double low, double high, bool log = false) {
      std::string text;
      for (const std::string& label : ticks_of({low, high}, log, 300, true).labels) text += label + " ";
      return text;
    };
    CHECK(labels(0, 1) == "0 0.2 0.4 0.6 0.8 1.0 ");
    CHECK(labels(-3.1, 3.1) == "−3 −2 −1 0 1 2 3 ");
    CHECK(labels(0, 1000) == "0 200 400 600 800 1000 ");
    CHECK(labels(0, 3e15) == "0 1·10^{15} 2·10^{15} 3·10^{15} ");
    CHECK(labels(0, 3e-300) == "0 1·10^{−300} 2·10^{−300} 3·10^{−300} ");
    CHECK(labels(1000001, 1000003) == "1000001 1000002 1000003 ");
    CHECK(labels(1e-2, 1e3, true) == "10^{−2} 10^{−1} 10^{0} 10^{1} 10^{2} 10^{3} ");
    CHECK(labels(3, 40, true) == "5 10 20 ");
    CHECK(labels(2e-7, 3e-6, true) == "2·10^{−7} 5·10^{−7} 1·10^{−6} 2·10^{−6} ");
    for (const Range& range : {Range{-1e300, 1e300},
                               {1e300, 1.0001e300},
                               {-1e-300, 1e-300},
                               {0, 7},
                               {1e15, 1e15 + 1},
                               {-123456, -123455},
                               {0.1, 0.10001}})
      for (double length : {60.0, 165.0, 480.0})
        for (bool across : {false, true}) {
          CAPTURE(range.low);
          const Ticks ticks = ticks_of(range, false, length, across);
          CHECK(ticks.at.size() == ticks.labels.size());
          CHECK(ticks.at.size() <= 12);
          for (double at : ticks.at)
            CHECK((at >= range.low - 1e-9 * (range.high - range.low) && at <= range.high));
        }
    CHECK(ticks_of({1e-300, 1e300}, true, 165, true).at.size() < 8);
  }

  TEST_CASE("text is broken at blanks into lines that fit, and cut where there are too many") {
    using Lines = std::vector<std::string>;
    const double width = text_width("0123456789", 15);
    CHECK((lines_of("short", width, 15, 2) == Lines{"short"}));
    CHECK((lines_of("", width, 15, 2) == Lines{}));
    CHECK((lines_of("two words here", width, 15, 2) == Lines{"two words", "here"}));
    CHECK((lines_of("two words here now", width, 15, 1) == Lines{"two words…"}));
    CHECK((lines_of("ααααααααααββ", width, 15, 2) == Lines{"αααααααααα", "ββ"}));
    CHECK((lines_of("a\nb", width, 15, 2) == Lines{"a b"}));
  }
}

}  // namespace elbo
