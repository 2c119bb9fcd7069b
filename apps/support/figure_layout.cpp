#include "apps/support/figure_layout.h"

#include <algorithm>
#include <cmath>

namespace elbo {
namespace {

using S = PageSizes;

// In points of the drawing.
constexpr double kSinglePage = 560, kSingleHeight = 280, kSingleSquare = 380;
constexpr double kRight = 24;  // numbers below the axes reach beyond them
constexpr double kEdge = 8, kRowTitle = 26, kBeforeColumn = 14, kAboveBox = 12;

bool is_square(const FigureGrid& grid) {
  return std::any_of(grid.cells.begin(), grid.cells.end(),
                     [](const Figure& cell) { return cell.equal || cell.surface; });
}

/// The axes' box, as wide as fits a page; the width of a single one is what its numbers leave.
void size_boxes(const FigureGrid& grid, PageLayout& page) {
  const size_t columns = columns_of(grid);
  const bool square = is_square(grid);
  page.box_width = columns == 1 ? kSingleSquare : columns == 2 ? 260 : columns == 3 ? 205 : 165;
  page.box_height = square ? page.box_width : columns == 1 ? kSingleHeight : 0.75 * page.box_width;
}

/// Whether the cell is the first, or says something else than the one before it.
bool says_more(const FigureGrid& grid, size_t cell, size_t before, bool exists, const Axis Figure::*axis) {
  return !exists || (grid.cells[cell].*axis).label != (grid.cells[before].*axis).label;
}

/// Ranges, numbers and which of them are shown.
void set_axes(const FigureGrid& grid, PageLayout& page) {
  const size_t count = grid.cells.size(), columns = columns_of(grid);
  const ColourScale& first_scale = grid.cells.front().colours;
  std::vector<Extent> extents;
  Extent all;
  for (const Figure& cell : grid.cells) {
    extents.push_back(extent_of(cell, grid.share_colours ? first_scale.log : cell.colours.log));
    all.x.include(extents.back().x), all.y.include(extents.back().y);
    all.colours.include(extents.back().colours);
    all.has_colours |= extents.back().has_colours;
  }
  page.shared_bar = grid.share_colours && all.has_colours && count > 1;
  page.cells.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const Figure& figure = grid.cells[i];
    CellLayout& cell = page.cells[i];
    const Axis& x = grid.share_x ? grid.cells.front().x : figure.x;
    const Axis& y = grid.share_y ? grid.cells.front().y : figure.y;
    cell.x = range_of(x, grid.share_x ? all.x : extents[i].x, figure.surface ? 0 : kMarginX);
    cell.y = range_of(y, grid.share_y ? all.y : extents[i].y, figure.surface ? 0 : kMarginY);
    if (figure.equal) make_equal(cell.x, cell.y, page.box_width, page.box_height);
    cell.y_ticks = ticks_of(cell.y, y.log, page.box_height, false);
    cell.colours = colour_range(grid.share_colours ? first_scale : figure.colours,
                                grid.share_colours ? all.colours : extents[i].colours);
    cell.log_colours = grid.share_colours ? first_scale.log : figure.colours.log;
    cell.has_colours = extents[i].has_colours;
    cell.bar = cell.has_colours && !page.shared_bar;
    const bool above = i + columns<count, beside = i % columns> 0;
    cell.x_numbers = !grid.share_x || !above;
    cell.y_numbers = !grid.share_y || !beside;
    cell.x_label = !figure.x.label.empty() && says_more(grid, i, i + columns, above, &Figure::x);
    cell.y_label = !figure.y.label.empty() && says_more(grid, i, i - 1, beside, &Figure::y);
  }
  double left = 0;
  for (const CellLayout& cell : page.cells)
    left = std::max(left, kEdge + (cell.y_label ? S::kLabelRow : 0) + cell.y_ticks.width + S::kTickGap);
  if (columns == 1 && !is_square(grid))
    page.box_width = kSinglePage - left - kRight - (grid.row_titles.empty() ? 0 : kRowTitle);
  for (size_t i = 0; i < count; ++i) {
    CellLayout& cell = page.cells[i];
    const Axis& x = grid.share_x ? grid.cells.front().x : grid.cells[i].x;
    cell.x_ticks = ticks_of(cell.x, x.log, page.box_width, true);
    cell.colour_ticks = ticks_of(cell.colours, cell.log_colours, std::min(page.box_width, 300.0), true);
    cell.title = lines_of(grid.cells[i].title, page.box_width + 20, S::kText, 3);
    cell.note = lines_of(grid.cells[i].note, page.box_width + 20, S::kNote, 3);
  }
}

double left_of(const CellLayout& cell) {
  return (cell.y_label ? S::kLabelRow : 0) + (cell.y_numbers ? cell.y_ticks.width + S::kTickGap : 0);
}

double above(const CellLayout& cell) {
  const double text = static_cast<double>(cell.title.size()) * S::kTextRow +
                      static_cast<double>(cell.note.size()) * S::kNoteRow;
  return text + kAboveBox;
}

double below(const CellLayout& cell, const Figure& figure) {
  return (cell.x_numbers ? S::kTickRow : 0) + (cell.x_label ? S::kLabelRow : 0) + 8 +
         (cell.bar ? S::kBarHeight + S::kBarRows + (figure.colours.label.empty() ? 0 : S::kTextRow) : 0);
}

}  // namespace

