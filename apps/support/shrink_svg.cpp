#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>

#include "apps/support/svg.h"

namespace elbo {
namespace {

/// A tag, or what stands between two.
struct Token {
  std::string_view text;
  bool tag;
};

std::vector<Token> tokens_of(std::string_view svg) {
  std::vector<Token> tokens;
  while (!svg.empty()) {
    const bool tag = svg.front() == '<';
    const size_t end =
        tag ? std::min(svg.find('>'), svg.size() - 1) + 1 : std::min(svg.find('<'), svg.size());
    tokens.push_back({svg.substr(0, end), tag});
    svg.remove_prefix(end);
  }
  return tokens;
}

/// The value of name='...' in a tag; nothing where it has none.
std::optional<std::string_view> value_of(std::string_view tag, std::string_view name) {
  size_t at = 0;
  while ((at = tag.find(name, at)) != std::string_view::npos) {
    const std::string_view rest = tag.substr(at + name.size());
    const bool whole = at > 0 && (tag[at - 1] == ' ' || tag[at - 1] == '\n');
    const size_t quote = rest.find_first_not_of(" =");
    if (whole && quote != std::string_view::npos && quote > 0 && rest[quote] == '\'') {
      const size_t end = rest.find('\'', quote + 1);
      if (end == std::string_view::npos) return {};
      return rest.substr(quote + 1, end - quote - 1);
    }
    at += name.size();
  }
  return {};
}

/// The text with each 'rgb(  0, 114, 178)' as '#0072b2'.
std::string with_short_colours(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    int red = 0, green = 0, blue = 0, length = 0;
    if (text.starts_with("rgb(") &&
        std::sscanf(std::string(text.substr(0, 24)).c_str(), "rgb(%d,%d,%d)%n", &red, &green, &blue,
                    &length) == 3 &&
        length > 0) {
      out += fmt::format("#{:02x}{:02x}{:02x}", red & 255, green & 255, blue & 255);
      text.remove_prefix(static_cast<size_t>(length));
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

/// A number of tenths in the fewest letters.
std::string tenths(int64_t value) {
  std::string text = value < 0 ? "-" : "";
  const int64_t size = std::abs(value);
  if (size >= 10 || size == 0) text += std::to_string(size / 10);
  if (size % 10) text += fmt::format(".{}", size % 10);
  return text;
}

/// Two numbers, parted by a comma where the second's sign does not part them.
std::string pair_of(int64_t x, int64_t y) { return tenths(x) + (y < 0 ? "" : ",") + tenths(y); }

struct Place {
  int64_t x, y;  // tenths
};

/// "1.23,4.56" at the beginning of the text, which is taken off it.
std::optional<Place> take_place(std::string_view& text) {
  const std::string copy(text.substr(0, 64));
  char* end = nullptr;
  const double x = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || *end != ',') return {};
  const char* second = end + 1;
  const double y = std::strtod(second, &end);
  if (end == second || !(std::abs(x) < 1e6) || !(std::abs(y) < 1e6)) return {};
  text.remove_prefix(static_cast<size_t>(end - copy.c_str()));
  return Place{std::llround(x * 10), std::llround(y * 10)};
}

void skip_blanks(std::string_view& text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n' || text.front() == '\t'))
    text.remove_prefix(1);
}

/// A path of M, L and Z in steps of a tenth; nothing where it has other commands. Steps to the same place are
/// left out, unless nothing else would be drawn.
std::optional<std::string> shorter_path(std::string_view path) {
  std::string out;
  Place at{0, 0}, begin{0, 0};
  bool in_line = false;
  for (skip_blanks(path); !path.empty(); skip_blanks(path)) {
    const char command = path.front();
    path.remove_prefix(1);
    if (command == 'Z') {
      out += 'z', in_line = false, at = begin;
      continue;
    }
    if (command != 'M' && command != 'L') return {};
    const auto place = take_place(path);
    if (!place) return {};
    if (command == 'M') {
      out += 'M' + pair_of(place->x, place->y);
      begin = *place, in_line = false;
    } else {
      const int64_t x = place->x - at.x, y = place->y - at.y;
      if (x == 0 && y == 0 && in_line) continue;
      out += in_line ? (x < 0 ? "" : " ") : "l";
      out += pair_of(x, y), in_line = true;
    }
    at = *place;
  }
  // gnuplot ends an ellipse where it began, give or take its rounding.
  if (in_line && out.rfind('M') == 0 && std::abs(at.x - begin.x) <= 1 && std::abs(at.y - begin.y) <= 1)
    out += 'z';
  return out;
}

/// "x,y x,y" as a closed path.
std::optional<std::string> path_of_polygon(std::string_view points) {
  std::string path;
  for (skip_blanks(points); !points.empty(); skip_blanks(points)) {
    const size_t end = std::min(points.find_first_of(" \n\t"), points.size());
    path += (path.empty() ? "M" : " L") + std::string(points.substr(0, end));
    points.remove_prefix(end);
  }
  return shorter_path(path + " Z");
}

/// An element that draws one path: the path, and its attributes.
struct Shape {
  std::string attributes, path;
  bool joins = false;  ///< may be in one element with the next one that has the same attributes

  bool closed() const { return path.ends_with('z') && path.rfind('M') == 0; }
};

/// What is left of a tag without its name, one attribute and the end.
std::string other_attributes(std::string_view tag, std::string_view name, std::string_view value) {
  const auto begin = static_cast<size_t>(value.data() - tag.data());
  const size_t attribute = tag.rfind(name, begin), first = tag.find(' ');
  std::string out;
  const std::string rest = with_short_colours(std::string(tag.substr(first, attribute - first)) +
                                              std::string(tag.substr(begin + value.size() + 1)));
  for (char c : rest)
    if (c != '/' && c != '>' && (c != ' ' || (!out.empty() && out.back() != ' ' && out.back() != '=')))
      out += c;
  while (out.ends_with(' ')) out.pop_back();
  for (size_t at = 0; (at = out.find(" =")) != std::string::npos;) out.erase(at, 1);
  return out;
}

std::optional<Shape> shape_of(std::string_view tag) {
  const bool polygon = tag.starts_with("<polygon ");
  if (!polygon && !tag.starts_with("<path ")) return {};
  const char* name = polygon ? "points" : "d";
  const auto value = value_of(tag, name);
  if (!value || !tag.ends_with("/>")) return {};
  const auto path = polygon ? path_of_polygon(*value) : shorter_path(*value);
  if (!path) return {};
  return Shape{other_attributes(tag, name, *value), *path};
}

/// A point as gnuplot draws it, as a stroke of nearly no length with round or square ends.
std::optional<Shape> point_of(std::string_view tag) {
  if (!tag.starts_with("<use ")) return {};
  const auto shape = value_of(tag, "xlink:href"), move = value_of(tag, "transform"),
             colour = value_of(tag, "color");
  if (!shape || !move || !colour || (*shape != "#gpPt6" && *shape != "#gpPt4")) return {};
  std::string_view rest = *move;
  if (!rest.starts_with("translate(")) return {};
  rest.remove_prefix(10);
  const auto place = take_place(rest);
  if (!place || !rest.starts_with(") scale(")) return {};
  const double size = 2 * std::strtod(std::string(rest.substr(8)).c_str(), nullptr);
  std::string look = fmt::format("stroke='{}' stroke-width='{:.2f}'", with_short_colours(*colour), size);
  if (*shape == "#gpPt4") look += " stroke-linecap='square'";
  const auto opacity = value_of(tag, "opacity");
  if (opacity) look += fmt::format(" stroke-opacity='{}'", *opacity);
  // Points that let light through darken where they meet, and so must be elements of their own.
  return Shape{look, "M" + pair_of(place->x, place->y) + "h.01", !opacity};
}

/// What is written so far, in pieces, so that the last one can be taken back.
class Output {
 public:
  void add(std::string text) {
    finish_shapes();
    pieces_.push_back({std::move(text), ""});
  }

  void add(Shape shape) {
    if (!shapes_.empty() && shapes_.back().attributes != shape.attributes) finish_shapes();
    if (!shapes_.empty() && shapes_.back().joins && shape.joins)
      shapes_.back().path += shape.path;
    else
      shapes_.push_back(std::move(shape));
  }

  void open_group(std::string tag) {
    finish_shapes();
    open_.push_back(tag);
    // A group that goes on as the one before it: that one is left open instead.
    if (!pieces_.empty() && pieces_.back().closes == tag && tag.starts_with("<g fill="))
      pieces_.pop_back();
    else
      add(std::move(tag));
  }

  void close_group() {
    finish_shapes();
    std::string tag = open_.empty() ? "" : open_.back();
    if (!open_.empty()) open_.pop_back();
    if (!pieces_.empty() && pieces_.back().text == tag)
      pieces_.pop_back();  // nothing is in it
    else
      pieces_.push_back({"</g>", std::move(tag)});
  }

  std::string text() {
    finish_shapes();
    std::string text;
    for (const Piece& piece : pieces_) text += piece.text;
    return text;
  }

 private:
  struct Piece {
    std::string text;
    std::string closes;  // the opening tag of the group that it ends
  };

  /// Shapes with the same attributes have them from one group, unless these are about each alone.
  void finish_shapes() {
    if (shapes_.empty()) return;
    const std::string& look = shapes_.front().attributes;
    const bool group = shapes_.size() > 1 && (" " + look).find(" opacity=") == std::string::npos;
    std::string text = group ? fmt::format("<g {}>", look) : "";
    for (const Shape& shape : shapes_)
      text += fmt::format("<path {}d='{}'/>", group || look.empty() ? "" : look + " ", shape.path);
    if (group) text += "</g>";
    shapes_.clear();
    pieces_.push_back({std::move(text), ""});
  }

  std::vector<Piece> pieces_;
  std::vector<std::string> open_;
  std::vector<Shape> shapes_;  // all with the same attributes
};

/// A filled shape and its outline, which gnuplot draws one after the other.
constexpr std::string_view kFilled = "<g stroke='none' shape-rendering='crispEdges'>";

/// The shape of four tokens, kFilled, a polygon, </g> and its outline, as one.
std::optional<Shape> filled_shape(std::span<const Token> tokens) {
  std::vector<std::string_view> tags;
  for (const Token& token : tokens)
    if (token.tag) tags.push_back(token.text);
  if (tags.size() != 4 || tags[0] != kFilled || tags[2] != "</g>") return {};
  const auto inside = shape_of(tags[1]), outline = shape_of(tags[3]);
  if (!inside || !outline || !tags[1].starts_with("<polygon") || !outline->closed()) return {};
  return Shape{inside->attributes + " " + outline->attributes, outline->path};
}

/// The tag without an id that nothing refers to.
std::string without_id(std::string_view tag) {
  const size_t at = tag.find(" id=\"gnuplot_");
  if (at == std::string_view::npos) return std::string(tag);
  const size_t end = tag.find('"', at + 5);
  return std::string(tag.substr(0, at)) +
         (end == std::string_view::npos ? "" : std::string(tag.substr(end + 1)));
}

/// Without gnuplot's stock of symbols where none is used.
std::string without_symbols(std::string svg) {
  const size_t begin = svg.find("<defs>"), end = svg.find("</defs>");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return svg;
  const bool symbols = svg.substr(begin, end - begin).find("'gpDot'") != std::string::npos;
  for (const char* use : {"xlink:href='#", "url(#"})
    if (svg.find(use, end) != std::string::npos) return svg;
  return symbols ? svg.erase(begin, end + 7 - begin) : svg;
}

}  // namespace

std::string shrink_svg(std::string_view svg) {
  Output out;
  std::vector<Token> tokens;
  int texts = 0;  // that are open: blanks within them are drawn
  for (const Token& token : tokens_of(svg)) {
    if (token.text.starts_with("<text")) ++texts;
    if (token.text.starts_with("</text")) --texts;
    const bool blank = token.text.find_first_not_of(" \n\t\r") == std::string_view::npos;
    if (token.tag || texts > 0 || !blank) tokens.push_back(token);
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view text = tokens[i].text;
    const auto following = std::span(tokens).subspan(i, std::min<size_t>(4, tokens.size() - i));
    if (!tokens[i].tag) {
      out.add(std::string(text));
    } else if (auto filled = filled_shape(following)) {
      out.add(std::move(*filled));
      i += 3;
    } else if (auto point = point_of(text)) {
      out.add(std::move(*point));
    } else if (auto shape = shape_of(text)) {
      out.add(std::move(*shape));
    } else if (text == "</g>") {
      out.close_group();
    } else if (text.starts_with("<g") && !text.ends_with("/>")) {
      out.open_group(with_short_colours(without_id(text)));
    } else {
      out.add(std::string(text));
    }
  }
  return without_symbols(out.text());
}

}  // namespace elbo
