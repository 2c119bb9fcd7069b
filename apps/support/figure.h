// Figure: curves over one axis, drawn for a paper's page: SVG, the CSV it was drawn from, and the script.
//
//   Figure figure{.name = "elbo", .title = "ELBO of a linear VAE", .x = {"step"}, .y = {"ELBO (nats)"}};
//   figure.series.push_back({.name = "analytic", .x = steps, .y = elbos});
//   figure.lines.push_back({.at = ppca, .label = "pPCA maximum"});
//   Drawing drawing = draw(figure, run.figures());
//
// The legend lies below the axes, so it covers no data. Computes nothing but the ranges of the axes.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "apps/support/gnuplot.h"

namespace elbo {

struct Axis {
  std::string label = {};
  bool log = false;
  /// Where the axis begins and ends; NaN: where the data do. What lies outside is cut off.
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

enum class Style { line, dashed, points, line_points, steps };

struct Series {
  std::string name = {};               ///< in the legend; none where empty
  std::vector<double> x = {}, y = {};  ///< as long as each other; a NaN interrupts the line
  Style style = Style::line;
  /// A shaded band between two curves, e.g. quartiles: empty, or as long as x.
  std::vector<double> band_low = {}, band_high = {};
  int colour = -1;  ///< number of a colour, so that series that belong together share one; -1: the next
};

/// A thin dashed line across the figure, at a y (or, vertical, an x) that means something.
struct ReferenceLine {
  double at = 0;
  std::string label = {};
  bool vertical = false;
};

struct Figure {
  std::string name;  ///< of the files: letters, digits, - and _
  std::string title = {};
  Axis x = {}, y = {};
  std::vector<Series> series = {};
  std::vector<ReferenceLine> lines = {};
};

/// Writes name.csv and name.gp into the directory and draws name.svg. A figure without anything to draw gives
/// empty axes. Throws Error when a series' lengths differ or the files cannot be written.
Drawing draw(const Figure& figure, const std::string& directory, const std::string& program = "gnuplot");

}  // namespace elbo
