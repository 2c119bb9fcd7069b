// Grids of figures: their axes, titles and boxes; a figure and its zoom.
#include <doctest/doctest.h>

#include <cmath>

#include "apps/support/figure_parts.h"
#include "tensor/error.h"
#include "tests/apps/drawn_figure.h"

namespace elbo {
namespace {

Figure scatter() {
  Figure figure{.name = "scatter", .x = {"x"}, .y = {"y"}};
  figure.series.push_back({.x = {0, 1, 4}, .y = {-1, 3, 2}, .style = Style::points});
  return figure;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a grid's cells have common axes where asked for, with numbers at the outer ones only") {
    FigureGrid grid{.name = "grid",
                    .title = "Grid",
                    .columns = 2,
                    .row_titles = {"r1", "r2"},
                    .column_titles = {"c1", "c2"}};
    for (double size : {1, 10, 100, 1000})
      grid.cells.push_back(
          {.x = {"x"}, .y = {"y"}, .series = {{.name = "s", .x = {0, size}, .y = {-size, 0}}}});
    const Drawn own = written(grid);
    for (int panel : {1, 2, 3, 4}) {
      const DrawnAxes axes = axes_in(own.script, panel);
      const double size = std::pow(10, panel - 1);
      CHECK(axes.x_high == doctest::Approx(1.02 * size));
      CHECK(axes.y_low == doctest::Approx(-1.05 * size));
    }
    CHECK(count(own.script, "'0' 0") == 8);
    CHECK(own.csv.starts_with("x,y,series,panel\n0,-1,s,\"r1, c1\"\n"));
    CHECK(count(own.csv, ",\"r2, c1\"\n") == 2);
    CHECK(count(own.script, "set label 's' at") == 1);  // the legend says it once
    for (const char* text : {"'Grid'", "'r1'", "'r2'", "'c1'", "'c2'"}) CHECK(count(own.script, text) == 1);

    grid.share_x = grid.share_y = true;
    const Drawn shared = written(grid);
    for (int panel : {1, 2, 3, 4}) {
      const DrawnAxes axes = axes_in(shared.script, panel);
      CHECK(axes.x_high == doctest::Approx(1020));
      CHECK(axes.y_low == doctest::Approx(-1050));
    }
    CHECK(count(shared.script, "'0' 0") == 4);  // below the second row, beside the first column
    CHECK(count(shared.script, "'' 0") == 4);
    // Boxes stand in rows and columns, apart from each other.
    const DrawnAxes first = axes_in(shared.script, 1), second = axes_in(shared.script, 2),
                    third = axes_in(shared.script, 3);
    CHECK(near(first.top, second.top));
    CHECK(near(first.left, third.left));
    CHECK(second.left > first.right + 10);
    CHECK(third.top > first.bottom + 5);
  }

  TEST_CASE("a grid with fewer figures than columns, or a short last row, is drawn") {
    if (!have_gnuplot()) return;
    FigureGrid grid{.name = "short", .cells = {scatter(), scatter(), scatter()}, .columns = 2};
    CHECK(points_in(drawn(grid).svg).size() == 9);
    grid.columns = 5;
    CHECK(points_in(drawn(grid).svg).size() == 9);
    grid.cells = {Figure{}, scatter()};
    CHECK(points_in(drawn(grid).svg).size() == 3);
  }

  TEST_CASE("a zoom's axes are the frame that the whole figure shows") {
    Figure figure{.name = "zoom", .x = {"x"}, .y = {"y"}};
    figure.series.push_back({.name = "s", .x = {0, 1, 2, 3, 4}, .y = {0, 10, 20, 24, 90}});
    figure.series[0].band_low = {0, 9, 16, 20, 80};
    figure.series[0].band_high = {0, 11, 24, 28, 95};
    const auto twins = with_zoom(figure, {.x_low = 1.5, .x_high = 3.5});
    REQUIRE(twins.size() == 2);
    CHECK(twins[1].x.low == 1.5);
    CHECK(twins[1].x.high == 3.5);
    CHECK(twins[1].y.low == doctest::Approx(16 - 0.05 * 12));  // bands of the two points within
    CHECK(twins[1].y.high == doctest::Approx(28 + 0.05 * 12));
    CHECK(twins[1].series.size() == 1);
    REQUIRE(twins[0].series.size() == 2);
    const Series& frame = twins[0].series[1];
    CHECK(frame.name.empty());
    CHECK((frame.x == std::vector<double>{1.5, 3.5, 3.5, 1.5, 1.5}));
    const double low = twins[1].y.low, high = twins[1].y.high;
    CHECK((frame.y == std::vector<double>{low, low, high, high, low}));
    Figure flat = figure;  // of which the zoom sees a line, where a frame as flat would hide it
    flat.series = {{.name = "s", .x = {0, 1, 2, 3}, .y = {0, 50, 50.1, 50.2}}};
    flat.y.low = 0, flat.y.high = 100;
    const auto apart = with_zoom(flat, {.x_low = 1, .x_high = 3});
    CHECK(apart[1].y.high - apart[1].y.low == doctest::Approx(0.22));
    CHECK(apart[0].series[1].y[2] - apart[0].series[1].y[0] == doctest::Approx(4));
    CHECK(apart[0].series[1].y[2] + apart[0].series[1].y[0] == doctest::Approx(100.2));
    CHECK(with_zoom(figure, {.x_low = 0, .x_high = 1, .y_low = -1, .y_high = 2})[1].y.low == -1);
    CHECK(with_zoom(figure, {.x_low = 10, .x_high = 11})[1].series.size() == 1);  // nothing within
    CHECK_THROWS_WITH_AS(draw(with_zoom(figure, {.x_low = 2, .x_high = 1})[1], "/nowhere"),
                         doctest::Contains("would run from 2 to 1"), Error);
    if (!have_gnuplot()) return;
    const Drawn d = drawn(FigureGrid{.name = "twins", .cells = twins});
    const DrawnAxes second = axes_in(d.script, 2);
    CHECK(second.x_low == 1.5);
    CHECK(second.x_high == 3.5);
  }
}

}  // namespace elbo
