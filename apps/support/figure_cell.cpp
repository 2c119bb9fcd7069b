#include "apps/support/figure_cell.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace elbo {
namespace {

/// Calls the functions for what is drawn, with its look. Series without points are passed over, since gnuplot
/// does not count an empty block, but keep their colours.
template <class OnSeries, class OnLine>
void for_each_look(const Figure& figure, const OnSeries& on_series, const OnLine& on_line) {
  int next_colour = 0, number = 0;
  for (const Series& series : figure.series) {
    const Look look = look_of(series, series.colour >= 0 ? series.colour : next_colour++);
    if (!series.x.empty()) on_series(series, look);
  }
  for (const ReferenceLine& line : figure.lines)
    if (std::isfinite(line.at)) on_line(line, look_of_line(number++));
}

/// Heights of the contour lines, unless they are given: round numbers within the values.
std::vector<double> contour_levels(const Surface& surface, const CellLayout& cell) {
  const Range& colours = cell.colours;
  const bool log = cell.log_colours;
  if (!surface.levels.empty()) return surface.levels;
  Range values;
  for (double value : surface.values) values.include(value, log);
  std::vector<double> levels;
  if (!(values.low < values.high)) return levels;
  if (log && values.high / values.low > 1e3) {
    for (double power = std::ceil(std::log10(colours.low)); power <= std::log10(colours.high); ++power)
      levels.push_back(std::pow(10, power));
    return levels;
  }
  const double low = std::max(values.low, colours.low), high = std::min(values.high, colours.high);
  if (!(low < high)) return levels;
  // Where cells share a bar, their contours lie at the same levels.
  const bool shared = cell.has_colours && !cell.bar;
  const double step = round_step(shared ? colours : Range{low, high}, 12);
  // At the very ends, a contour would be single points.
  for (double number = std::floor(low / step) + 1; number * step < high && levels.size() < 64; ++number)
    levels.push_back(number * step + 0.0);  // not -0
  return levels;
}

/// The cell's plot commands, those of a surface, bands and curves in this order, and what must come before.
class CellScript {
 public:
  CellScript(const Figure& figure, const CellLayout& cell, FigureData& data)
      : figure_(figure), cell_(cell), data_(data) {
    if (figure.surface) add_surface(*figure.surface);
    for_each_look(
        figure, [&](const Series& series, const Look& look) { add_series(series, look); },
        [&](const ReferenceLine& line, const Look& look) {
          data.add_line(line, cell.x, cell.y);
          curves_.push_back(fmt::format("{} using 1:2 with lines {}", source(), look.line));
        });
  }

  std::string text() const {
    std::vector<std::string> all = below_;
    all.insert(all.end(), curves_.begin(), curves_.end());
    if (all.empty()) all.push_back("NaN");
    return before_ + fmt::format("plot \\\n  {}\n", fmt::join(all, ", \\\n  "));
  }

 private:
  std::string source() const { return fmt::format("data skip 1 index {}", data_.blocks() - 1); }

  /// Whether the value in the column has a colour.
  std::string coloured(int column) const {
    return fmt::format("{} <= 1e300", cell_.log_colours ? fmt::format("${0} > 0 && ${0}", column)
                                                        : fmt::format("abs(${})", column));
  }

  std::string contour_table(const char* name, const std::vector<double>& levels) const {
    return fmt::format("set cntrparam levels discrete {}\nset table {}\nsplot {} using 1:2:{}\nunset table\n",
                       fmt::join(levels, ", "), name, source(), data_.columns().value);
  }

