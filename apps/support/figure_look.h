// How series look: their colours, lines and points in gnuplot's words, and the legend that says which is
// which.
#pragma once

#include <string>
#include <vector>

#include "apps/support/figure.h"

namespace elbo {

/// How a series is drawn: its line, empty where it has none, and whether it has points or shapes.
struct Look {
  std::string colour;  ///< #rrggbb
  std::string line = {};
  bool points = false;
  std::string shape = {};  ///< "rectangle" or "ellipse", empty where it is none
  int point_type = 7;
  double opacity = 1;

  bool operator==(const Look&) const = default;
};

/// The look of a series whose colour has this number.
Look look_of(const Series& series, int colour);
/// The look of the reference line with this number; neighbours differ in their dashes.
Look look_of_line(int number);

/// The end of a plot command, from "with" on; `last` is the last column that it uses by itself, after which
/// there may be the one of values.
std::string plot_style(const Look& look, const Series& series);
/// The colour with the opacity, as gnuplot writes it.
std::string see_through(const std::string& colour, double opacity);

/// A legend in columns below the axes. gnuplot's own is not used: told where the axes lie, it lets entries
/// overlap the axes' labels or drops them.
class Legend {
 public:
  /// Adds an entry, unless it is there or has no name.
  void add(const std::string& name, const Look& look);
  double height(double page_width) const;
  /// The commands that draw the legend at the foot of a page of this size.
  std::string commands(double page_width, double page_height) const;

 private:
  struct Entry {
    std::string name;
    Look look;
  };
  double entry_width(double page_width) const;
  int columns(double page_width) const;
  int rows(double page_width) const;

  std::vector<Entry> entries_;
};

}  // namespace elbo