size_t columns_of(const FigureGrid& grid) {
  return std::max<size_t>(1, std::min(static_cast<size_t>(std::max(1, grid.columns)), grid.cells.size()));
}

PageLayout lay_out(const FigureGrid& grid) {
  PageLayout page;
  size_boxes(grid, page);
  set_axes(grid, page);
  const size_t count = grid.cells.size(), columns = columns_of(grid);
  double x = kEdge + (grid.row_titles.empty() ? 0 : kRowTitle);
  for (size_t column = 0; column < columns; ++column) {
    double left = 0;
    for (size_t i = column; i < count; i += columns) {
      left = std::max(left, left_of(page.cells[i]));
      // The last number below one cell and the first below the next reach into the gap.
      if (column > 0) left = std::max(left, page.cells[i].x_ticks.width - 4);
    }
    x += left + (column > 0 ? kBeforeColumn : 0);
    for (size_t i = column; i < count; i += columns) page.cells[i].left = x;
    x += page.box_width;
  }
  page.width = std::ceil(x + kRight);
  page.title = lines_of(grid.title, page.width - 20, S::kTitle, 3);
  size_t title_lines = 0;
  for (const std::string& title : grid.column_titles) {
    page.column_titles.push_back(lines_of(title, page.box_width, S::kText, 3));
    title_lines = std::max(title_lines, page.column_titles.back().size());
  }
  double y = kEdge + static_cast<double>(page.title.size()) * S::kTitleRow +
             static_cast<double>(title_lines) * S::kTextRow;
  for (size_t row = 0; row * columns < count; ++row) {
    double head = 0, foot = 0;
    const size_t begin = row * columns, end = std::min(count, begin + columns);
    for (size_t i = begin; i < end; ++i) {
      head = std::max(head, above(page.cells[i]));
      foot = std::max(foot, below(page.cells[i], grid.cells[i]));
    }
    y += head;
    for (size_t i = begin; i < end; ++i) page.cells[i].top = y;
    y += page.box_height + foot;
  }
  if (page.shared_bar) {
    page.bar_width = std::min(300.0, page.width - 80);
    page.bar_left = 0.5 * (page.width - page.bar_width);
    page.bar_top = y + 6;
    y = page.bar_top + S::kBarHeight + S::kBarRows +
        (grid.cells.front().colours.label.empty() ? 0 : S::kTextRow);
  }
  page.height = y;
  return page;
}

}  // namespace elbo
