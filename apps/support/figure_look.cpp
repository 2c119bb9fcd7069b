#include "apps/support/figure_look.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/support/figure_axis.h"

namespace elbo {
namespace {

constexpr int kColours = 7;

// In points of the drawing.
constexpr double kRow = 22, kSample = 34, kGap = 10, kBetween = 28, kMargin = 10, kText = 15, kShape = 12;

std::string point_of(const Look& look, double size) {
  return fmt::format("pointtype {} pointsize {} linecolor rgb '{}'", look.point_type, size,
                     see_through(look.colour, look.opacity));
}

constexpr const char* kDashes = " dashtype 11";

/// The line as the legend shows it. A dashed one has a colour that nobody can tell from its own there:
/// gnuplot draws neighbours of one colour with one pattern of dashes.
std::string sample_line(const Look& look) {
  if (!look.line.ends_with(kDashes)) return look.line;
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string nearly = look.colour;
  nearly.back() = kDigits.at(kDigits.find(nearly.back()) ^ 1);
  return std::string(look.line).replace(look.line.find(look.colour), nearly.size(), nearly);
}

/// Smaller where there are many, so that they stay apart.
double point_size(size_t count) { return count <= 100 ? 0.5 : count <= 1000 ? 0.36 : 0.26; }

}  // namespace

std::string see_through(const std::string& colour, double opacity) {
  const int alpha = static_cast<int>(std::lround(255 * (1 - std::clamp(opacity, 0.0, 1.0))));
  return alpha == 0 ? colour : fmt::format("#{:02x}{}", alpha, colour.substr(1));
}

Look look_of(const Series& series, int colour) {
  // Circles in all colours, then squares: a tenth class does not look like the third.
  Look look{.colour = figure_colour(colour), .point_type = colour / kColours % 2 == 0 ? 7 : 5};
  if (!series.value.empty()) look.colour = "#666666";
  look.opacity = series.opacity;
  if (series.style == Style::rectangles || series.style == Style::ellipses) {
    look.shape = series.style == Style::rectangles ? "rectangle" : "ellipse";
    return look;
  }
  look.points = series.style == Style::points || series.style == Style::line_points;
  if (series.style != Style::points) look.line = fmt::format("linecolor rgb '{}' linewidth 2", look.colour);
  if (series.style == Style::dashed) look.line += kDashes;
  return look;
}

Look look_of_line(int number) {
  // A different grey for each: gnuplot draws neighbours of one colour with one pattern of dashes.
  const std::string colour = fmt::format("#{0:02x}{0:02x}{0:02x}", 0x55 + number % 64);
  return {.colour = colour,
          .line = fmt::format("linecolor rgb '{}' linewidth 1.4 dashtype {}", colour, 12 + number % 3)};
}

std::string plot_style(const Look& look, const Series& series) {
  const bool valued = !series.value.empty();
  if (!look.shape.empty()) {
    const std::string kind = look.shape == "rectangle" ? "boxxyerror" : "ellipses units xy";
    const std::string colour = valued ? "palette" : fmt::format("rgb '{}'", look.colour);
    const std::string border = !series.outlines ? "noborder"
                               : valued         ? "border"
                                                : "border linecolor " + colour;
    return fmt::format("with {} linewidth 0.8 fillcolor {} fillstyle transparent solid {} {}", kind, colour,
                       look.opacity, border);
  }
  const double size = point_size(series.x.size());
  if (look.line.empty())
    return valued ? fmt::format("with points pointtype 7 pointsize {} linecolor palette", size)
                  : "with points " + point_of(look, size);
  if (look.points) return "with linespoints pointtype 7 pointsize 0.5 " + look.line;
  return (series.style == Style::steps ? "with steps " : "with lines ") + look.line;
}

void Legend::add(const std::string& name, const Look& look) {
  if (name.empty()) return;
  for (const Entry& entry : entries_)
    if (entry.name == name && entry.look == look) return;
  entries_.push_back({name, look});
}

double Legend::entry_width(double page_width) const {
  double longest = 0;
  for (const Entry& entry : entries_) longest = std::max(longest, text_width(entry.name, kText));
  return std::min(kSample + kGap + longest + kBetween, page_width - 2 * kMargin + kBetween);
}

int Legend::columns(double page_width) const {
  return std::max(1, static_cast<int>((page_width - 2 * kMargin + kBetween) / entry_width(page_width)));
}

int Legend::rows(double page_width) const {
  const int across = columns(page_width);
  return (static_cast<int>(entries_.size()) + across - 1) / across;
}

double Legend::height(double page_width) const { return entries_.empty() ? 0 : rows(page_width) * kRow + 12; }

std::string Legend::commands(double page_width, double page_height) const {
  std::string text;
  if (entries_.empty()) return text;
  const int down = rows(page_width), used = (static_cast<int>(entries_.size()) + down - 1) / down;
  const double each = entry_width(page_width);
  const double left = std::max(kMargin, (page_width - (used * each - kBetween)) / 2);
  for (int i = 0; i < static_cast<int>(entries_.size()); ++i) {
    const Entry& entry = entries_[static_cast<size_t>(i)];
    const double x = left + i / down * each, y = height(page_width) - 6 - kRow * (i % down + 0.5);
    const auto at = [&](double right) {
      return fmt::format("screen {:.4f},{:.4f}", (x + right) / page_width, y / page_height);
    };
    const Look& look = entry.look;
    if (!look.line.empty())
      text += fmt::format("set arrow from {} to {} nohead {}\n", at(0), at(kSample), sample_line(look));
    if (look.points)
      text += fmt::format("set label '' at {} point {}\n", at(kSample / 2), point_of(look, 0.5));
    if (!look.shape.empty())
      text += fmt::format(
          "set object {} center {} size screen {:.4f},{:.4f} fillcolor rgb '{}' fillstyle transparent solid "
          "{} "
          "border linecolor rgb '{}' linewidth 0.8\n",
          look.shape, at(kSample / 2), kShape / page_width, kShape / page_height, look.colour, look.opacity,
          look.colour);
    // Names longer than the page are cut, since nothing can stand outside it.
    const auto shown = lines_of(entry.name, each - kSample - kGap - kBetween + 1, kText, 1);
    text += fmt::format("set label {} at {} left noenhanced textcolor rgb '#222222'\n",
                        gnuplot_string(shown.empty() ? "" : shown.front()), at(kSample + kGap));
  }
  return text;
}

}  // namespace elbo
