#include "apps/support/figure.h"

#include <algorithm>
#include <cmath>

#include "apps/support/csv.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

// In points of the drawing: the axes' box, what stands above and below it.
constexpr int kWidth = 560, kBox = 280, kTitle = 42, kAxisText = 64;

struct Range {
  double low, high;
};

// Beyond these, the margins of an axis would no longer be doubles.
constexpr double kLargest = 1e300, kSmallest = 1e-300;

bool drawable(double value, const Axis& axis) {
  return std::abs(value) <= kLargest && (!axis.log || value >= kSmallest);
}

/// The axis' range: as given, else around the values that can be drawn. Never empty, since gnuplot stops at
/// an empty range.
Range range_of(const Axis& axis, const std::vector<const std::vector<double>*>& columns, double margin) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto* column : columns) {
    for (double value : *column) {
      if (!drawable(value, axis)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  const bool empty = low > high;
  if (empty) low = axis.log ? 0.1 : 0, high = 1;
  const auto to = [&](double v) { return axis.log ? std::log10(v) : v; };
  const auto from = [&](double v) { return axis.log ? std::pow(10, std::clamp(v, -305.0, 305.0)) : v; };
  double span = to(high) - to(low);
  // All values alike: some room around them, more than doubles of that size can tell apart.
  if (!(span > 1e-12 * std::abs(to(high)))) span = axis.log ? 1 : std::max(std::abs(high), 1e-3);
  Range range{from(to(low) - margin * span), from(to(high) + margin * span)};
  if (drawable(axis.low, axis)) range.low = axis.low;
  if (drawable(axis.high, axis)) range.high = axis.high;
  if (!(range.low < range.high))
    fail("[figure] the axis {} would run from {} to {}", quote(axis.label), range.low, range.high);
  return range;
}

void check(const Series& s) {
  const bool band = !s.band_low.empty() || !s.band_high.empty();
  if (s.x.size() != s.y.size() ||
      (band && (s.band_low.size() != s.x.size() || s.band_high.size() != s.x.size())))
    fail("[figure] series {} has {} x, {} y and {}, {} band values; they must be as many", quote(s.name),
         s.x.size(), s.y.size(), s.band_low.size(), s.band_high.size());
}

/// How a curve is drawn, in gnuplot's words: its line, empty for points alone, and whether it has points.
struct Look {
  std::string colour, line;
  bool points = false;
};

Look look_of(const Series& series, int colour) {
  Look look{figure_colour(colour), "", series.style == Style::points || series.style == Style::line_points};
  if (series.style != Style::points) look.line = fmt::format("linecolor rgb '{}' linewidth 2", look.colour);
  if (series.style == Style::dashed) look.line += " dashtype 11";
  return look;
}

std::string point_of(const Look& look) {
  return fmt::format("pointtype 7 pointsize 0.5 linecolor rgb '{}'", look.colour);
}

std::string plot_style(const Look& look, Style style) {
  if (look.line.empty()) return "with points " + point_of(look);
  if (look.points) return "with linespoints pointtype 7 pointsize 0.5 " + look.line;
  return (style == Style::steps ? "with steps " : "with lines ") + look.line;
}

struct LegendEntry {
  std::string name;
  Look look;
};

/// A legend in columns below the axes. gnuplot's own is not used: told where the axes lie, it lets entries
/// overlap the axes' labels or drops them.
struct Legend {
  std::vector<LegendEntry> entries;

  // In points of the drawing. Letters of this size are 7.4 wide on average.
  static constexpr int kRow = 22, kSample = 34, kGap = 10, kBetween = 28;
  int entry_width() const {
    int longest = 0;
    for (const LegendEntry& entry : entries) longest = std::max(longest, display_width(entry.name));
    return kSample + kGap + static_cast<int>(7.4 * longest) + kBetween;
  }
  int columns() const { return std::max(1, (kWidth - 20 + kBetween) / entry_width()); }
  int rows() const { return (static_cast<int>(entries.size()) + columns() - 1) / columns(); }
  int height() const { return entries.empty() ? 0 : rows() * kRow + 12; }

  std::string commands(int figure_height) const {
    std::string text = "unset key\n";
    if (entries.empty()) return text;
    const int used_columns = (static_cast<int>(entries.size()) + rows() - 1) / rows();
    const int left = std::max(10, (kWidth - (used_columns * entry_width() - kBetween)) / 2);
    for (int i = 0; i < static_cast<int>(entries.size()); ++i) {
      const LegendEntry& entry = entries[static_cast<size_t>(i)];
      const double x = left + i / rows() * entry_width();
      const double y = (height() - 6 - kRow * (i % rows() + 0.5)) / figure_height;
      const auto at = [&](double offset) {
        return fmt::format("screen {:.4f},{:.4f}", (x + offset) / kWidth, y);
      };
      if (!entry.look.line.empty())
        text += fmt::format("set arrow from {} to {} nohead {}\n", at(0), at(kSample), entry.look.line);
      if (entry.look.points)
        text += fmt::format("set label '' at {} point {}\n", at(kSample / 2.0), point_of(entry.look));
      text += fmt::format("set label {} at {} left noenhanced textcolor rgb '#222222'\n",
                          gnuplot_string(entry.name), at(kSample + kGap));
    }
    return text;
  }
};

/// Round numbers for a logarithmic axis that spans less than three powers of ten, where gnuplot by itself
/// would label one or two.
std::vector<double> log_ticks(const Range& range) {
  std::vector<double> ticks;
  for (double power = std::floor(std::log10(range.low)); power <= std::log10(range.high); ++power)
    for (double digit : {1, 2, 5}) {
      const double tick = digit * std::pow(10, power);
      if (tick >= range.low && tick <= range.high) ticks.push_back(tick);
    }
  return ticks;
}

/// The commands for one axis; `letter` is x or y.
std::string axis_commands(const std::string& letter, const Axis& axis, const Range& range) {
  std::string text = fmt::format("set {0}label {1} noenhanced\nset {0}range [{2}:{3}]\n", letter,
                                 gnuplot_string(axis.label), range.low, range.high);
  if (!axis.log) return text;
  if (range.high / range.low > 1e3)
    return text + fmt::format("set logscale {0}\nset format {0} '10^{{%L}}'\n", letter);
  const std::vector<double> ticks = log_ticks(range);
  // Less than two round numbers: the axis is so short that a linear one looks the same.
  if (ticks.size() < 2) return text;
  return text + fmt::format("set logscale {0}\nset {0}tics ({1})\n", letter, fmt::join(ticks, ", "));
}

/// The CSV's rows and the script's plot commands, which refer to blocks of rows by number.
struct Plot {
  std::string csv;
  std::vector<std::string> bands, curves;  // bands first, so that no band hides a curve
  int blocks = 0;
  bool with_bands = false;

  void begin_block() { csv += blocks++ ? "\n\n" : ""; }
  void point(const std::string& name, double x, double y, double low, double high) {
    std::vector<CsvCell> cells{x, y};
    if (with_bands) cells.insert(cells.end(), {low, high});
    cells.push_back(name);  // last: gnuplot miscounts the columns after some quoted texts
    csv += csv_line(cells);
  }
};

std::string join(const std::vector<std::string>& commands) {
  std::string text;
  for (const std::string& command : commands) text += (text.empty() ? "  " : ", \\\n  ") + command;
  return text;
}

}  // namespace

Drawing draw(const Figure& figure, const std::string& directory, const std::string& program) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> line_x, line_y;
  for (const ReferenceLine& line : figure.lines) (line.vertical ? line_x : line_y).push_back(line.at);
  std::vector<const std::vector<double>*> xs{&line_x}, ys{&line_y};
  Plot plot;
  for (const Series& s : figure.series) {
    check(s);
    xs.push_back(&s.x);
    ys.insert(ys.end(), {&s.y, &s.band_low, &s.band_high});
    plot.with_bands |= !s.band_low.empty();
  }
  const Range x = range_of(figure.x, xs, 0.02), y = range_of(figure.y, ys, 0.05);

  std::vector<CsvCell> header{figure.x.label.empty() ? "x" : figure.x.label,
                              figure.y.label.empty() ? "y" : figure.y.label};
  if (plot.with_bands) header.insert(header.end(), {CsvCell("low"), CsvCell("high")});
  header.push_back("series");
  plot.csv = csv_line(header);

  Legend legend;
  int next_colour = 0;
  const auto source = [&] { return fmt::format("data skip 1 index {}", plot.blocks - 1); };
  for (const Series& s : figure.series) {
    const Look look = look_of(s, s.colour >= 0 ? s.colour : next_colour++);
    if (s.x.empty()) continue;  // gnuplot does not count an empty block
    plot.begin_block();
    const bool band = !s.band_low.empty();
    for (size_t i = 0; i < s.x.size(); ++i)
      plot.point(s.name, s.x[i], s.y[i], band ? s.band_low[i] : nan, band ? s.band_high[i] : nan);
    if (band)
      plot.bands.push_back(
          fmt::format("{} using 1:3:4 with filledcurves fillcolor rgb '{}' fillstyle transparent solid 0.2 "
                      "noborder",
                      source(), look.colour));
    plot.curves.push_back(fmt::format("{} using 1:2 {}", source(), plot_style(look, s.style)));
    if (!s.name.empty()) legend.entries.push_back({s.name, look});
  }
  int number = 0;
  for (const ReferenceLine& line : figure.lines) {
    if (!std::isfinite(line.at)) continue;
    plot.begin_block();
    plot.point(line.label, line.vertical ? line.at : x.low, line.vertical ? y.low : line.at, nan, nan);
    plot.point(line.label, line.vertical ? line.at : x.high, line.vertical ? y.high : line.at, nan, nan);
    // A different grey for each: gnuplot draws neighbours of one colour in the legend with one pattern of
    // dashes.
    const std::string colour = fmt::format("#{0:02x}{0:02x}{0:02x}", 0x55 + number);
    const Look look{colour,
                    fmt::format("linecolor rgb '{}' linewidth 1.4 dashtype {}", colour, 12 + number++ % 3)};
    plot.curves.push_back(fmt::format("{} using 1:2 with lines {}", source(), look.line));
    if (!line.label.empty()) legend.entries.push_back({line.label, look});
  }
  if (plot.curves.empty()) plot.curves.push_back("NaN");

  const int below = kAxisText + legend.height(), height = kTitle + kBox + below;
  std::string script = gnuplot_preamble(figure.name, kWidth, height);
  script += fmt::format("data = '{}.csv'\nset title {} noenhanced font 'Helvetica,17' offset 0,-0.5\n",
                        figure.name, gnuplot_string(figure.title));
  script += fmt::format("set tmargin at screen {:.4f}\nset bmargin at screen {:.4f}\nset rmargin 3\n",
                        1 - double(kTitle) / height, double(below) / height);
  script += axis_commands("x", figure.x, x) + axis_commands("y", figure.y, y);
  script += "set xlabel offset 0,0.5\nset ylabel offset 1,0\nset xtics offset 0,0.3\nset clip two\n";
  script += legend.commands(height);
  plot.bands.insert(plot.bands.end(), plot.curves.begin(), plot.curves.end());
  script += "plot \\\n" + join(plot.bands) + '\n';
  return draw(directory, figure.name, plot.csv, script, program);
}

}  // namespace elbo
