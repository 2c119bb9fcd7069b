// Files out of archives, which are made here, byte for byte as POSIX says.
#include "datasets/tar.h"

#include "tests/datasets/helpers.h"
#include "tests/datasets/tar_bytes.h"

namespace elbo {

TEST_SUITE("datasets") {
  TEST_CASE("members come out of an archive, plain and gzipped, and nothing else does") {
    const std::string archive = tar_entry("top/", "", '5') + tar_entry("top/a.bin", "first") +
                                tar_entry("top/read me", "not asked for") +
                                tar_entry("b.bin", std::string(512, 'b')) + tar_entry("top/empty", "") +
                                tar_end();
    for (const std::string& bytes : {archive, gzip(archive)}) {
      const TemporaryDirectory directory;
      put(directory / "x.tar", bytes);
      std::filesystem::create_directory(directory / "to");
      unpack_tar(directory / "x.tar", directory / "to", {{"b.bin", 512}, {"a.bin", 5}, {"empty", 0}});
      CHECK(read_file(directory / "to/a.bin") == "first");
      CHECK(read_file(directory / "to/b.bin") == std::string(512, 'b'));
      CHECK(read_file(directory / "to/empty") == "");
      CHECK(std::distance(std::filesystem::directory_iterator(directory / "to"), {}) == 3);
    }
  }

  TEST_CASE("no name in an archive leads out of the folder, and no link is followed or made") {
    const TemporaryDirectory directory;
    std::filesystem::create_directory(directory / "to");
    put(directory / "x.tar", tar_entry("../a", "outside") + tar_entry("/tmp/elbo-test-tar/c", "outside") +
                                 tar_entry("b", "", '2', "/etc/passwd") + tar_entry("t/b", "inside") +
                                 tar_end());
    unpack_tar(directory / "x.tar", directory / "to", {{"a", 7}, {"b", 6}});
    CHECK(read_file(directory / "to/a") == "outside");
    CHECK(read_file(directory / "to/b") == "inside");
    CHECK_FALSE(std::filesystem::is_symlink(directory / "to/b"));
    CHECK(directory.entries() == 2);
  }

  TEST_CASE("an archive that is cut short, damaged, or without a member is refused") {
    const TemporaryDirectory directory;
    const std::string whole = tar_entry("t/a", "bytes") + tar_end();
    const auto with = [&](const std::string& bytes) {
      put(directory / "x.tar", bytes);
      return error_of([&] { unpack_tar(directory / "x.tar", directory.path().string(), {{"a", 5}}); });
    };
    CHECK(with(whole) == "");
    for (const size_t size : {0, 1, 511, 512, 514, 1023, 1024})
      CHECK(mentions(with(whole.substr(0, size)), "is truncated"));
    CHECK(mentions(with(gzip(whole).substr(0, 60)), "x.tar"));
    for (const size_t at : {0, 100, 124, 148, 257, 400}) {
      std::string damaged = whole;
      damaged[at] = damaged[at] == '7' ? '6' : '7';
      CHECK(mentions(with(damaged), "is damaged or no tar archive"));
    }
    CHECK(mentions(with(std::string(1024, 'x')), "is damaged or no tar archive"));
    CHECK(mentions(with(tar_entry("t/ab", "bytes") + tar_end()), "holds no 'a'"));
    CHECK(mentions(with(tar_entry("t/a", "more bytes") + tar_end()), "has 10 bytes, not 5"));
    CHECK(mentions(with(tar_entry("t/a", "bytes") + whole), "twice"));
    CHECK(mentions(with(tar_entry("a", "", '5') + tar_end()), "holds no 'a'"));
  }
}

}  // namespace elbo
