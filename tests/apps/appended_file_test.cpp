// A file that grows: whole pieces, or an Error and nothing.
#include "apps/support/appended_file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>

#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_directory.h"

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("a file that grows keeps what it had, and adds all of a piece or nothing") {
    const TemporaryDirectory directory;
    const std::string path = directory / "log";
    CHECK_THROWS_WITH_AS(AppendedFile{path}, doctest::Contains("No such file"), Error);
    write_file_atomically(path, "one\n");
    {
      AppendedFile file(path);
      file.append("two\n");
      CHECK(read_file(path) == "one\ntwo\n");
      file.truncate(4);
      file.append("three\n");
      file.sync();
    }
    CHECK(read_file(path) == "one\nthree\n");
    {
      // What a full disk does: the first bytes still fit.
      const FileSizeLimit limit(12);
      AppendedFile file(path);
      CHECK_THROWS_AS(file.append("four\n"), Error);
    }
    CHECK(read_file(path) == "one\nthree\n");
  }
}

}  // namespace elbo
