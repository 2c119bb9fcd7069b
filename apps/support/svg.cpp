#include "apps/support/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/support/html.h"

namespace elbo {
namespace {

/// How narrow a drawing may become, as a share of its width: its letters are then 9 to 10 pixels high. A
/// figure of one panel fits a phone like this; what is wider is scrolled.
constexpr double kSmallest = 0.62;

/// The attribute's values within one tag, such as id="..." or href="#...", get the prefix.
std::string prefix_ids(std::string_view tag, const std::string& prefix) {
  constexpr std::string_view kBefore[] = {" id=\"", " id='", "href=\"#", "href='#", "url(#"};
  std::string out;
  while (!tag.empty()) {
    size_t taken = 1;
    for (std::string_view before : kBefore)
      if (tag.starts_with(before)) taken = before.size();
    out += tag.substr(0, taken);
    if (taken > 1) out += prefix;
    tag.remove_prefix(taken);
  }
  return out;
}

/// The value of an attribute in a tag, empty when it has none.
std::string attribute(std::string_view tag, std::string_view name) {
  const size_t at = tag.find(fmt::format(" {}=\"", name));
  if (at == std::string_view::npos) return "";
  const size_t begin = at + name.size() + 3, end = tag.find('"', begin);
  return end == std::string_view::npos ? "" : std::string(tag.substr(begin, end - begin));
}

/// Width of the drawing in points, from viewBox="0 0 WIDTH HEIGHT"; 0 when it does not say.
double width_of(std::string_view view_box) {
  double x = 0, y = 0, width = 0, height = 0;
  const std::string text(view_box);
  return std::sscanf(text.c_str(), "%lf %lf %lf %lf", &x, &y, &width, &height) == 4 ? width : 0;
}

/// Where an element that begins at `at` ends; npos where it does not.
size_t end_of_element(std::string_view svg, size_t at) {
  int depth = 0;
  while ((at = svg.find('<', at)) != std::string_view::npos) {
    const size_t end = svg.find('>', at);
    if (end == std::string_view::npos) return end;
    if (svg[at + 1] == '/')
      --depth;
    else if (svg[end - 1] != '/')
      ++depth;
    at = end + 1;
    if (depth <= 0) return at;
  }
  return at;
}

/// A drawing in pieces: what stands before and after the elements of its outermost group, and these.
struct Pieces {
  std::string before, after;
  std::vector<std::string> elements;
};

Pieces pieces_of(const std::string& svg) {
  Pieces pieces{svg, "", {}};
  const size_t group = svg.find("<g"), end = group == std::string::npos ? group : svg.find('>', group);
  if (end == std::string::npos) return pieces;
  size_t at = end + 1;
  while (at < svg.size() && svg[at] == '<' && svg[at + 1] != '/') {
    const size_t next = end_of_element(svg, at);
    if (next == std::string::npos) return pieces;
    pieces.elements.push_back(svg.substr(at, next - at));
    at = next;
  }
  pieces.before = svg.substr(0, end + 1);
  pieces.after = svg.substr(at);
  return pieces;
}

}  // namespace

std::string inline_svg(std::string_view svg, const std::string& prefix, const std::string& description) {
  std::string out;
  const size_t root = svg.find("<svg");
  if (root == std::string_view::npos) return "";
  svg.remove_prefix(root);
  while (true) {
    const size_t begin = std::min(svg.find('<'), svg.size());
    out += svg.substr(0, begin);
    svg.remove_prefix(begin);
    if (svg.empty()) return out;
    const std::string_view tag = svg.substr(0, std::min(svg.find('>'), svg.size() - 1) + 1);
    svg.remove_prefix(tag.size());
    if (tag.starts_with("<svg")) {
      const std::string box = attribute(tag, "viewBox");
      const double width = width_of(box);
      // Wide drawings are scrolled on a phone once their letters would be too small to read.
      out += fmt::format(
          "<svg viewBox=\"{}\" role=\"img\" aria-label=\"{}\" "
          "style=\"width:100%;max-width:{:.0f}px;min-width:{:.0f}px\">\n",
          escape_html(box), escape_html(description), width, kSmallest * width);
    } else if (tag.starts_with("<title") || tag.starts_with("<desc")) {
      // Left out: the program's name would show when the mouse rests on the figure.
      const std::string_view close = tag.starts_with("<title") ? "</title>" : "</desc>";
      const size_t end = svg.find(close);
      svg.remove_prefix(end == std::string_view::npos ? svg.size() : end + close.size());
    } else {
      out += prefix_ids(tag, prefix);
    }
  }
}

SharedDrawings share_drawings(const std::vector<std::string>& svgs, const std::string& prefix) {
  constexpr size_t kWorthSharing = 100;  // bytes; a reference takes some 30
  SharedDrawings shared{.drawings = svgs};
  if (svgs.size() < 2) return shared;
  std::vector<Pieces> all;
  for (const std::string& svg : svgs) all.push_back(pieces_of(svg));
  const auto alike = [&](size_t i) {
    return std::all_of(all.begin(), all.end(),
                       [&](const Pieces& p) { return p.elements[i] == all.front().elements[i]; });
  };
  for (const Pieces& pieces : all)
    if (pieces.elements.size() != all.front().elements.size()) return shared;

  std::vector<std::string> bodies(svgs.size());
  const size_t count = all.front().elements.size();
  int number = 0;
  for (size_t i = 0; i < count;) {
    std::string run;
    size_t end = i;
    while (end < count && alike(end)) run += all.front().elements[end++];
    if (run.size() > kWorthSharing) {
      const std::string id = fmt::format("{}{}", prefix, number++);
      shared.common += fmt::format("<g id=\"{}\">{}</g>", id, run);
      run = fmt::format("<use href=\"#{}\"/>", id);
    }
    for (size_t k = 0; k < svgs.size(); ++k) bodies[k] += end > i ? run : all[k].elements[i];
    i = std::max(end, i + 1);
  }
  for (size_t k = 0; k < svgs.size(); ++k) shared.drawings[k] = all[k].before + bodies[k] + all[k].after;
  if (!shared.common.empty())
    shared.common = fmt::format(
        "<svg width=\"0\" height=\"0\" style=\"position:absolute\" "
        "aria-hidden=\"true\"><defs>{}</defs></svg>\n",
        shared.common);
  return shared;
}

}  // namespace elbo
