// Times, durations and UTF-8 text.
#include "apps/support/text.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <ctime>

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("durations read as people say them, and no rounding gives sixty of anything") {
    CHECK(format_duration(0) == "0.00 s");
    CHECK(format_duration(0.844) == "0.84 s");
    CHECK(format_duration(9.99) == "9.99 s");
    CHECK(format_duration(9.996) == "10 s");
    CHECK(format_duration(42.4) == "42 s");
    CHECK(format_duration(59.7) == "1 min 00 s");
    CHECK(format_duration(200) == "3 min 20 s");
    CHECK(format_duration(3599.6) == "1 h 00 min");
    CHECK(format_duration(7500) == "2 h 05 min");
    CHECK(format_duration(24 * 3600 - 1) == "1 d 00 h");
    CHECK(format_duration(3 * 86400 + 4 * 3600) == "3 d 04 h");
    CHECK(format_duration(-1) == "unknown");
    CHECK(format_duration(std::nan("")) == "unknown");
    CHECK(format_duration(INFINITY) == "unknown");
  }

  TEST_CASE("times are UTC, whatever the time zone") {
    ::setenv("TZ", "EAST-9", 1);
    ::tzset();
    const auto time = std::chrono::system_clock::from_time_t(951782400 + 3723);  // the leap day of 2000
    CHECK(format_utc(time) == "2000-02-29T01:02:03Z");
    CHECK(format_utc_for_file(time) == "20000229-010203");
    ::unsetenv("TZ");
    ::tzset();
  }

  TEST_CASE("width counts characters, and a clipped text ends between two of them") {
    CHECK(display_width("") == 0);
    CHECK(display_width("σ² = 1") == 6);
    CHECK(clip_to_width("σ² = 1", 2) == "σ²");
    CHECK(clip_to_width("σ² = 1", 100) == "σ² = 1");
    CHECK(clip_to_width("abc", 0) == "");
  }

  TEST_CASE("bytes that are not UTF-8 are replaced one by one, the others stay") {
    for (const char* text : {"plain", "σ² ✓", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"})
      CHECK(valid_utf8(text) == text);
    const std::string bad = "\xef\xbf\xbd";
    CHECK(valid_utf8("a\xff"
                     "b") == "a" + bad + "b");
    CHECK(valid_utf8("\xcf") == bad);                                // breaks off
    CHECK(valid_utf8("\xc0\xaf") == bad + bad);                      // an encoding longer than needed
    CHECK(valid_utf8("\xe0\x80\xaf") == bad + bad + bad);            // the same
    CHECK(valid_utf8("\xed\xa0\x80") == bad + bad + bad);            // half of a surrogate pair
    CHECK(valid_utf8("\xf4\x90\x80\x80") == bad + bad + bad + bad);  // beyond the last code point
  }

  TEST_CASE("text on one line holds no control characters") {
    CHECK(on_one_line("a\nb\tc\x1b[0m\x7f") == "a b c [0m ");
    CHECK(on_one_line("σ²") == "σ²");
  }
}

}  // namespace elbo
