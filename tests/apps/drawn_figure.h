// What tests of figures read off a drawn one: how often the SVG says something, where points lie on the page,
// and where the script put the axes.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <regex>
#include <string>
#include <vector>

#include "apps/support/figure.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {

inline int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

/// What is printed on standard error while it lives.
class CapturedErrors {
 public:
  explicit CapturedErrors(const std::string& path) : path_(path), before_(::dup(STDERR_FILENO)) {
    const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    ::dup2(file, STDERR_FILENO);
    ::close(file);
  }
  ~CapturedErrors() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
  }
  CapturedErrors(const CapturedErrors&) = delete;
  CapturedErrors& operator=(const CapturedErrors&) = delete;
  std::string text() const { return read_file(path_); }

 private:
  std::string path_;
  int before_;
};

/// Whether the machine has gnuplot. Where it has not, the checks of drawn figures are passed over.
inline bool have_gnuplot() {
  static const bool have = std::system("gnuplot --version > /dev/null 2>&1") == 0;
  if (!have) MESSAGE("gnuplot is not installed: not checked");
  return have;
}

/// A figure as it was drawn.
struct Drawn {
  std::string svg, script, csv;
};

template <class F>
Drawn drawn(const F& figure) {
  const TemporaryDirectory directory;
  const Drawing drawing = draw(figure, directory.path());
  CHECK(drawing.problem == "");
  return {drawing.svg, read_file(directory / (figure.name + ".gp")),
          read_file(directory / (figure.name + ".csv"))};
}

/// The script and the CSV, without gnuplot.
template <class F>
Drawn written(const F& figure) {
  const TemporaryDirectory directory;
  const CapturedErrors quiet(directory / "errors");
  draw(figure, directory.path(), "no-such-gnuplot");
  return {"", read_file(directory / (figure.name + ".gp")), read_file(directory / (figure.name + ".csv"))};
}

// gnuplot rounds positions to 1/100 of a point, the script margins to 1/10000 of the page.
inline constexpr double kRounding = 0.12;
inline bool near(double a, double b, double rounding = kRounding) { return std::abs(a - b) <= rounding; }

/// The number that follows this text at or after `from`; NaN where it does not stand there.
inline double number_after(const std::string& text, const std::string& before, size_t from = 0) {
  const size_t at = text.find(before, from);
  return at == std::string::npos ? std::nan("") : std::strtod(text.c_str() + at + before.size(), nullptr);
}

/// The axes of one panel as the script sets them, in points of the page.
struct DrawnAxes {
  double left, right, top, bottom;      ///< of their box
  double x_low, x_high, y_low, y_high;  ///< what stands at its sides

  double across(double x) const { return left + (x - x_low) / (x_high - x_low) * (right - left); }
  double up(double y) const { return bottom - (y - y_low) / (y_high - y_low) * (bottom - top); }
  double unit_x() const { return (right - left) / (x_high - x_low); }
  double unit_y() const { return (bottom - top) / (y_high - y_low); }
};

inline DrawnAxes axes_in(const std::string& script, int panel = 1) {
  const double width = number_after(script, "svg size "),
               height = number_after(script, ",", script.find("svg size "));
  const size_t at = script.find("# Panel " + std::to_string(panel) + "\n");
  REQUIRE(at != std::string::npos);
  const auto pair = [&](const char* range) {
    const size_t begin = script.find(range, at);
    return std::pair(number_after(script, "[", begin), number_after(script, ":", begin));
  };
  DrawnAxes axes{};
  axes.left = width * number_after(script, "set lmargin at screen ", at);
  axes.right = width * number_after(script, "set rmargin at screen ", at);
  axes.top = height * (1 - number_after(script, "set tmargin at screen ", at));
  axes.bottom = height * (1 - number_after(script, "set bmargin at screen ", at));
  std::tie(axes.x_low, axes.x_high) = pair("set xrange ");
  std::tie(axes.y_low, axes.y_high) = pair("set yrange ");
  return axes;
}

struct DrawnPoint {
  double x, y;
  std::string colour;
};
/// The points of an SVG, in the order in which they are drawn; the legend's are the first.
inline std::vector<DrawnPoint> points_in(const std::string& svg) {
  const std::regex use(
      "<use xlink:href='#gpPt\\d+' transform='translate\\(([^,]+),([^)]+)\\)[^>]*color='([^']+)'");
  std::vector<DrawnPoint> points;
  for (std::sregex_iterator it(svg.begin(), svg.end(), use), end; it != end; ++it)
    points.push_back({std::stod((*it)[1]), std::stod((*it)[2]), (*it)[3]});
  return points;
}

/// Where filled shapes of this colour begin and end.
struct DrawnBox {
  double left, right, top, bottom;
};
inline std::vector<DrawnBox> filled_in(const std::string& svg, const std::string& colour) {
  const std::string before = "<polygon fill = '" + colour + "'";
  std::vector<DrawnBox> boxes;
  for (size_t at = 0; (at = svg.find(before, at)) != std::string::npos; ++at) {
    const size_t begin = svg.find("points = '", at) + 10, end = svg.find('\'', begin);
    std::string text = svg.substr(begin, end - begin);
    DrawnBox box{1e9, -1e9, 1e9, -1e9};
    for (char& c : text)
      if (c == ',') c = ' ';
    char* rest = text.data();
    for (char* next = rest;; rest = next) {
      const double x = std::strtod(rest, &next);
      if (next == rest) break;
      const double y = std::strtod(next, &next);
      box = {std::min(box.left, x), std::max(box.right, x), std::min(box.top, y), std::max(box.bottom, y)};
    }
    boxes.push_back(box);
  }
  return boxes;
}

}  // namespace elbo
