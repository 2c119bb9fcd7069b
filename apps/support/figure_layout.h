// Where everything on a figure's page lies: axes, titles, colour bars. Lengths are in points of the drawing,
// from its top left corner.
#pragma once

#include <string>
#include <vector>

#include "apps/support/figure.h"
#include "apps/support/figure_axis.h"

namespace elbo {

struct CellLayout {
  Range x, y, colours;
  Ticks x_ticks, y_ticks, colour_ticks;
  bool log_colours = false;
  bool has_colours = false;                        ///< something in the cell takes colours from the scale
  bool bar = false;                                ///< and a bar of its own says which
  bool x_numbers = true, y_numbers = true;         ///< stand along the axes
  bool x_label = true, y_label = true;             ///< likewise the labels
  double left = 0, top = 0;                        ///< of the axes' box
  std::vector<std::string> title = {}, note = {};  ///< in lines
};

struct PageLayout {
  double width = 0, height = 0;          ///< of the page, without the legend at its foot
  double box_width = 0, box_height = 0;  ///< of each cell's axes
  std::vector<CellLayout> cells = {};
  std::vector<std::string> title = {};
  std::vector<std::vector<std::string>> column_titles = {};  ///< each in lines
  bool shared_bar = false;                                   ///< one for all cells, above the legend
  double bar_left = 0, bar_top = 0, bar_width = 0;
};

/// In points of the drawing: sizes of letters, distances of text and bars from the axes.
struct PageSizes {
  static constexpr double kTitle = 17, kText = 15, kNote = 13;
  static constexpr double kTitleRow = 22, kTextRow = 20, kNoteRow = 18;
  static constexpr double kTickRow = 26, kLabelRow = 27, kBarHeight = 10, kBarRows = 32;
  static constexpr double kTickGap = 16;  // between an upright axis and its numbers
};

PageLayout lay_out(const FigureGrid& grid);

/// Columns of a grid: no more than it has cells.
size_t columns_of(const FigureGrid& grid);

}  // namespace elbo
