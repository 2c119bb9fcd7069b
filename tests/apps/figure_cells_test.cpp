// What lies between a figure's axes and where: read off the SVG that gnuplot draws, against the linear map
// that the script's ranges and margins give.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "apps/support/figure.h"
#include "apps/support/figure_parts.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/apps/drawn_figure.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

const std::string kBlue = "rgb(  0, 114, 178)";

Figure scatter() {
  Figure figure{.name = "scatter", .x = {"x"}, .y = {"y"}};
  figure.series.push_back({.x = {0, 1, 4}, .y = {-1, 3, 2}, .style = Style::points});
  return figure;
}

Surface saddle() {
  return surface_of([](double x, double y) { return x * x - y * y; }, evenly(-1, 2, 4), evenly(-1, 1, 3));
}

FigureGrid two_surfaces() {
  FigureGrid grid{.name = "map", .title = "A surface"};
  for (const char* title : {"left, \"one\"", "right"})
    grid.cells.push_back({.title = title,
                          .x = {"u5"},
                          .y = {"u7"},
                          .surface = saddle(),
                          .colours = {.label = "nats", .palette = Palette::diverging},
                          .note = "stable"});
  return grid;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("points lie where the axes say, and those that are no numbers leave gaps") {
    if (!have_gnuplot()) return;
    Figure figure = scatter();
    figure.series[0].x.insert(figure.series[0].x.end(), {2, NAN, INFINITY});
    figure.series[0].y.insert(figure.series[0].y.end(), {NAN, 1, 1});
    const Drawn d = drawn(figure);
    const DrawnAxes axes = axes_in(d.script);
    const auto points = points_in(d.svg);
    REQUIRE(points.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      CAPTURE(i);
      CHECK(near(points[i].x, axes.across(figure.series[0].x[i])));
      CHECK(near(points[i].y, axes.up(figure.series[0].y[i])));
    }
    CHECK(axes.x_low < 0);
    CHECK(axes.x_high > 4);
  }

  TEST_CASE("equal axes have one unit, whatever the data and the box") {
    for (const std::vector<double>& y : {std::vector<double>{-1, 3, 2}, {0, 100, 50}, {7, 7, 7}}) {
      Figure figure = scatter();
      figure.series[0].y = y;
      const DrawnAxes free = axes_in(written(figure).script);
      CHECK_FALSE(near(free.unit_x(), free.unit_y(), 0.01 * free.unit_x()));
      figure.equal = true;
      DrawnAxes axes = axes_in(written(figure).script);
      CHECK(axes.unit_x() == doctest::Approx(axes.unit_y()).epsilon(2e-3));
      for (double x : figure.series[0].x) CHECK((axes.x_low < x && x < axes.x_high));
      for (double at : y) CHECK((axes.y_low < at && at < axes.y_high));
      // In cells that are not square, too.
      FigureGrid grid{.name = "grid", .cells = {figure, figure, figure}, .columns = 3};
      for (int panel : {1, 2, 3}) {
        axes = axes_in(written(grid).script, panel);
        CHECK(axes.unit_x() == doctest::Approx(axes.unit_y()).epsilon(4e-3));
      }
    }
  }

  TEST_CASE("rectangles and ellipses are as wide and high as their sizes in the axes' units") {
    if (!have_gnuplot()) return;
    for (Style style : {Style::rectangles, Style::ellipses}) {
      Figure figure{.name = "shapes", .x = {"x"}, .y = {"y"}};
      Series s{.x = {0, 2, 1, 1, 1},
               .y = {0, 10, 1, 1, 1},
               .style = style,
               .width = {1, 0.5, NAN, -1, INFINITY},
               .height = {4, 8, 1, 1, 1},
               .opacity = 0.2};
      figure.series.push_back(s);
      const Drawn d = drawn(figure);
      const DrawnAxes axes = axes_in(d.script);
      const auto boxes = filled_in(d.svg, kBlue);
      REQUIRE(boxes.size() == 2);  // sizes that are no sizes leave gaps
      for (size_t i = 0; i < 2; ++i) {
        CAPTURE(i);
        CHECK(near(boxes[i].left, axes.across(s.x[i] - 0.5 * s.width[i])));
        CHECK(near(boxes[i].right, axes.across(s.x[i] + 0.5 * s.width[i])));
        CHECK(near(boxes[i].top, axes.up(s.y[i] + 0.5 * s.height[i])));
        CHECK(near(boxes[i].bottom, axes.up(s.y[i] - 0.5 * s.height[i])));
      }
      // The axes reach around the shapes.
      CHECK(axes.x_low < -0.5);
      CHECK(axes.y_high > 14);
      CHECK(count(d.svg, "fill-opacity = '0.200000'") == 2);
      // Their outlines have the colour in full, or there are none.
      const auto outlines = [&](const Drawn& of) { return count(of.svg, "stroke='" + std::string(kBlue)); };
      const auto outlined = outlines(d);
      figure.series[0].outlines = false;
      CHECK(outlines(drawn(figure)) == outlined - 2);
      CHECK(filled_in(drawn(figure).svg, kBlue).size() == 2);
      figure.series[0].outlines = true;
      // Without heights they are as high as wide.
      figure.series[0].height.clear();
      figure.series[0].width = {1, 0.5, 0.25, 3, 2};
      const Drawn squares = drawn(figure);
      const DrawnAxes again = axes_in(squares.script);
      for (const DrawnBox& box : filled_in(squares.svg, kBlue))
        CHECK((box.right - box.left) / again.unit_x() ==
              doctest::Approx((box.bottom - box.top) / again.unit_y()).epsilon(0.02));
    }
  }

  TEST_CASE("values give points and shapes their colours, in the order of the palette; without one, a gap") {
    if (!have_gnuplot()) return;
    Figure figure = scatter();
    figure.series[0] = {.x = {0, 1, 2, 3, 4, 5},
                        .y = {0, 0, 0, 0, 0, 0},
                        .style = Style::points,
                        .value = {0, 10, 5, NAN, 0, INFINITY}};
    figure.colours = {.label = "angle"};
    const Drawn d = drawn(figure);
    const auto points = points_in(d.svg);
    REQUIRE(points.size() == 4);
    CHECK(points[0].colour == "rgb( 68,   1,  84)");  // the palette's ends, #440154 and #fde725
    CHECK(points[1].colour == "rgb(253, 231,  37)");
    CHECK(points[2].colour == "rgb( 33, 145, 140)");  // and its middle, #21918c
    CHECK(points[3].colour == points[0].colour);
    CHECK(near(points[3].x, axes_in(d.script).across(4)));
    CHECK(mentions(d.script, "set colorbox horizontal"));
    CHECK(mentions(d.svg, "angle"));
    CHECK(mentions(d.csv, "x,y,angle,series\n0,0,0,\n1,0,10,\n"));
    // On a logarithmic scale, 1 is the middle of 0.1 and 10, and 0 has no colour.
    figure.series[0].value = {0.1, 10, 1, 0, -1, NAN};
    figure.colours.log = true;
    const auto logged = points_in(drawn(figure).svg);
    REQUIRE(logged.size() == 3);
    CHECK(logged[2].colour == points[2].colour);
    // Beyond given ends, the last colours.
    figure.colours = {.low = 0, .high = 1};
    CHECK(points_in(drawn(figure).svg)[1].colour == points[1].colour);

    for (Style style : {Style::rectangles, Style::ellipses}) {
      figure.series[0] = {
          .x = {0, 1, 2}, .y = {0, 0, 0}, .style = style, .value = {0, NAN, 10}, .width = {1, 1, 1}};
      figure.colours = {};
      const std::string svg = drawn(figure).svg;
      // The colour bar is made of polygons of these colours as well.
      const auto wide = [](const std::vector<DrawnBox>& boxes) {
        return std::count_if(boxes.begin(), boxes.end(),
                             [](const DrawnBox& b) { return b.right - b.left > 20; });
      };
      CHECK(wide(filled_in(svg, points[0].colour)) == 1);
      CHECK(wide(filled_in(svg, points[1].colour)) == 1);
      CHECK(wide(filled_in(svg, "#FFFFFF")) == 0);
    }
  }

  TEST_CASE("classes have series of their own; colours that come again come as squares") {
    const auto series =
        by_class({1, 2, 3, 4}, {5, 6, 7, 8}, {0, 2, 0, 8}, {"a", "b", "c", "d", "e", "f", "g", "h", "i"});
    REQUIRE(series.size() == 9);
    CHECK((series[0].x == std::vector<double>{1, 3}));
    CHECK((series[0].y == std::vector<double>{5, 7}));
    CHECK((series[2].x == std::vector<double>{2}));
    CHECK(series[1].x.empty());
    CHECK(series[8].name == "i");
    const Drawn d = written(Figure{.name = "classes", .series = series});
    CHECK(mentions(d.script,
                   "index 0 using 1:2 with points pointtype 7 pointsize 0.5 linecolor rgb '#0072B2'"));
    CHECK(mentions(d.script,
                   "index 2 using 1:2 with points pointtype 5 pointsize 0.5 linecolor rgb '#D55E00'"));
    CHECK_THROWS_WITH_AS(by_class({1}, {1}, {2}, {"a", "b"}),
                         doctest::Contains("class 2, but there are names for 2"), Error);
    CHECK_THROWS_WITH_AS(by_class({1}, {1}, {-1}, {"a"}), doctest::Contains("class -1"), Error);
    CHECK_THROWS_WITH_AS(by_class({1}, {1, 2}, {0}, {"a"}), doctest::Contains("1 x, 2 y and 1 classes"),
                         Error);
  }

  TEST_CASE("a surface writes one row for each value and draws an image with contours in each cell") {
    if (!have_gnuplot()) return;
    const Drawn d = drawn(two_surfaces());
    CHECK(d.csv.starts_with(
        "u5,u7,nats,panel\n-1,-1,0,\"left, \"\"one\"\"\"\n0,-1,-1,\"left, \"\"one\"\"\"\n"));
    CHECK(count(d.csv, ",right\n") == 12);
    CHECK(count(d.csv, "\n\n\n") == 1);
    CHECK(count(d.svg, "<image") == 2);
    CHECK(count(d.svg, "href='data:image/png;base64,") == 2);
    CHECK(count(d.svg, "stroke-dasharray") >= 2);  // the contour through zero
    for (const std::string part : {"A surface", "left, ", "right", "stable", "u5", "u7", "nats"})
      CHECK_MESSAGE(mentions(d.svg, part), part);
    // Half a step around the grid, which is what an image's pixels take.
    const DrawnAxes axes = axes_in(d.script);
    CHECK(axes.x_low == -1.5);
    CHECK(axes.x_high == 2.5);
    CHECK(axes.y_low == -1.5);
    CHECK(axes.y_high == 1.5);
    // A bar for each, unless they share one.
    CHECK(count(d.script, "set colorbox horizontal") == 2);
    FigureGrid shared = two_surfaces();
    shared.share_colours = true;
    shared.cells[1].surface->values[0] = 50;
    const Drawn one = written(shared);
    CHECK(count(one.script, "set colorbox horizontal") == 1);
    CHECK(count(one.script, "set cbrange [-50:50]") == 2);
    // Contours at round numbers within the values of each, -1 to 4; at those of the scale where it is shared.
    CHECK(count(d.script, "levels discrete -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5\n") == 2);
    CHECK(count(one.script, "levels discrete 0, 10, 20, 30, 40\n") == 1);
  }

  TEST_CASE("contours lie at the levels that are given, and nowhere else") {
    if (!have_gnuplot()) return;
    // x² + y² = level is a circle.
    Figure figure{.name = "circles", .x = {"x"}, .y = {"y"}};
    figure.surface =
        surface_of([](double x, double y) { return x * x + y * y; }, evenly(-2, 2, 81), evenly(-2, 2, 81));
    figure.surface->coloured = false;
    figure.surface->levels = {0.25, 2.25};
    const Drawn d = drawn(figure);
    CHECK(count(d.svg, "<image") == 0);
    CHECK_FALSE(mentions(d.script, "set colorbox horizontal"));
    const DrawnAxes axes = axes_in(d.script);
    const size_t begin = d.svg.find("<title>$contours");
    REQUIRE(begin != std::string::npos);
    const std::string part = d.svg.substr(begin, d.svg.find("\n\t</g>", begin) - begin);
    const std::regex place("[ML](-?[0-9.]+),(-?[0-9.]+)");
    int inner = 0, outer = 0, neither = 0;
    for (std::sregex_iterator it(part.begin(), part.end(), place), end; it != end; ++it) {
      const double x = axes.x_low + (std::stod((*it)[1]) - axes.left) / axes.unit_x();
      const double y = axes.y_low + (axes.bottom - std::stod((*it)[2])) / axes.unit_y();
      const double radius = std::hypot(x, y);
      ++(near(radius, 0.5, 0.01) ? inner : near(radius, 1.5, 0.01) ? outer : neither);
    }
    CHECK(inner > 40);
    CHECK(outer > 120);
    CHECK(neither == 0);
    figure.surface->levels = {NAN};
    CHECK_THROWS_WITH_AS(written(figure), doctest::Contains("no level of a contour"), Error);
  }

  TEST_CASE("a logarithmic surface has contours at powers of ten, and holes where nothing is positive") {
    Figure figure{.name = "log", .colours = {.log = true, .low = 1e-5}};
    figure.surface = surface_of([](double x, double y) { return x * y == 0 ? 0 : std::exp(-x * x - y * y); },
                                evenly(-4, 4, 41), evenly(-4, 4, 41));
    const Drawn d = written(figure);
    CHECK(mentions(d.script, "set logscale cb\n"));
    CHECK(mentions(d.script, "set cntrparam levels discrete 1e-05, 0.0001, 0.001, 0.01, 0.1\n"));
    CHECK(mentions(d.script, "using 1:2:($3 > 0 && $3 <= 1e300 ? $3 : NaN) with image"));
    if (have_gnuplot()) CHECK(count(drawn(figure).svg, "<image") == 1);
  }

  TEST_CASE("surfaces that are flat, or hold nothing finite, are drawn") {
    if (!have_gnuplot()) return;
    for (double value : {0.0, 1.0, -1e15, 1e-300, std::nan(""), HUGE_VAL, 1.7e308})
      for (auto palette : {Palette::sequential, Palette::diverging, Palette::cyclic})
        for (bool log : {false, true}) {
          CAPTURE(value);
          FigureGrid grid = two_surfaces();
          grid.share_colours = palette == Palette::sequential;
          for (Figure& cell : grid.cells) cell.colours = {.palette = palette, .log = log};
          for (double& v : grid.cells[0].surface->values) v = value;
          grid.cells[1].surface->values[5] = NAN;
          drawn(grid);
        }
  }

  TEST_CASE("a surface or a grid whose sizes do not agree is refused before anything is written") {
    const TemporaryDirectory directory;
    const auto refuses = [&](const std::string& part, auto change) {
      FigureGrid grid = two_surfaces();
      change(grid);
      CHECK_THROWS_WITH_AS(draw(grid, directory.path()), doctest::Contains(part.c_str()), Error);
    };
    refuses("11 values for a grid of 3 rows and 4",
            [](FigureGrid& g) { g.cells[1].surface->values.pop_back(); });
    refuses("value 1 is 0.5 instead of 0", [](FigureGrid& g) { g.cells[0].surface->x[1] = 0.5; });
    refuses("must rise", [](FigureGrid& g) { g.cells[0].surface->x = {2, 1, 0, -1}; });
    refuses("must rise", [](FigureGrid& g) { g.cells[0].surface->x = {1, 1, 1, 1}; });
    refuses("it needs two", [](FigureGrid& g) { g.cells[0].surface->y = {1}; });
    refuses("no cells", [](FigureGrid& g) { g.cells.clear(); });
    refuses("0 columns", [](FigureGrid& g) { g.columns = 0; });
    refuses("3 titles for 1 rows", [](FigureGrid& g) { g.row_titles = {"a", "b", "c"}; });
    refuses("1 titles for 2 columns", [](FigureGrid& g) { g.column_titles = {"a"}; });
    refuses("a surface needs linear axes", [](FigureGrid& g) { g.cells[0].x.log = true; });
    const auto with = [](FigureGrid& g, const Series& s) { g.cells = {Figure{.series = {s}}}; };
    refuses("2 x and 1 colour values", [&](FigureGrid& g) {
      with(g, {.x = {1, 2}, .y = {1, 2}, .value = {1}});
    });
    refuses("1 x and 0 widths",
            [&](FigureGrid& g) { with(g, {.x = {1}, .y = {1}, .style = Style::rectangles}); });
    refuses("1 x and 2 heights", [&](FigureGrid& g) {
      with(g, {.x = {1}, .y = {1}, .style = Style::ellipses, .width = {1}, .height = {1, 2}});
    });
    refuses("ellipses need linear axes", [&](FigureGrid& g) {
      with(g, {.x = {1}, .y = {1}, .style = Style::ellipses, .width = {1}});
      g.cells[0].y.log = true;
    });
    refuses("equal units need linear axes", [&](FigureGrid& g) {
      with(g, {.x = {1}, .y = {1}});
      g.cells[0].y.log = g.cells[0].equal = true;
    });
    refuses("shares x axes, which are logarithmic in some", [&](FigureGrid& g) {
      g.cells = {Figure{}, Figure{.x = {"x", true}}};
      g.share_x = true;
    });
    CHECK(directory.entries() == 0);
  }
}

}  // namespace elbo
