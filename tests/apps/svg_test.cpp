// Drawings made smaller for a page: the same picture, read off both.
#include "apps/support/svg.h"

#include <doctest/doctest.h>

#include <cmath>
#include <regex>

#include "apps/support/figure_parts.h"
#include "tests/apps/drawn_figure.h"
#include "tests/apps/page_fault.h"

namespace elbo {
namespace {

Figure cloud(int points, double opacity = 1) {
  Figure figure{.name = "cloud", .title = "A  cloud", .x = {"x"}, .y = {"y"}};
  Series series{.name = "s", .style = Style::points, .opacity = opacity};
  for (int i = 0; i < points; ++i) {
    series.x.push_back(std::sin(1.7 * i));
    series.y.push_back(std::cos(2.3 * i));
  }
  figure.series.push_back(series);
  return figure;
}

/// Where strokes of no length begin.
std::vector<std::pair<double, double>> dots_in(const std::string& svg) {
  const std::regex dot("M(-?[0-9.]+),?(-?[0-9.]+)h.01");
  std::vector<std::pair<double, double>> dots;
  for (std::sregex_iterator it(svg.begin(), svg.end(), dot), end; it != end; ++it)
    dots.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  return dots;
}

/// The drawing with the shared parts put back.
std::string restored(const SharedDrawings& shared, size_t number) {
  std::string svg = shared.drawings[number];
  const std::regex use("<use href=\"#([^\"]+)\"/>");
  std::smatch match;
  while (std::regex_search(svg, match, use)) {
    const std::string open = "<g id=\"" + match[1].str() + "\">";
    const size_t begin = shared.common.find(open) + open.size();
    size_t end = shared.common.find("<g id=\"", begin);
    end = shared.common.rfind("</g>", end == std::string::npos ? shared.common.find("</defs>") : end);
    svg.replace(static_cast<size_t>(match.position()), static_cast<size_t>(match.length()),
                shared.common.substr(begin, end - begin));
  }
  return svg;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a smaller drawing has its points in the same places, and is a quarter as large") {
    if (!have_gnuplot()) return;
    for (double opacity : {1.0, 0.5}) {
      const std::string svg = drawn(cloud(500, opacity)).svg, small = shrink_svg(svg);
      CHECK(fault_in(small.substr(small.find("<svg"))) == "");
      const auto points = points_in(svg);
      const auto dots = dots_in(small);
      REQUIRE(points.size() == 501);  // with the legend's
      REQUIRE(dots.size() == 501);
      for (size_t i = 0; i < points.size(); ++i) {
        CHECK(std::abs(points[i].x - dots[i].first) < 0.051);
        CHECK(std::abs(points[i].y - dots[i].second) < 0.051);
      }
      CHECK(mentions(small, "stroke='#0072b2'"));
      CHECK(mentions(small, "A  cloud"));
      CHECK(small.size() < svg.size() / 3);
      // Those that let light through darken where they meet: each is an element.
      CHECK((count(small, "h.01'/>") == 501) == (opacity < 1));
      CHECK(shrink_svg(small) == small);
    }
  }

  TEST_CASE("filled shapes and lines keep their sizes") {
    if (!have_gnuplot()) return;
    Figure figure{.name = "shapes", .x = {"x"}, .y = {"y"}};
    figure.series.push_back(
        {.x = {1}, .y = {1}, .style = Style::rectangles, .width = {2}, .height = {1}, .opacity = 0.3});
    const Drawn d = drawn(figure);
    const auto box = filled_in(d.svg, "rgb(  0, 114, 178)").front();
    const std::string small = shrink_svg(d.svg);
    const std::regex shape(
        "<path fill='#0072b2' fill-opacity='0.300000' stroke='#0072b2' "
        "d='M(-?[0-9.]+),(-?[0-9.]+)l0,?(-?[0-9.]+) (-?[0-9.]+),0 0,(-?[0-9.]+) ?(-?[0-9.]+),0z'/>");
    std::smatch match;
    REQUIRE(std::regex_search(small, match, shape));
    CHECK(std::abs(std::stod(match[1]) - box.left) < 0.1);
    CHECK(std::abs(std::stod(match[2]) - box.bottom) < 0.1);
    CHECK(std::abs(std::stod(match[3]) - (box.top - box.bottom)) < 0.15);
    CHECK(std::abs(std::stod(match[4]) - (box.right - box.left)) < 0.15);
  }

  TEST_CASE("what is not as gnuplot writes it stays as it is") {
    const auto same = [](const std::string& svg) { CHECK(shrink_svg(svg) == svg); };
    same("");
    same("no svg");
    same("<svg><path d='M1,2 C3,4 5,6 7,8'/></svg>");
    same("<svg><path d=\"M1,2 L3,4\"/></svg>");
    same("<svg><text>a <tspan>b</tspan> <tspan> c</tspan></text></svg>");
    same("<svg><use xlink:href='#mine' transform='translate(1,2) scale(3)' color='red'/></svg>");
    same("<svg><g><rect/></g><g><rect/></g></svg>");
    same("<svg><defs><filter id='x'/></defs></svg>");
    same("<svg><g");
    same("</g></g>");
    CHECK(shrink_svg("<svg>\n <g a='1'>\n</g>\n<rect/></svg>") == "<svg><rect/></svg>");
    CHECK(shrink_svg("<path d='M1.00,2.00 L3.04,2.00 L3.04,-1.96 M0.5,-0.25 L0.5,-0.25  '/>") ==
          "<path d='M1,2l2,0 0-4M.5-.3l0,0'/>");
  }

  TEST_CASE("drawings that share parts are the same drawings") {
    if (!have_gnuplot()) return;
    std::vector<std::string> svgs;
    std::vector<Figure> figures{cloud(40), cloud(40), cloud(40)};
    for (size_t i = 0; i < figures.size(); ++i)
      for (double& x : figures[i].series[0].x) x *= 1 + static_cast<double>(i);
    share_ranges({&figures[0], &figures[1], &figures[2]});
    for (size_t i = 0; i < figures.size(); ++i)
      svgs.push_back(inline_svg(shrink_svg(drawn(figures[i]).svg), "p" + std::to_string(i), "d"));
    const SharedDrawings shared = share_drawings(svgs, "common-");
    CHECK(shared.common.size() > 2000);  // axes, title and legend
    for (size_t i = 0; i < svgs.size(); ++i) {
      CHECK(shared.drawings[i].size() < svgs[i].size() / 2);
      CHECK(restored(shared, i) == svgs[i]);
    }
    CHECK(fault_in(shared.common + shared.drawings[0] + shared.drawings[2]) == "");

    // Elements of one length are not one element.
    const auto with = [](char letter) {
      return "<svg><g><text>" + std::string(200, letter) + "</text><text>" + std::string(200, 'c') +
             "</text></g></svg>";
    };
    const SharedDrawings two = share_drawings({with('a'), with('b')}, "c-");
    CHECK(mentions(two.common, std::string(200, 'c')));
    CHECK(restored(two, 0) == with('a'));
    CHECK(restored(two, 1) == with('b'));

    // Nothing to share: other elements, a single drawing, no drawing.
    for (const auto& own :
         {std::vector<std::string>{svgs[0], "<svg><g><a/></g></svg>"}, {svgs[0]}, {"", "<svg", "<g><"}, {}}) {
      CHECK(share_drawings(own, "c-").common.empty());
      CHECK((share_drawings(own, "c-").drawings == own));
    }
  }
}

}  // namespace elbo