  void add_surface(const Surface& surface) {
    data_.add_surface(surface);
    const int value = data_.columns().value;
    const bool log = cell_.log_colours;
    if (surface.coloured)
      below_.push_back(
          fmt::format("{0} using 1:2:({2} ? ${1} : NaN) with image", source(), value, coloured(value)));
    if (!surface.contours) return;
    // The contours are in columns parted by blanks, the values by commas, and one plot has one separator.
    constexpr const char* points = "using (real(word(strcol(1),1))):(real(word(strcol(1),2))) with lines";
    const std::vector<double> levels = contour_levels(surface, cell_);
    const bool zero = surface.levels.empty() && figure_.colours.palette == Palette::diverging && !log;
    if (levels.empty()) return;
    before_ += "set contour base\nunset surface\n" + contour_table("$contours", levels);
    below_.push_back(fmt::format("$contours {} linecolor rgb '{}' linewidth 0.8", points,
                                 surface.coloured ? "#90303030" : "#404040"));
    if (zero) {
      before_ += contour_table("$zero", {0});
      below_.push_back(fmt::format("$zero {} linecolor rgb '#222222' linewidth 1.6 dashtype 12", points));
    }
    before_ += "unset contour\nset surface\n";
  }

  void add_series(const Series& series, const Look& look) {
    data_.add_series(series);
    const FigureColumns& columns = data_.columns();
    if (!series.band_low.empty())
      below_.push_back(
          fmt::format("{} using 1:{}:{} with filledcurves fillcolor rgb '{}' fillstyle transparent solid 0.2 "
                      "noborder",
                      source(), columns.low, columns.low + 1, look.colour));
    // gnuplot would give what is not a number a colour or a size of its own.
    std::vector<std::string> conditions;
    std::string used = "1:2";
    if (!look.shape.empty()) {
      const int width = columns.width, height = series.height.empty() ? width : width + 1;
      for (int column : {width, height})
        conditions.push_back(fmt::format("${0} >= 0 && ${0} <= 1e300", column));
      used = look.shape == "rectangle" ? fmt::format("1:y:(0.5*${}):(0.5*${})", width, height)
                                       : fmt::format("1:y:{}:{}", width, height);
      if (look.shape == "ellipse" && !series.value.empty()) used += ":(0)";
    }
    if (!series.value.empty() && look.line.empty()) {
      conditions.push_back(coloured(columns.value));
      if (look.shape.empty()) used = "1:y";
      used += fmt::format(":{}", columns.value);
    }
    if (const size_t y = used.find('y'); y != std::string::npos)
      used.replace(y, 1, fmt::format("({} ? $2 : NaN)", fmt::join(conditions, " && ")));
    curves_.push_back(fmt::format("{} using {} {}", source(), used, plot_style(look, series)));
  }

  const Figure& figure_;
  const CellLayout& cell_;
  FigureData& data_;
  std::string before_;
  std::vector<std::string> below_, curves_;
};

}  // namespace

void add_to_legend(const Figure& figure, Legend& legend) {
  for_each_look(
      figure, [&](const Series& series, const Look& look) { legend.add(series.name, look); },
      [&](const ReferenceLine& line, const Look& look) { legend.add(line.label, look); });
}

std::string plot_commands(const Figure& figure, const CellLayout& cell, FigureData& data) {
  return CellScript(figure, cell, data).text();
}

std::string palette_command(Palette palette) {
  if (palette == Palette::diverging)
    return "set palette defined (-4 '#08306b', -3 '#2171b5', -2 '#6baed6', -1 '#c6dbef', 0 '#ffffff', "
           "1 '#fdd0a2', 2 '#fd8d3c', 3 '#d94801', 4 '#7f2704')\n";
  if (palette == Palette::cyclic)
    return "set palette defined (0 '#241a52', 1 '#2c62c4', 2 '#7fbfb0', 3 '#e0962e', 4 '#8f2d3c', "
           "5 '#241a52')\n";
  return "set palette defined (0 '#440154', 1 '#472d7b', 2 '#3b528b', 3 '#2c728e', 4 '#21918c', "
         "5 '#28ae80', 6 '#5ec962', 7 '#addc30', 8 '#fde725')\n";
}

}  // namespace elbo
