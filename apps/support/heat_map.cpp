#include "apps/support/heat_map.h"

#include <algorithm>
#include <cmath>

#include "apps/support/csv.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

// In points of the drawing: a panel's square, and what stands around it.
constexpr int kSquare = 230, kLeft = 74, kBetween = 52, kRight = 24, kTop = 90, kBelow = 132;
constexpr int kBarBelow = 66, kBarHeight = 10;  // the colour bar, below the square

void check_grid(const std::vector<double>& grid, const char* name) {
  if (grid.size() < 2) fail("[heat map] {} has {} values; it needs two", name, grid.size());
  const double step = (grid.back() - grid.front()) / static_cast<double>(grid.size() - 1);
  for (size_t i = 0; i < grid.size(); ++i) {
    const double even = grid.front() + step * static_cast<double>(i);
    if (!(step > 0) || !(std::abs(grid[i] - even) <= 1e-6 * step))
      fail("[heat map] {} must rise in even steps, but value {} is {} instead of {}", name, i, grid[i], even);
  }
}

struct Range {
  double low, high;
};

/// The least and the greatest value that can be drawn; low > high where there is none.
Range extremes(const std::vector<double>& values) {
  Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (double value : values) {
    if (!(std::abs(value) <= 1e300)) continue;  // beyond, differences would no longer be doubles
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

/// What the colours span; never empty.
Range colour_range(const HeatMap& map, const std::vector<double>& values) {
  Range range = extremes(values);
  if (range.low > range.high) range = {0, 0};
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  if (map.colours == HeatMap::Colours::diverging) range = {-size, size};  // zero stays in the middle: white
  // All values alike: some room around them, more than doubles of that size can tell apart.
  if (!(range.high - range.low > 1e-12 * size)) {
    const double room = size > 0 ? 0.5 * size : 1;
    range = {range.low - room, range.high + room};
  }
  return range;
}

/// Steps of 1, 2 or 5 times a power of ten, so many that about `count` lie in the range.
double round_step(const Range& range, int count) {
  const double rough = (range.high - range.low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (double digit : {1, 2, 5})
    if (digit * power >= rough) return digit * power;
  return 10 * power;
}

std::string csv_of(const HeatMap& map) {
  std::string csv = csv_line(
      std::vector<CsvCell>{map.x.label.empty() ? "x" : map.x.label, map.y.label.empty() ? "y" : map.y.label,
                           map.value_label.empty() ? "value" : map.value_label, "panel"});
  // gnuplot takes a blank line as the end of a grid's row and two as the end of a panel; CSV readers skip
  // them.
  for (const HeatMap::Panel& panel : map.panels) {
    if (&panel != &map.panels.front()) csv += "\n\n";
    for (size_t j = 0; j < map.grid_y.size(); ++j) {
      if (j > 0) csv += "\n";
      for (size_t i = 0; i < map.grid_x.size(); ++i)
        csv += csv_line(std::vector<CsvCell>{map.grid_x[i], map.grid_y[j],
                                             panel.values[j * map.grid_x.size() + i], panel.title});
    }
  }
  return csv;
}

/// The commands that draw panel `number`, whose values have this range, in a page of this size.
std::string panel_commands(const HeatMap& map, size_t number, const Range& range, int width, int height) {
  const HeatMap::Panel& panel = map.panels[number];
  const Range values = extremes(panel.values);
  const bool has_contours = values.low < values.high;
  const int left = kLeft + static_cast<int>(number) * (kSquare + kBetween);
  const auto across = [&](double points) { return fmt::format("{:.4f}", points / width); };
  const auto up = [&](double points_from_top) { return fmt::format("{:.4f}", 1 - points_from_top / height); };

  std::string text = fmt::format("\n# Panel {}\n", number + 1);
  text += fmt::format("set lmargin at screen {}\nset rmargin at screen {}\n", across(left),
                      across(left + kSquare));
  text += fmt::format("set tmargin at screen {}\nset bmargin at screen {}\n", up(kTop), up(kTop + kSquare));
  const double half_x = 0.5 * (map.grid_x[1] - map.grid_x[0]), half_y = 0.5 * (map.grid_y[1] - map.grid_y[0]);
  text += fmt::format("set xrange [{}:{}]\nset yrange [{}:{}]\n", map.grid_x.front() - half_x,
                      map.grid_x.back() + half_x, map.grid_y.front() - half_y, map.grid_y.back() + half_y);
  text += fmt::format("set xtics {}\nset ytics {}\n", round_step({map.grid_x.front(), map.grid_x.back()}, 4),
                      round_step({map.grid_y.front(), map.grid_y.back()}, 4));
  text += fmt::format("set cbrange [{}:{}]\nset cbtics {}\n", range.low, range.high, round_step(range, 5));
  text += fmt::format("set colorbox horizontal user origin screen {},{} size screen {},{} border 101\n",
                      across(left), up(kTop + kSquare + kBarBelow + kBarHeight), across(kSquare),
                      fmt::format("{:.4f}", double(kBarHeight) / height));
  text += "unset label\n";
  text += fmt::format("set label {} at screen {},{} center noenhanced font ',15'\n",
                      gnuplot_string(panel.title), across(left + 0.5 * kSquare), up(kTop - 34));
  text += fmt::format("set label {} at screen {},{} center noenhanced font ',13' textcolor rgb '#444444'\n",
                      gnuplot_string(panel.note), across(left + 0.5 * kSquare), up(kTop - 14));
  if (number == 0) {
    text += fmt::format("set label {} at screen 0.5,{} center noenhanced font ',17'\n",
                        gnuplot_string(map.title), up(24));
    text += fmt::format("set label {} at screen 0.5,{} center noenhanced\n", gnuplot_string(map.value_label),
                        up(height - 14));
  }
  text +=
      fmt::format("set ylabel {} noenhanced offset 0.5,0\n", gnuplot_string(number == 0 ? map.y.label : ""));
  const std::string source = fmt::format("data skip 1 index {}", number);
  if (has_contours) {
    const double step = round_step(map.shared_scale ? range : values, 12);
    text += "set contour base\nunset surface\n";
    text += fmt::format("set cntrparam levels incremental {}, {}, {}\n", std::ceil(values.low / step) * step,
                        step, values.high);
    text += fmt::format("set table $contours\nsplot {} using 1:2:3\nunset table\n", source);
    if (map.colours == HeatMap::Colours::diverging)
      text += fmt::format(
          "set cntrparam levels discrete 0\nset table $zero\nsplot {} using 1:2:3\nunset "
          "table\n",
          source);
    text += "unset contour\nset surface\n";
  }
  text += fmt::format("plot {} using 1:2:3 with image", source);
  // The contours are in columns parted by blanks, the values by commas, and one plot has one separator.
  constexpr const char* points = "using (real(word(strcol(1),1))):(real(word(strcol(1),2))) with lines";
  if (has_contours) {
    text += fmt::format(", \\\n  $contours {} linecolor rgb '#90303030' linewidth 0.8", points);
    if (map.colours == HeatMap::Colours::diverging)
      text += fmt::format(", \\\n  $zero {} linecolor rgb '#222222' linewidth 1.6 dashtype 12", points);
  }
  for (const HeatMap::Mark& mark : panel.marks)
    text += fmt::format(
        ", \\\n  '+' using ({}):({}) every ::0::0 with points pointtype 7 pointsize 0.7 linecolor rgb "
        "'#000000'",
        mark.x, mark.y);
  return text + "\n";
}

}  // namespace

Drawing draw(const HeatMap& map, const std::string& directory, const std::string& program) {
  check_grid(map.grid_x, "grid_x");
  check_grid(map.grid_y, "grid_y");
  if (map.panels.empty()) fail("[heat map] {} has no panels", quote(map.name));
  std::vector<double> all;
  for (const HeatMap::Panel& panel : map.panels) {
    if (panel.values.size() != map.grid_x.size() * map.grid_y.size())
      fail("[heat map] panel {} has {} values for a grid of {} rows and {} columns", quote(panel.title),
           panel.values.size(), map.grid_y.size(), map.grid_x.size());
    all.insert(all.end(), panel.values.begin(), panel.values.end());
  }
  const int count = static_cast<int>(map.panels.size());
  const int width = kLeft + count * kSquare + (count - 1) * kBetween + kRight;
  const int height = kTop + kSquare + kBelow;

  std::string script = gnuplot_preamble(map.name, width, height);
  script += fmt::format("data = '{}.csv'\nunset key\nunset grid\nset border 15 linestyle 101\n", map.name);
  script += fmt::format("set xlabel {} noenhanced offset 0,0.6\nset xtics offset 0,0.3\n",
                        gnuplot_string(map.x.label));
  script += "set cbtics scale 0.4 offset 0,0.7 font ',13'\n";
  // Both palettes keep their order for colour-blind readers and in print without colour.
  script += map.colours == HeatMap::Colours::diverging
                ? "set palette defined (-4 '#08306b', -3 '#2171b5', -2 '#6baed6', -1 '#c6dbef', 0 '#ffffff', "
                  "1 '#fdd0a2', 2 '#fd8d3c', 3 '#d94801', 4 '#7f2704')\n"
                : "set palette defined (0 '#440154', 1 '#472d7b', 2 '#3b528b', 3 '#2c728e', 4 '#21918c', "
                  "5 '#28ae80', 6 '#5ec962', 7 '#addc30', 8 '#fde725')\n";
  script += "set multiplot\n";
  const Range shared = colour_range(map, all);
  for (size_t i = 0; i < map.panels.size(); ++i)
    script += panel_commands(map, i, map.shared_scale ? shared : colour_range(map, map.panels[i].values),
                             width, height);
  script += "\nunset multiplot\n";
  return draw(directory, map.name, csv_of(map), script, program);
}

}  // namespace elbo
