// The check that ends a program on a processor that it was not compiled for: what it says, and that it lets
// this one through, which runs this test. tests/CMakeLists.txt sees it end a program.
#include "apps/processor/processor.h"

#include <doctest/doctest.h>

#include <string>

namespace elbo::processor {

TEST_SUITE("apps") {
  TEST_CASE("what a processor lacks is named in one line, and nothing is said where it lacks nothing") {
    char text[600] = "something";
    CHECK_FALSE(describe_missing(needs, available(), text, sizeof text));
    CHECK(std::string(text).empty());
    CHECK_FALSE(describe_missing(0, 0, text, sizeof text));
    CHECK_FALSE(describe_missing(0, ~uint64_t{0}, text, sizeof text));
#if defined(__x86_64__)
    CHECK(describe_missing(bit(avx2) | bit(fma) | bit(avx512f), bit(avx2) | bit(sse3), text, sizeof text));
    CHECK(std::string(text) ==
          "elbo: this build is for a processor with fma, avx512f, which this one lacks; build elbo on this "
          "machine, "
          "or for any processor with -D ELBO_NATIVE=OFF\n");
    char small[20];
    CHECK(describe_missing(bit(avx2), 0, small, sizeof small));
    CHECK(std::string(small) == "elbo: this build is");
#endif
  }

  TEST_CASE("all extensions at once fit into the line") {
    char text[600];
    const uint64_t all = kExtensions == 0 ? 0 : bit(kExtensions) - 1;
    if (describe_missing(all, 0, text, sizeof text))
      CHECK(std::string(text).ends_with("-D ELBO_NATIVE=OFF\n"));
  }
}

}  // namespace elbo::processor
