#include "apps/support/toml_quotes.h"

#include <algorithm>
#include <string>
#include <utility>

#include "apps/support/text.h"

namespace elbo {
namespace {

constexpr auto kEnd = std::string_view::npos;

bool beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

MisplacedCharacter at(std::string_view toml, size_t position, bool behind_backslash) {
  const std::string_view rest = toml.substr(position);
  size_t length = 1;
  while (length < std::min<size_t>(rest.size(), 4) &&
         (static_cast<unsigned char>(rest[length]) & 0xc0) == 0x80)
    ++length;
  const auto lines = std::count(toml.begin(), toml.begin() + static_cast<std::ptrdiff_t>(position), '\n');
  return {static_cast<int>(lines) + 1, valid_utf8(rest.substr(0, length)), behind_backslash};
}

/// Behind a string on one line that ends with `quote`, or at the line's end where the string does not end.
size_t behind_string(std::string_view toml, size_t begin, char quote) {
  for (size_t i = begin; i < toml.size() && toml[i] != '\n'; ++i) {
    if (toml[i] == quote) return i + 1;
    if (toml[i] == '\\' && quote == '"') ++i;
  }
  return std::min(toml.find('\n', begin), toml.size());
}

/// Whether a quote begins a string where a text has been read to. In the middle of something else, which is
/// no TOML, it does not; and toml++ reads on there as if it were no quote ("a = 0[\"é\"]").
class Position {
 public:
  bool may_begin() const { return begins_; }
  void pass(char c) {
    switch (c) {
      case ' ':
      case '\t':
      case '\r':
        return;
      case '\n':
        if (open_.empty()) key_ = begins_ = true;
        return;
      case '=':
        begins_ = std::exchange(key_, false);
        return;
      case ',':
        key_ = open_.ends_with('{');
        begins_ = !open_.empty();
        return;
      case '[':  // of an array, or of a section's name
        if (begins_ && !key_) open_ += c;
        return;
      case '{':
        begins_ = begins_ && !key_;
        if (begins_) open_ += c, key_ = true;
        return;
      case ']':
      case '}':
        if (!open_.empty()) open_.pop_back();
        key_ = begins_ = false;
        return;
      default:  // a dot, too: it may be a number's, and no option has a dotted name that needs quotes
        begins_ = false;
    }
  }

 private:
  std::string open_;    // brackets of values, the innermost last
  bool key_ = true;     // a key is read, and not a value
  bool begins_ = true;  // nothing of it was there yet
};

}  // namespace

std::optional<MisplacedCharacter> misplaced_character(std::string_view toml) {
  size_t i = toml.starts_with("\xef\xbb\xbf") ? 3 : 0;
  Position position;
  while (i < toml.size()) {
    const std::string_view rest = toml.substr(i);
    const bool opens = position.may_begin();
    if (rest[0] != '#') position.pass(rest[0]);
    if (opens && rest.starts_with("'''")) {
      const size_t end = toml.find("'''", i + 3);
      i = end == kEnd ? toml.size() : end + 3;
    } else if (opens && rest.starts_with("\"\"\"")) {
      for (i += 3; i < toml.size() && !toml.substr(i).starts_with("\"\"\""); ++i) {
        if (toml[i] != '\\') continue;
        const size_t next = toml.find_first_not_of(" \t\r\n\v\f", ++i);
        if (next != kEnd && beyond_ascii(toml[next])) return at(toml, next, true);
        if (next != i) i = std::min(next, toml.size()) - 1;  // else it is an escape, which may be of a quote
      }
      i += 3;
    } else if (opens && (rest[0] == '"' || rest[0] == '\'')) {
      i = behind_string(toml, i + 1, rest[0]);
    } else if (rest[0] == '#') {
      i = std::min(toml.find('\n', i), toml.size());
    } else if (beyond_ascii(rest[0])) {
      return at(toml, i, false);
    } else {
      ++i;
    }
  }
  return std::nullopt;
}

}  // namespace elbo
