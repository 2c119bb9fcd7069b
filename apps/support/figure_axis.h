// The axes of a figure: how far they reach, and which numbers stand along them.
//
// Knows no drawing program; lengths are in points of the drawing.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "apps/support/figure.h"

namespace elbo {

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();

  bool empty() const { return low > high; }
  /// Widened to hold the value, unless an axis cannot show it: it is not finite, or so large or small that
  /// the axis' margins would be no doubles.
  void include(double value, bool log);
  void include(const Range& other);
};

/// What a figure's data span, bands, sizes of shapes and lines included.
struct Extent {
  Range x, y, colours;
  bool has_colours = false;  ///< something takes its colour from the scale
};
Extent extent_of(const Figure& figure, bool log_colours);

/// Room between the data and the ends of the axes, as shares of their span.
constexpr double kMarginX = 0.02, kMarginY = 0.05;

/// The axis' range: as given, else around the data with a margin that is this share of their span. Never
/// empty, since gnuplot stops at an empty range. Throws Error when it would be.
Range range_of(const Axis& axis, Range data, double margin);

/// The range of colours; never empty. A diverging one has zero in the middle.
Range colour_range(const ColourScale& scale, Range data);

/// Both ranges with a unit of x as long as one of y, in a box of this size; the one that is shorter is
/// widened around its middle.
void make_equal(Range& x, Range& y, double box_width, double box_height);

/// 1, 2 or 5 times a power of ten, so that about `count` such steps lie in the range.
double round_step(const Range& range, double count);

struct Ticks {
  std::vector<double> at;
  std::vector<std::string> labels;  ///< as gnuplot's enhanced text: 10^{3}
  double width = 0;                 ///< of the longest
  bool log = false;  ///< false for a logarithmic axis so short that a linear one looks the same
};
/// Ticks at round numbers, as many as fit into `length` without touching, side by side or (not `across`) one
/// above the other.
Ticks ticks_of(const Range& range, bool log, double length, bool across);

/// Width of text in the drawing's letters of this size.
double text_width(std::string_view text, double size);
/// The text in lines of at most this width, broken at blanks; at most `most` of them, the last ending in …
/// where there would be more.
std::vector<std::string> lines_of(std::string_view text, double width, double size, size_t most);

}  // namespace elbo
