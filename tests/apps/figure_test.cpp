// Figures: the CSV, the script and the SVG, with gnuplot, without it, and when it fails.
#include "apps/support/figure.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/apps/drawn_figure.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

Figure example() {
  Figure figure{.name = "example", .title = "A title", .x = {"step"}, .y = {"ELBO (nats)"}};
  figure.series.push_back({.name = "first, \"quoted\"", .x = {0, 1, 2}, .y = {1, 4, 2}});
  figure.series.push_back({.name = "empty"});
  figure.series.push_back({.name = "#second", .x = {0, 1}, .y = {2, 3}, .style = Style::points});
  figure.lines.push_back({.at = 3.5, .label = "known"});
  return figure;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a figure writes its data, one block for each series, and the lines across it") {
    const TemporaryDirectory directory;
    const CapturedErrors quiet(directory / "errors");
    draw(example(), directory.path(), "no-such-gnuplot");
    CHECK(read_file(directory / "example.csv") ==
          "step,ELBO (nats),series\n"
          "0,1,\"first, \"\"quoted\"\"\"\n1,4,\"first, \"\"quoted\"\"\"\n2,2,\"first, \"\"quoted\"\"\"\n"
          "\n\n0,2,\"#second\"\n1,3,\"#second\"\n"
          "\n\n-0.04,3.5,known\n2.04,3.5,known\n");
  }

  TEST_CASE("without gnuplot data and script are written, and one line says so, once") {
    const TemporaryDirectory directory;
    const std::string path_before = std::getenv("PATH");
    std::string said;
    {
      const CapturedErrors errors(directory / "errors");
      ::setenv("PATH", directory.path().c_str(), 1);
      const Drawing drawing = draw(example(), directory.path());
      draw(example(), directory.path());
      ::setenv("PATH", path_before.c_str(), 1);
      CHECK(drawing.svg.empty());
      CHECK(drawing.problem == "gnuplot was not found");
      said = errors.text();
    }
    CHECK(count(said, "\n") == 1);
    CHECK(mentions(said, "install gnuplot"));
    CHECK(fs::exists(directory / "example.csv"));
    CHECK(fs::exists(directory / "example.gp"));
    CHECK(directory.entries() == 3);  // with the captured errors
  }

  TEST_CASE("a gnuplot that fails or draws nothing leaves no half figure") {
    const TemporaryDirectory directory;
    const CapturedErrors quiet(directory / "errors");
    CHECK(mentions(draw(directory.path(), "x", "", "", "false").problem, "false failed"));
    CHECK(mentions(draw(directory.path(), "x", "", "", "true").problem, "No such file"));
    if (have_gnuplot()) {
      CHECK(
          mentions(draw(directory.path(), "x", "", "set output output\nplot nonsense(\n").problem, "line 2"));
      CHECK(mentions(draw(directory.path(), "x", "",
                          "set output output\nset terminal svg\nset print output\n"
                          "print 'half'\n")
                         .problem,
                     "did not finish"));
    }
    CHECK(directory.entries() == 3);  // x.csv, x.gp and the captured errors
  }

  TEST_CASE("a curve, its legend and every style reach the SVG") {
    if (!have_gnuplot()) return;
    const TemporaryDirectory directory;
    Figure figure = example();
    for (Style style : {Style::dashed, Style::line_points, Style::steps})
      figure.series.push_back({.name = "more", .x = {0, 1, 2}, .y = {1, NAN, INFINITY}, .style = style});
    figure.series[0].band_low = {0, 3, 1};
    figure.series[0].band_high = {2, 5, 3};
    figure.lines.push_back({.at = 1, .label = "vertical", .vertical = true});
    const Drawing drawing = draw(figure, directory.path());
    CHECK(drawing.problem == "");
    CHECK(drawing.svg == read_file(directory / "example.svg"));
    CHECK(directory.entries() == 3);
    for (const std::string part :
         {"A title", "step", "ELBO (nats)", "first, ", "#second", "known", "vertical", "more"})
      CHECK_MESSAGE(mentions(drawing.svg, part), part);
    for (const std::string colour : {"rgb(  0, 114, 178)", "rgb(  0, 158, 115)"})  // 1 and 3: 2 has no points
      CHECK_MESSAGE(mentions(drawing.svg, colour), colour);
    CHECK_FALSE(mentions(drawing.svg, "empty"));
    CHECK(read_file(directory / "example.csv").starts_with("step,ELBO (nats),low,high,series\n"));
  }

  TEST_CASE("the legend shows a dashed series beside a solid one of its colour") {
    if (!have_gnuplot()) return;
    const TemporaryDirectory directory;
    const auto dashes = [&](Style second) {
      Figure figure{.name = "dashes", .x = {"x"}, .y = {"y"}};
      for (Style style : {Style::line, second})
        figure.series.push_back({.name = style == Style::line ? "solid" : "other",
                                 .x = {0, 1},
                                 .y = {1, style == Style::line ? 2.0 : 3.0},
                                 .style = style,
                                 .colour = 0});
      const std::string svg = draw(figure, directory.path()).svg;
      int count = 0;
      for (size_t at = 0; (at = svg.find("stroke-dasharray", at)) != std::string::npos; ++at) ++count;
      return count;
    };
    // In the plot and in the legend.
    CHECK(dashes(Style::dashed) - dashes(Style::line_points) == 2);
  }

  TEST_CASE("what a series is called does not change what is drawn") {
    if (!have_gnuplot()) return;
    const TemporaryDirectory directory;
    const auto svg_without_name = [&](const std::string& name) {
      Figure figure{.name = "names", .x = {"x"}, .y = {"y"}};
      for (double y : {1, 2}) figure.series.push_back({.name = name, .x = {0, 1, 2}, .y = {y, 4, 2}});
      std::string svg = draw(figure, directory.path()).svg;
      std::string shown;  // an apostrophe is drawn as ’
      for (char c : name) shown += c == '\'' ? "’" : std::string(1, c);
      CHECK(count(svg, shown) == 2);
      for (size_t at = 0; (at = svg.find(shown)) != std::string::npos;) svg.erase(at, shown.size());
      return svg;
    };
    const std::string plain = svg_without_name("abcdefgh");
    for (const std::string name : {"a, b, c,", "\"a\",\"bc\"", "#1, 2; 3", "'a' \"bc\"", "nan, inf"})
      CHECK_MESSAGE((svg_without_name(name) == plain), name);  // in brackets: not printed
  }

  TEST_CASE("a user's own settings of gnuplot do not reach the figures") {
    if (!have_gnuplot()) return;
    const TemporaryDirectory directory, home;
    write_file_atomically(home / ".gnuplot", "set label 'planted' at screen 0.5,0.5\n");
    const std::string home_before = std::getenv("HOME") ? std::getenv("HOME") : "/";
    ::setenv("HOME", home.path().c_str(), 1);
    CHECK_FALSE(mentions(draw(example(), directory.path()).svg, "planted"));
    ::setenv("HOME", home_before.c_str(), 1);
  }

  TEST_CASE("text cannot break out of the script or the SVG") {
    if (!have_gnuplot()) return;
    const TemporaryDirectory directory;
    const std::string nasty = "it's {a}_b^c <b>& \\ `touch planted`@m%d\"q\"\n\x1b\xff";
    Figure figure{.name = "nasty", .title = nasty, .x = {nasty}, .y = {nasty}};
    figure.series.push_back({.name = nasty, .x = {0, 1}, .y = {0, 1}});
    figure.lines.push_back({.at = 0.5, .label = nasty});
    const Drawing drawing = draw(figure, directory.path());
    CHECK(drawing.problem == "");
    const std::string shown = "it’s {a}_b^c &lt;b>&amp; \\ `touch planted`@m%d\"q\"  \xef\xbf\xbd";
    CHECK(count(drawing.svg, shown) == 5);
    CHECK(directory.entries() == 3);
  }

  TEST_CASE("figures with nothing to draw, or only one value, are drawn") {
    if (!have_gnuplot()) return;
    const TemporaryDirectory directory;
    const auto problem = [&](bool log, std::vector<double> x, std::vector<double> y) {
      Figure figure{.name = "edge", .title = "", .x = {"x", log}, .y = {"y", log}};
      if (!x.empty()) figure.series.push_back({.name = "s", .x = std::move(x), .y = std::move(y)});
      return draw(figure, directory.path()).problem;
    };
    for (bool log : {false, true}) {
      CHECK(problem(log, {}, {}) == "");
      CHECK(problem(log, {1, 2}, {NAN, -INFINITY}) == "");
      CHECK(problem(log, {1}, {3}) == "");
      CHECK(problem(log, {-1, 0}, {-1, 0}) == "");
      CHECK(problem(log, {1e300, 1e-300}, {5e-324, 1}) == "");
      CHECK(problem(log, {1, 2}, {1e15, 1e15}) == "");
      CHECK(problem(log, {1, 2}, {-1.7e308, 1.7e308}) == "");
    }
  }

  TEST_CASE("a logarithmic axis has at least two labels however short it is") {
    const TemporaryDirectory directory;
    const CapturedErrors quiet(directory / "errors");
    Figure figure{.name = "log", .title = "", .x = {"x", true}, .y = {"y"}};
    figure.series.push_back({.name = "s", .x = {3, 120}, .y = {0, 1}});
    draw(figure, directory.path(), "no-such-gnuplot");
    CHECK(mentions(read_file(directory / "log.gp"),
                   "set xtics ('5' 5, '10' 10, '20' 20, '50' 50, '100' 100)\n"));
    figure.series[0].x = {3, 4};
    draw(figure, directory.path(), "no-such-gnuplot");
    CHECK(mentions(read_file(directory / "log.gp"), "unset logscale x\n"));
    figure.series[0].x = {1e-5, 1};
    draw(figure, directory.path(), "no-such-gnuplot");
    CHECK(
        mentions(read_file(directory / "log.gp"), "\nset logscale x\nset xtics ('10^{−5}' 1e-05, '10^{−4}'"));
  }

  TEST_CASE("a figure that makes no sense is refused before anything is written") {
    const TemporaryDirectory directory;
    Figure figure = example();
    figure.series[0].y.pop_back();
    CHECK_THROWS_WITH_AS(draw(figure, directory.path()), doctest::Contains("3 x and 2 y"), Error);
    figure = example();
    figure.series[0].band_low = {1, 2, 3};
    CHECK_THROWS_WITH_AS(draw(figure, directory.path()), doctest::Contains("3 x and 0 upper band values"),
                         Error);
    figure = example();
    figure.y.low = 10;
    CHECK_THROWS_WITH_AS(draw(figure, directory.path()), doctest::Contains("would run from 10"), Error);
    for (const char* name : {"", "../x", "a b", "a'b"}) {
      figure = example();
      figure.name = name;
      CHECK_THROWS_WITH_AS(draw(figure, directory.path()), doctest::Contains("no name for a figure"), Error);
    }
    CHECK(directory.entries() == 0);
    CHECK_THROWS_AS(draw(example(), directory / "absent"), Error);
  }

  TEST_CASE("colours go round") {
    CHECK(figure_colour(0) == "#0072B2");
    CHECK(figure_colour(7) == figure_colour(0));
    CHECK(figure_colour(-1) == figure_colour(6));
    CHECK(figure_colour(1) != figure_colour(0));
  }
}

}  // namespace elbo
