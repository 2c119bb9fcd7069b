#include "apps/support/figure_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

// Beyond these, the margins of an axis would no longer be doubles.
constexpr double kLargest = 1e300, kSmallest = 1e-300;

bool drawable(double value, bool log) { return std::abs(value) <= kLargest && (!log || value >= kSmallest); }

/// All values alike: some room around them, more than doubles of that size can tell apart.
bool is_flat(double low, double high) {
  return !(high - low > std::max(kSmallest, 1e-12 * std::max(std::abs(low), std::abs(high))));
}

constexpr double kTickSize = 15;

std::string with_minus(std::string text) {
  if (text.starts_with('-')) text.replace(0, 1, "−");
  return text;
}

std::string power_of_ten(int exponent) {
  return fmt::format("10^{{{}}}", with_minus(std::to_string(exponent)));
}

int exponent_of(double value) { return static_cast<int>(std::floor(std::log10(value) + 1e-9)); }

/// Letters differ from one machine's font to the next; numbers are as wide as in the widest that is common.
double label_width(const std::string& label) {
  // The braces and the circumflex are not drawn.
  const int drawn = display_width(label) - (label.find('^') != std::string::npos ? 3 : 0);
  return 0.6 * kTickSize * drawn;
}

/// The value in steps of this size, in units of a power of ten.
std::string number_label(double value, double step, int power) {
  const int decimals = std::clamp(power - exponent_of(step), 0, 15);
  const std::string text = with_minus(fmt::format("{:.{}f}", value / std::pow(10, power), decimals));
  return power == 0 ? text : text + "·" + power_of_ten(power);
}

/// The power of ten that makes numbers of this size shortest, told apart by steps of that size.
int shortest_power(double size, double step) {
  const int power = exponent_of(size);
  if (std::abs(power) > 15) return power;
  return label_width(number_label(size, step, 0)) <= label_width(number_label(size, step, power)) ? 0 : power;
}

Ticks linear_ticks(const Range& range, double step) {
  Ticks ticks;
  const int power = shortest_power(std::max(std::abs(range.low), std::abs(range.high)), step);
  double number = std::ceil(range.low / step - 1e-9);
  for (int i = 0; i < 64 && number * step <= range.high + 1e-9 * step; ++i, ++number) {
    ticks.at.push_back(number == 0 ? 0 : number * step);  // not -0
    ticks.labels.push_back(number == 0 ? "0" : number_label(number * step, step, power));
  }
  return ticks;
}

/// Powers of ten, every `stride`th.
Ticks power_ticks(const Range& range, int stride) {
  Ticks ticks;
  for (int power = static_cast<int>(std::floor(std::log10(range.low)));
       power <= std::log10(range.high) + 1e-9; ++power) {
    const double tick = std::pow(10, power);
    if (power % stride != 0 || tick < range.low * (1 - 1e-9)) continue;
    ticks.at.push_back(tick);
    ticks.labels.push_back(power_of_ten(power));
  }
  return ticks;
}

/// Round numbers for a logarithmic axis that spans less than three powers of ten, where powers alone would be
/// one or two.
Ticks digit_ticks(const Range& range, const std::vector<double>& digits) {
  Ticks ticks;
  for (double power = std::floor(std::log10(range.low)); power <= std::log10(range.high); ++power)
    for (double digit : digits) {
      const double tick = digit * std::pow(10, power);
      if (tick < range.low || tick > range.high) continue;
      ticks.at.push_back(tick);
      const double unit = std::pow(10, power);
      ticks.labels.push_back(number_label(tick, unit, shortest_power(tick, unit)));
    }
  return ticks;
}

void include(Range& range, const std::vector<double>& values, bool log) {
  for (double value : values) range.include(value, log);
}

/// The values at the points, and where shapes begin and end.
void include_with_sizes(Range& range, const std::vector<double>& at, const std::vector<double>& sizes,
                        bool log) {
  include(range, at, log);
  for (size_t i = 0; i < sizes.size(); ++i) {
    range.include(at[i] - 0.5 * sizes[i], log);
    range.include(at[i] + 0.5 * sizes[i], log);
  }
}

bool is_shape(Style style) { return style == Style::rectangles || style == Style::ellipses; }

double widest(const Ticks& ticks) {
  double width = 0;
  for (const std::string& label : ticks.labels) width = std::max(width, label_width(label));
  return width;
}

/// Whether neighbours have room between them.
bool fit(const Ticks& ticks, const Range& range, bool log, double length, bool across) {
  const auto to = [&](double v) { return log ? std::log10(v) : v; };
  const double scale = length / (to(range.high) - to(range.low));
  for (size_t i = 1; i < ticks.at.size(); ++i) {
    const double apart = (to(ticks.at[i]) - to(ticks.at[i - 1])) * scale;
    const double need =
        across ? 0.5 * (label_width(ticks.labels[i]) + label_width(ticks.labels[i - 1])) + 12 : 24;
    if (apart < need) return false;
  }
  return true;
}

}  // namespace

