// The check that ends a program on a processor that it was not compiled for: what it says, and that it lets
// this one through, which runs this test. tests/CMakeLists.txt sees it end a program. And which of its paths
// a program of several takes; tests/paths_cli_test.py sees it take them.
#include "apps/processor/processor.h"
#include "apps/processor/paths.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

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

  TEST_CASE(
      "of a program's paths the best is taken that the processor can run, or a lower one that is asked for") {
    const std::vector<Path> paths{{"baseline", 0}, {"v3", 0b011}, {"v4", 0b111}};
    const auto all = [](const std::string&) { return true; };
    const auto none = [](const std::string&) { return false; };
    const auto no_v4 = [](const std::string& path) { return path != "v4"; };
    const auto path = [&](const char* wanted, uint64_t present, const auto& has_file) {
      const Choice choice = choose_path(paths, wanted, present, has_file);
      CHECK(choice.error.empty() != choice.path.empty());
      return choice.path;
    };
    CHECK(path(nullptr, 0b1111, all) == "v4");
    CHECK(path("", 0b1111, all) == "v4");
    CHECK(path(nullptr, 0b1011, all) == "v3");
    CHECK(path(nullptr, 0b1101, all) == "baseline");  // half of what v3 needs
    CHECK(path(nullptr, 0, all) == "baseline");
    CHECK(path(nullptr, 0b1111, no_v4) == "v3");
    CHECK(path(nullptr, 0b1111, none) == "baseline");
    CHECK(path("baseline", 0b1111, none) == "baseline");
    CHECK(path("v3", 0b1111, all) == "v3");
    CHECK(path("v3", 0b0011, all) == "v3");
    CHECK(path("v4", 0b0011, all).empty());
    CHECK(path("v4", 0b1111, no_v4).empty());
    CHECK(path("v9", 0b1111, all).empty());
  }

  TEST_CASE("a path that cannot be taken is refused in one line that says why") {
    const auto all = [](const std::string&) { return true; };
    const auto none = [](const std::string&) { return false; };
    const std::vector<Path> paths{{"baseline", 0}, {"v3", 1}};
    CHECK(choose_path(paths, "v9", 1, all).error ==
          "[ELBO_CPU] it is 'v9', but the paths of this elbo are baseline, v3");
    CHECK(choose_path(paths, "v3", 1, none).error ==
          "[ELBO_CPU] it is 'v3', whose program was not found; build or install all of elbo, or unset "
          "ELBO_CPU");
    CHECK(choose_path({{"native", 0}}, "v3", 1, all).error ==
          "[ELBO_CPU] it is 'v3', but this elbo has one path, native; unset ELBO_CPU, or build elbo with -D "
          "ELBO_NATIVE=OFF");
#if defined(__x86_64__)
    CHECK(choose_path({{"baseline", 0}, {"v3", bit(avx2) | bit(fma)}}, "v3", bit(avx2), all).error ==
          "[ELBO_CPU] it is 'v3', which needs fma, and this processor lacks that; unset ELBO_CPU");
#endif
  }

  TEST_CASE("the program that runs is the path it says, and one of its build") {
    const std::vector<Path>& all = all_paths();
    CHECK(all.front().needs == 0);
    CHECK(std::count_if(all.begin(), all.end(), [](const Path& path) { return path.name == own_path; }) == 1);
    for (size_t i = 1; i < all.size(); ++i)  // each takes all that those before it take, and more
      CHECK((all[i].needs & all[i - 1].needs) == all[i - 1].needs);
  }
}

}  // namespace elbo::processor
