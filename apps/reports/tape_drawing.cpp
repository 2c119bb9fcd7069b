// The drawing of a tape: a column of boxes, with bars for what each op costs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/reports/tape_report.h"
#include "apps/support/gnuplot.h"
#include "apps/support/html.h"
#include "apps/support/text.h"

namespace elbo {
namespace {

using Op = TapeTrace::Op;
using Input = TapeTrace::Input;

// Points. The page is narrow enough for a phone to show all of it.
constexpr double kLeft = 50, kBox = 252, kColumn = 66, kGap = 16, kLine = 17, kHead = 76, kPadding = 8;
constexpr double kBars = kLeft + kBox + 14, kWidth = kBars + 3 * kColumn + 4, kFoot = 74;
constexpr int kTextWidth = 35;  // letters of the small size that fit a box

std::string values() { return "#8a929c"; }
std::string meeting() { return "#b5558a"; }  // dark enough for letters

std::string text(double x, double y, const std::string& what, const std::string& style) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escape_html(what));
}

std::string shape_text(const Shape& shape) { return shape.rank() == 0 ? "scalar" : shape.str(); }

std::string clipped(const std::string& line) {
  if (display_width(line) <= kTextWidth) return line;
  return std::string(clip_to_width(line, kTextWidth - 1)) + "…";
}

/// The lines below an op's name: its shape where it does not fit beside, then parameters and constants.
struct Line {
  std::string words;
  bool is_parameter, met;
};
std::vector<Line> lines_of(const Op& op) {
  std::vector<Line> lines;
  for (const Input& input : op.inputs)
    if (!input.parameter.empty())
      lines.push_back({clipped(input.parameter + " " + shape_text(input.shape)), true, input.met});
    else if (input.op < 0)
      lines.push_back({clipped("constant " + shape_text(input.shape)), false, false});
  return lines;
}

struct Place {
  double top, height;
  double bottom() const { return top + height; }
  double middle() const { return top + height / 2; }
};

std::string output_text(const Op& op) {
  std::string shapes;
  for (const Shape& shape : op.outputs) shapes += (shapes.empty() ? "" : " ") + shape_text(shape);
  return shapes;
}

/// Whether name and shape share a line.
bool on_one_line(const Op& op) {
  return 8.4 * display_width(op.name) + 6.9 * display_width(output_text(op)) < kBox - 52;
}

class Drawer {
 public:
  explicit Drawer(const std::vector<Op>& ops) : ops_(ops) {
    double y = kHead;
    for (const Op& op : ops) {
      gradients_.emplace_back(op.outputs.size());
      const size_t lines = lines_of(op).size() + (on_one_line(op) ? 0 : 1);
      places_.push_back({y, 24 + kLine * static_cast<double>(lines) + (lines > 0 ? 4 : 0)});
      y = places_.back().bottom() + kGap;
      longest_ = std::max({longest_, op.forward_seconds, op.backward_seconds});
      largest_ = std::max(largest_, static_cast<double>(op.saved_bytes));
      for (const Input& input : op.inputs)
        if (input.op >= 0 && input.reached) ++gradients_of(input);
    }
    end_ = y;
  }

  std::string svg(const std::string& title) const {
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\" "
        "fill=\"#1c1f23\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        kWidth, end_ + kFoot);
    out += text(kLeft, 24, title, "font-size=\"16\" font-weight=\"600\"");
    out += columns();
    for (size_t i = 0; i < ops_.size(); ++i) out += arrows(i);
    for (size_t i = 0; i < ops_.size(); ++i) out += box(i) + bars(i);
    return out + foot() + "</svg>\n";
  }

 private:
  int& gradients_of(const Input& input) {
    return gradients_[static_cast<size_t>(input.op)][static_cast<size_t>(input.output)];
  }
  int most_gradients(size_t op) const {
    return *std::max_element(gradients_[op].begin(), gradients_[op].end());
  }

  std::string columns() const {
    std::string out;
    const char* names[] = {"saved", "forward", "backward"};
    const int colours[] = {2, 0, 1};
    for (int c = 0; c < 3; ++c)
      out +=
          text(kBars + c * kColumn, kHead - 16, names[c],
               fmt::format("font-size=\"12.5\" font-weight=\"600\" fill=\"{}\"", figure_colour(colours[c])));
    return out;
  }

  /// Of the values that come in: from the op above a short one, from others around the boxes on the left.
  std::string arrows(size_t i) const {
    std::string out;
    for (const Input& input : ops_[i].inputs) {
      if (input.op < 0) continue;
      const auto from = static_cast<size_t>(input.op);
      const bool meets_there = input.reached && gradients_[from][static_cast<size_t>(input.output)] > 1;
      const std::string look =
          fmt::format("fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{}", meets_there ? meeting() : values(),
                      meets_there ? 2 : 1.5, input.reached ? "" : " stroke-dasharray=\"3 3\"");
      const Place &a = places_[from], &b = places_[i];
      double x = kLeft + 26, y = b.top;
      if (from + 1 == i) {
        out += fmt::format("<path d=\"M{:.1f} {:.1f}V{:.1f}\" {}/>\n", x, a.bottom(), b.top - 5, look);
        out += head(x, y, 0, 1, meets_there);
      } else {
        const double depth = std::min(kLeft - 8, 14 + 7 * static_cast<double>(i - from));
        x = kLeft;
        y = b.top + 12;
        out += fmt::format(
            "<path d=\"M{0:.1f} {1:.1f}C{2:.1f} {1:.1f} {2:.1f} {3:.1f} {4:.1f} {3:.1f}\" {5}/>\n", x,
            a.bottom() - 7, x - depth, y, x - 5, look);
        out += head(x, y, 1, 0, meets_there);
      }
    }
    return out;
  }

