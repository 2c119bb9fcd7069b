// toml_quotes: what has to be known of a TOML text before toml++ reads it. Uses the standard library only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace elbo {

/// Where toml++ would ask whether a character beyond ASCII is a space, which for many of them ("é") is
/// undefined behaviour (toml++ issues 190 and 295): outside quotes and comments, where TOML 1.0 has ASCII
/// alone, and behind a backslash in a text of several lines, at once or where the next line begins.
struct MisplacedCharacter {
  int line = 1;
  std::string character;          ///< as UTF-8
  bool behind_backslash = false;  ///< in quotes
};
std::optional<MisplacedCharacter> misplaced_character(std::string_view toml);

}  // namespace elbo
