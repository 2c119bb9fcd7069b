#include "apps/support/figure_data.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool is_shape(const Series& s) { return s.style == Style::rectangles || s.style == Style::ellipses; }

void check_grid(const std::vector<double>& grid, const char* name) {
  if (grid.size() < 2) fail("[figure] a surface's {} has {} values; it needs two", name, grid.size());
  const double step = (grid.back() - grid.front()) / static_cast<double>(grid.size() - 1);
  for (size_t i = 0; i < grid.size(); ++i) {
    const double even = grid.front() + step * static_cast<double>(i);
    if (!(step > 0) || !(std::abs(grid[i] - even) <= 1e-6 * step))
      fail("[figure] a surface's {} must rise in even steps, but value {} is {} instead of {}", name, i,
           grid[i], even);
  }
}

void check(const Series& s) {
  const auto check_length = [&](const char* what, const std::vector<double>& values, bool needed) {
    if (values.size() != s.x.size() && (needed || !values.empty()))
      fail("[figure] series {} has {} x and {} {}; they must be as many", quote(s.name), s.x.size(),
           values.size(), what);
  };
  const bool band = !s.band_low.empty() || !s.band_high.empty();
  check_length("y", s.y, true);
  check_length("lower band values", s.band_low, band);
  check_length("upper band values", s.band_high, band);
  check_length("colour values", s.value, false);
  check_length("widths", s.width, is_shape(s));
  check_length("heights", s.height, false);
}

void check(const Figure& figure) {
  for (const Series& s : figure.series) {
    check(s);
    if (s.style == Style::ellipses && (figure.x.log || figure.y.log))
      fail("[figure] {}: ellipses need linear axes", quote(figure.title));
  }
  if ((figure.equal || figure.surface) && (figure.x.log || figure.y.log))
    fail("[figure] {}: {} linear axes", quote(figure.title),
         figure.equal ? "equal units need" : "a surface needs");
  if (!figure.surface) return;
  const Surface& surface = *figure.surface;
  check_grid(surface.x, "x");
  check_grid(surface.y, "y");
  if (surface.values.size() != surface.x.size() * surface.y.size())
    fail("[figure] {}: a surface has {} values for a grid of {} rows and {} columns", quote(figure.title),
         surface.values.size(), surface.y.size(), surface.x.size());
  for (double level : surface.levels)
    if (!std::isfinite(level)) fail("[figure] {}: {} is no level of a contour", quote(figure.title), level);
}

/// What all cells say, else what is given.
std::string common(const FigureGrid& grid, const std::string& otherwise,
                   const std::string& (*label)(const Figure&)) {
  const std::string& first = label(grid.cells.front());
  for (const Figure& cell : grid.cells)
    if (label(cell) != first) return otherwise;
  return first.empty() ? otherwise : first;
}

FigureColumns columns_for(const FigureGrid& grid) {
  bool bands = false, values = false, shapes = false;
  FigureColumns columns;
  for (const Figure& cell : grid.cells) {
    values |= cell.surface.has_value();
    columns.series |= !cell.series.empty() || !cell.lines.empty();
    for (const Series& s : cell.series) {
      bands |= !s.band_low.empty();
      values |= !s.value.empty();
      shapes |= is_shape(s);
    }
  }
  int next = 3;
  if (bands) columns.low = next, next += 2;
  if (values) columns.value = next, next += 1;
  if (shapes) columns.width = next;
  columns.panel = grid.cells.size() > 1;
  return columns;
}

}  // namespace

void check(const FigureGrid& grid) {
  if (grid.cells.empty()) fail("[figure] {} has no cells", quote(grid.name));
  if (grid.columns < 1) fail("[figure] {} has {} columns; give at least one", quote(grid.name), grid.columns);
  for (const Figure& cell : grid.cells) check(cell);
  const size_t columns = std::min(static_cast<size_t>(grid.columns), grid.cells.size());
  const size_t rows = (grid.cells.size() + columns - 1) / columns;
  if (!grid.row_titles.empty() && grid.row_titles.size() != rows)
    fail("[figure] {} has {} titles for {} rows", quote(grid.name), grid.row_titles.size(), rows);
  if (!grid.column_titles.empty() && grid.column_titles.size() != columns)
    fail("[figure] {} has {} titles for {} columns", quote(grid.name), grid.column_titles.size(), columns);
  const auto same = [&](bool shared, const char* what, auto is_log) {
    for (const Figure& cell : grid.cells)
      if (shared && is_log(cell) != is_log(grid.cells.front()))
        fail("[figure] {} shares {}, which are logarithmic in some cells only", quote(grid.name), what);
  };
  same(grid.share_x, "x axes", [](const Figure& cell) { return cell.x.log; });
  same(grid.share_y, "y axes", [](const Figure& cell) { return cell.y.log; });
}

FigureData::FigureData(const FigureGrid& grid) : columns_(columns_for(grid)) {
  std::vector<CsvCell> header{
      common(grid, "x", [](const Figure& cell) -> const std::string& { return cell.x.label; }),
      common(grid, "y", [](const Figure& cell) -> const std::string& { return cell.y.label; })};
  if (columns_.low) header.insert(header.end(), {CsvCell("low"), CsvCell("high")});
  if (columns_.value)
    header.push_back(
        common(grid, "value", [](const Figure& cell) -> const std::string& { return cell.colours.label; }));
  if (columns_.width) header.insert(header.end(), {CsvCell("width"), CsvCell("height")});
  if (columns_.series) header.push_back("series");
  if (columns_.panel) header.push_back("panel");
  csv_ = csv_line(header);
}

void FigureData::add(const Row& row, const std::string& series) {
  std::vector<CsvCell> cells{row.x, row.y};
  if (columns_.low) cells.insert(cells.end(), {row.low, row.high});
  if (columns_.value) cells.push_back(row.value);
  if (columns_.width) cells.insert(cells.end(), {row.width, row.height});
  // Texts come last: gnuplot miscounts the columns after some quoted ones.
  if (columns_.series) cells.push_back(series);
  if (columns_.panel) cells.push_back(panel_);
  csv_ += csv_line(cells);
}

void FigureData::add_series(const Series& s) {
  begin_block();
  const auto at = [](const std::vector<double>& values, size_t i) {
    return values.empty() ? kNan : values[i];
  };
  for (size_t i = 0; i < s.x.size(); ++i)
    add({s.x[i], s.y[i], at(s.band_low, i), at(s.band_high, i), at(s.value, i), at(s.width, i),
         at(s.height.empty() ? s.width : s.height, i)},
        s.name);
}

void FigureData::add_surface(const Surface& surface) {
  begin_block();
  for (size_t j = 0; j < surface.y.size(); ++j) {
    if (j > 0) csv_ += "\n";
    for (size_t i = 0; i < surface.x.size(); ++i)
      add({surface.x[i], surface.y[j], kNan, kNan, surface.values[j * surface.x.size() + i], kNan, kNan}, "");
  }
}

void FigureData::add_line(const ReferenceLine& line, const Range& x, const Range& y) {
  begin_block();
  const auto end_at = [&](double other) {
    add({line.vertical ? line.at : other, line.vertical ? other : line.at, kNan, kNan, kNan, kNan, kNan},
        line.label);
  };
  end_at(line.vertical ? y.low : x.low);
  end_at(line.vertical ? y.high : x.high);
}

}  // namespace elbo