void Range::include(double value, bool log) {
  if (!drawable(value, log)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

void Range::include(const Range& other) {
  low = std::min(low, other.low);
  high = std::max(high, other.high);
}

Extent extent_of(const Figure& figure, bool log_colours) {
  Extent extent;
  for (const Series& s : figure.series) {
    include_with_sizes(extent.x, s.x, is_shape(s.style) ? s.width : std::vector<double>{}, figure.x.log);
    const auto& heights = s.height.empty() ? s.width : s.height;
    include_with_sizes(extent.y, s.y, is_shape(s.style) ? heights : std::vector<double>{}, figure.y.log);
    include(extent.y, s.band_low, figure.y.log);
    include(extent.y, s.band_high, figure.y.log);
    include(extent.colours, s.value, log_colours);
    extent.has_colours |= !s.value.empty();
  }
  for (const ReferenceLine& line : figure.lines)
    line.vertical ? extent.x.include(line.at, figure.x.log) : extent.y.include(line.at, figure.y.log);
  if (figure.surface) {
    const auto span = [](const std::vector<double>& grid) {
      const double half = 0.5 * (grid[1] - grid[0]);
      return Range{grid.front() - half, grid.back() + half};
    };
    extent.x = span(figure.surface->x), extent.y = span(figure.surface->y);
    include(extent.colours, figure.surface->values, log_colours);
    extent.has_colours |= figure.surface->coloured;
  }
  return extent;
}

Range range_of(const Axis& axis, Range data, double margin) {
  if (data.empty()) data = {axis.log ? 0.1 : 0, 1};
  const auto to = [&](double v) { return axis.log ? std::log10(v) : v; };
  const auto from = [&](double v) { return axis.log ? std::pow(10, std::clamp(v, -305.0, 305.0)) : v; };
  double span = to(data.high) - to(data.low);
  if (is_flat(to(data.low), to(data.high))) {
    span = axis.log ? 1 : std::max(std::abs(data.high), 1e-3);
    margin = std::max(margin, 0.05);
  }
  Range range{from(to(data.low) - margin * span), from(to(data.high) + margin * span)};
  if (drawable(axis.low, axis.log)) range.low = axis.low;
  if (drawable(axis.high, axis.log)) range.high = axis.high;
  if (!(range.low < range.high))
    fail("[figure] the axis {} would run from {} to {}", quote(axis.label), range.low, range.high);
  return range;
}

Range colour_range(const ColourScale& scale, Range data) {
  if (data.empty()) data = scale.log ? Range{0.1, 1} : Range{0, 0};
  if (drawable(scale.low, scale.log)) data.low = scale.low;
  if (drawable(scale.high, scale.log)) data.high = scale.high;
  const double size = std::max(std::abs(data.low), std::abs(data.high));
  if (scale.palette == Palette::diverging && !scale.log) data = {-size, size};  // zero stays in the middle
  if (!is_flat(data.low, data.high)) return data;
  if (scale.log) return {data.low / 3, data.low * 3};
  const double room = size > 0 ? 0.5 * size : 1;
  return {data.low - room, data.low + room};
}

void make_equal(Range& x, Range& y, double box_width, double box_height) {
  const double unit = std::max((x.high - x.low) / box_width, (y.high - y.low) / box_height);
  const auto widen = [&](Range& range, double length) {
    const double middle = 0.5 * range.low + 0.5 * range.high;
    range = {middle - 0.5 * unit * length, middle + 0.5 * unit * length};
  };
  widen(x, box_width);
  widen(y, box_height);
}

double round_step(const Range& range, double count) {
  const double rough = range.high / count - range.low / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (double digit : {1, 2, 5})
    if (digit * power >= rough * (1 - 1e-9)) return digit * power;
  return 10 * power;
}

Ticks ticks_of(const Range& range, bool log, double length, bool across) {
  const std::vector<double> digits{1, 2, 5}, few{1, 3}, powers{1};
  Ticks ticks;
  bool as_log = log;
  if (log && range.high / range.low > 1e3) {
    for (int stride = 1; stride < 700; ++stride) {
      ticks = power_ticks(range, stride);
      if (fit(ticks, range, true, length, across)) break;
    }
  } else if (log) {
    for (const auto& choice : {digits, few, powers}) {
      ticks = digit_ticks(range, choice);
      if (fit(ticks, range, true, length, across)) break;
    }
    as_log = ticks.at.size() >= 2;
  }
  if (!as_log)
    for (double count : {8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.5}) {
      ticks = linear_ticks(range, round_step(range, count));
      if (fit(ticks, range, false, length, across)) break;
    }
  ticks.log = as_log;
  ticks.width = widest(ticks);
  return ticks;
}

double text_width(std::string_view text, double size) { return display_width(text) * size * 0.49; }

std::vector<std::string> lines_of(std::string_view text, double width, double size, size_t most) {
  std::vector<std::string> lines;
  const std::string whole = on_one_line(valid_utf8(text));
  const int columns = std::max(1, static_cast<int>(width / (0.49 * size)));
  std::string_view rest = whole;
  while (!rest.empty()) {
    std::string_view line = clip_to_width(rest, columns);
    if (line.size() < rest.size()) {
      if (lines.size() + 1 == most) {
        lines.push_back(std::string(clip_to_width(rest, columns - 1)) + "…");
        return lines;
      }
      if (const size_t blank = line.rfind(' ');
          rest[line.size()] != ' ' && blank != std::string_view::npos && blank > 0)
        line = line.substr(0, blank);
    }
    rest.remove_prefix(line.size());
    if (rest.starts_with(' ')) rest.remove_prefix(1);
    lines.emplace_back(line);
  }
  return lines;
}

}  // namespace elbo
