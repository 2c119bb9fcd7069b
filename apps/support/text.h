// text: times and durations as people read them.
//
// Shared by progress lines, reports and run directories. Uses the standard library only.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace elbo {

/// "0.84 s", "42 s", "3 min 20 s", "2 h 05 min", "3 d 04 h"; "unknown" for what is negative or not finite.
std::string format_duration(double seconds);

/// UTC as in ISO 8601: "2024-01-31T12:05:01Z".
std::string format_utc(std::chrono::system_clock::time_point time);
/// UTC fit for a file name, and sorting by age: "20240131-120501".
std::string format_utc_for_file(std::chrono::system_clock::time_point time);

/// Columns that UTF-8 text takes on a terminal, counting one for each code point.
int display_width(std::string_view text);
/// The first `width` columns of `text`, never cutting a character in two.
std::string_view clip_to_width(std::string_view text, int width);

/// The text with control characters (line breaks, tabs, escapes) replaced by spaces.
std::string on_one_line(std::string_view text);
/// A word of a command line as a POSIX shell takes it: in single quotes where it needs them.
std::string shell_word(const std::string& word);
/// The same bytes where they are UTF-8; U+FFFD for each byte that is not.
std::string valid_utf8(std::string_view text);

}  // namespace elbo