  static std::string head(double x, double y, int dx, int dy, bool meets_there) {
    return fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}Z\" fill=\"{}\"/>\n", x, y,
                       x - 7 * dx - 4 * dy, y - 7 * dy - 4 * dx, x - 7 * dx + 4 * dy, y - 7 * dy + 4 * dx,
                       meets_there ? meeting() : values());
  }

  std::string box(size_t i) const {
    const Op& op = ops_[i];
    const Place& place = places_[i];
    std::string out = fmt::format(
        "<rect x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\" rx=\"6\" fill=\"{}\" stroke=\"{}\"{}/>\n",
        kLeft, place.top, kBox, place.height, op.reached ? "#f4f6f8" : "#ffffff",
        op.reached ? "#c3cad2" : "#aab2bb", op.reached ? "" : " stroke-dasharray=\"4 3\"");
    double y = place.top + 17;
    out += text(kLeft + kPadding + 14, y, fmt::format("{}", i + 1),
                "font-size=\"12\" fill=\"#5b626b\" text-anchor=\"end\"");
    out += text(kLeft + kPadding + 22, y, op.name, "font-size=\"15\" font-weight=\"600\"");
    if (!on_one_line(op)) y += kLine;
    out += text(kLeft + kBox - kPadding, y, output_text(op), "font-size=\"13\" text-anchor=\"end\"");
    for (const Line& line : lines_of(op)) {
      y += kLine;
      const std::string colour = line.met ? meeting() : line.is_parameter ? "#343a41" : "#5b626b";
      out += text(kLeft + kPadding + 22, y, line.words + (line.met ? " ⊕" : ""),
                  fmt::format("font-size=\"12\" fill=\"{}\"{}", colour,
                              line.is_parameter ? "" : " font-style=\"italic\""));
    }
    if (most_gradients(i) > 1) out += plus(i);
    return out;
  }

  /// Where gradients meet: at the lower edge of the op that made the value.
  std::string plus(size_t i) const {
    const double x = kLeft + kBox - 22, y = places_[i].bottom();
    return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"34\" height=\"18\" rx=\"9\" fill=\"{}\"/>\n",
                       x - 17, y - 9, meeting()) +
           text(x, y + 4.5, fmt::format("⊕ {}", most_gradients(i)),
                "font-size=\"12\" font-weight=\"600\" fill=\"#ffffff\" text-anchor=\"middle\"");
  }

  std::string bar(size_t i, int column, double share, const std::string& words, int colour) const {
    const double x = kBars + column * kColumn, y = places_[i].top;
    std::string out = text(x, y + 13, words, "font-size=\"12\"");
    if (share > 0)
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"6\" rx=\"1\" fill=\"{}\"/>\n", x, y + 18,
          std::max(1.0, share * (kColumn - 12)), figure_colour(colour));
    return out;
  }

  std::string bars(size_t i) const {
    const Op& op = ops_[i];
    const auto share = [](double value, double of) { return of > 0 ? value / of : 0; };
    std::string out = bar(i, 1, share(op.forward_seconds, longest_), seconds_text(op.forward_seconds), 0);
    out += op.reached ? bar(i, 2, share(op.backward_seconds, longest_), seconds_text(op.backward_seconds), 1)
                      : bar(i, 2, 0, "–", 1);
    if (op.saved_bytes > 0)
      out += bar(i, 0, share(static_cast<double>(op.saved_bytes), largest_), bytes_text(op.saved_bytes), 2);
    return out;
  }

  std::string foot() const {
    const TapeTotals totals = totals_of(ops_);
    const double y = end_ + 4;
    std::string out = fmt::format("<path d=\"M{} {:.1f}H{}\" stroke=\"#1c1f23\"/>\n", kLeft, y, kWidth - 8);
    out += text(kLeft + kPadding + 22, y + 18, "together", "font-size=\"13\" font-weight=\"600\"");
    const std::string sums[] = {bytes_text(totals.saved_bytes), seconds_text(totals.forward_seconds),
                                seconds_text(totals.backward_seconds)};
    for (int c = 0; c < 3; ++c)
      out += text(kBars + c * kColumn, y + 18, sums[c], "font-size=\"12\" font-weight=\"600\"");
    const double key = y + 48;
    if (totals.meetings > 0)
      out += text(kLeft, key, "⊕ several gradients are added to one: the value has several uses",
                  fmt::format("font-size=\"12\" fill=\"{}\"", meeting()));
    return out;
  }

  const std::vector<Op>& ops_;
  std::vector<std::vector<int>> gradients_;  // how many come to each output of each op
  std::vector<Place> places_;
  double longest_ = 0, largest_ = 0, end_ = 0;
};

}  // namespace

std::string tape_svg(const std::vector<Op>& ops, const std::string& title) { return Drawer(ops).svg(title); }

}  // namespace elbo
