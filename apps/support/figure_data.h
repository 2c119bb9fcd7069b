// The numbers of a figure as a CSV file, in the blocks that gnuplot counts.
#pragma once

#include <string>
#include <vector>

#include "apps/support/csv.h"
#include "apps/support/figure.h"
#include "apps/support/figure_axis.h"

namespace elbo {

/// Throws Error when a figure makes no sense: lengths that differ, a grid that is not even, axes that cannot
/// be what is asked of them.
void check(const FigureGrid& grid);

/// Numbers of the columns after x and y that a figure needs, from 1 on as gnuplot counts; 0: not there.
struct FigureColumns {
  int low = 0;    ///< of bands, followed by high
  int value = 0;  ///< that colours show
  int width = 0;  ///< of shapes, followed by height
  bool series = false, panel = false;
};

/// gnuplot takes one blank line as the end of a surface's row and two as the end of a block; CSV readers skip
/// them.
class FigureData {
 public:
  explicit FigureData(const FigureGrid& grid);

  const FigureColumns& columns() const { return columns_; }
  /// How many blocks there are; the last one is blocks() - 1.
  int blocks() const { return blocks_; }
  const std::string& csv() const { return csv_; }

  /// What is added from now on belongs to this cell.
  void begin_panel(const std::string& name) { panel_ = name; }
  void add_series(const Series& series);
  void add_surface(const Surface& surface);
  /// Across axes of this range.
  void add_line(const ReferenceLine& line, const Range& x, const Range& y);

 private:
  struct Row {
    double x, y, low, high, value, width, height;
  };
  void begin_block() { csv_ += blocks_++ ? "\n\n" : ""; }
  void add(const Row& row, const std::string& series);

  FigureColumns columns_;
  std::string csv_, panel_;
  int blocks_ = 0;
};

}  // namespace elbo
