// Figure: what a paper's page shows of numbers, and grids of them. Drawn as SVG, with the CSV and the script.
//
//   Figure figure{.name = "elbo", .title = "ELBO of a linear VAE", .x = {"step"}, .y = {"ELBO (nats)"}};
//   figure.series.push_back({.name = "analytic", .x = steps, .y = elbos});
//   figure.lines.push_back({.at = ppca, .label = "pPCA maximum"});
//   Drawing drawing = draw(figure, run.figures());
//
//   FigureGrid grid{.name = "latent", .columns = 2, .column_titles = {"truth", "learned"}};
//   grid.cells = {truth, learned};                           // any figures
//   Drawing both = draw(grid, run.figures());
//
// Legends and colour bars lie outside the axes, so they cover no data. Computes nothing but the ranges of the
// axes; what is computed for figures is in figure_parts.h. A value that is not finite leaves a gap.
#pragma once

#include <limits>
#include <optional>
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

/// Rectangles and ellipses have sizes in the units of the axes.
enum class Style { line, dashed, points, line_points, steps, rectangles, ellipses };

constexpr int kBlack = 6;  ///< the number of that colour

struct Series {
  std::string name = {};               ///< in the legend; none where empty
  std::vector<double> x = {}, y = {};  ///< as long as each other; a NaN interrupts the line
  Style style = Style::line;
  /// A shaded band between two curves, e.g. quartiles: empty, or as long as x.
  std::vector<double> band_low = {}, band_high = {};
  int colour = -1;  ///< number of a colour, so that series that belong together share one; -1: the next
  /// Points, rectangles and ellipses take their colours from these through the figure's colour scale: empty,
  /// or as long as x.
  std::vector<double> value = {};
  /// Of rectangles and ellipses around (x, y), from side to side: as long as x. Without heights, they are as
  /// high as wide.
  std::vector<double> width = {}, height = {};
  double opacity = 1;    ///< of points and of what fills shapes, 0 to 1; outlines are always seen
  bool outlines = true;  ///< of rectangles and ellipses
};

/// A thin dashed line across the figure, at a y (or, vertical, an x) that means something.
struct ReferenceLine {
  double at = 0;
  std::string label = {};
  bool vertical = false;
};

enum class Palette {
  sequential,  ///< dark to light
  diverging,   ///< blue below zero, white at zero, orange above; zero has a contour of its own
  cyclic,      ///< ends as it begins, for angles
};

/// What colours mean, for a surface and for series with values. Its bar is drawn where there are such.
struct ColourScale {
  std::string label = {};
  Palette palette = Palette::sequential;
  bool log = false;  ///< values that are not positive leave holes
  /// Values beyond take the last colour; NaN: as the data.
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

/// Values on a grid, as colours, contour lines, or both, below everything else. The axes span the grid.
struct Surface {
  std::vector<double> x = {}, y = {};  ///< evenly spaced, rising, at least two of each
  std::vector<double> values = {};     ///< (y, x), row-major; NaN leaves a hole
  bool coloured = true, contours = true;
  std::vector<double> levels = {};  ///< of the contour lines; empty: round numbers
};

struct Figure {
  std::string name = {};  ///< of the files: letters, digits, - and _; a grid's cells need none
  std::string title = {};
  Axis x = {}, y = {};
  std::vector<Series> series = {};
  std::vector<ReferenceLine> lines = {};
  std::optional<Surface> surface = {};
  ColourScale colours = {};
  bool equal = false;     ///< a unit of x is as long as one of y; one of the ranges is widened for that
  std::string note = {};  ///< a second line below the title
};

struct FigureGrid {
  std::string name;  ///< of the files: letters, digits, - and _
  std::string title = {};
  std::vector<Figure> cells = {};  ///< row by row; the last row may be short
  int columns = 2;
  /// Empty, or one for each row or column.
  std::vector<std::string> row_titles = {}, column_titles = {};
  /// All cells have the same range of x, of y; only the outer ones have numbers.
  bool share_x = false, share_y = false;
  bool share_colours = false;  ///< the first cell's colour scale, over the values of all, with one bar
};

/// Writes name.csv and name.gp into the directory and draws name.svg. A figure without anything to draw gives
/// empty axes. Throws Error when lengths differ, a surface's grid is not even, a log axis has equal units, a
/// surface or ellipses, or the files cannot be written.
Drawing draw(const Figure& figure, const std::string& directory, const std::string& program = "gnuplot");
/// The same; a series without a name, or with one that an earlier cell's has too, adds nothing to the legend.
Drawing draw(const FigureGrid& grid, const std::string& directory, const std::string& program = "gnuplot");

}  // namespace elbo
