// The check that every option with a number has.
#include <doctest/doctest.h>

#include <string>

#include "apps/support/arguments.h"

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("numbers are decimal, finite, whole where the value is, and within their bounds") {
    for (const char* text : {"1", "+1", "010", "1000000000"}) {
      CAPTURE(text);
      CHECK(fault_of_number(text, true, kCount) == "");
    }
    for (const char* text : {"", " 1", "1 ", "0", "-1", "1.0", "1e3", "0x10", "1000000001", "nan", "inf",
                             "1,2", "99999999999999999999", "one", "++1"}) {
      CAPTURE(text);
      const std::string fault = fault_of_number(text, true, kCount);
      CHECK(fault.find("'" + std::string(text) + "' is not a whole number from 1 to 1000000000") == 0);
    }
    for (const char* text : {"0.5", ".5", "5e-1", "+3", "1e30", "3.4e38", "1.2e-38"}) {
      CAPTURE(text);
      CHECK(fault_of_number(text, false, kPositive) == "");
    }
    for (const char* text :
         {"", "0", "-0.1", "nan", "-nan", "inf", "infinity", "1e400", "0x1p3", "1,5", "1e"}) {
      CAPTURE(text);
      CHECK(fault_of_number(text, false, kPositive).find("is not a finite number above 0") !=
            std::string::npos);
    }
    for (const char* text : {"1e39", "1e-50"}) {
      CAPTURE(text);
      CHECK(fault_of_number(text, false, kPositive).ends_with("in single precision"));
    }
  }

  TEST_CASE("a seed has 64 bits, a threshold of 0 is one") {
    CHECK(fault_of_number("18446744073709551615", true, kSeed) == "");
    CHECK(fault_of_number("18446744073709551616", true, kSeed) != "");
    CHECK(fault_of_number("9223372036854775807", true, kIndex) == "");
    CHECK(fault_of_number("9223372036854775808", true, kIndex) != "");
    CHECK(fault_of_number("0", false, kNotNegative) == "");
    CHECK(fault_of_number("-1e-300", false, kNotNegative) != "");
  }
}

}  // namespace elbo
