// Files: whole or unchanged, and every refusal one line that names the file.
#include "tensor/file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/error_of.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_directory.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("a file reads back as it was written, whatever its bytes and length") {
    const TemporaryDirectory directory;
    const std::string path = directory / "file";
    for (size_t length : {0, 1, 4096, 100001}) {
      std::string bytes(length, '\0');
      for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(i * 7 % 256);
      write_file_atomically(path, bytes);
      CHECK(read_file(path) == bytes);
      CHECK(InputFile(path).size() == length);
    }
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("pieces are written one after the other") {
    const TemporaryDirectory directory;
    const std::vector<std::string_view> pieces = {"one", "", "two", "3"};
    write_file_atomically(directory / "file", pieces);
    CHECK(read_file(directory / "file") == "onetwo3");
  }

  TEST_CASE("an input file gives any part, and says where it ends") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "file", "0123456789");
    const InputFile file(directory / "file");
    std::string part(4, ' ');
    file.read(3, std::as_writable_bytes(std::span(part)));
    CHECK(part == "3456");
    CHECK(file.read_some(8, std::as_writable_bytes(std::span(part))) == 2);
    CHECK(file.read_some(uint64_t{1} << 40, std::as_writable_bytes(std::span(part))) == 0);
    const std::string error = error_of([&] { file.read(8, std::as_writable_bytes(std::span(part))); });
    CHECK(mentions(error, "ends at byte 10, 2 more"));
  }

  TEST_CASE("a file that reports no size is read to its end") {
    CHECK(mentions(read_file("/proc/self/status"), "Pid:"));
  }

  TEST_CASE("what is no readable file is refused") {
    const TemporaryDirectory directory;
    CHECK(mentions(error_of([&] { read_file(directory / "absent"); }), "absent': No such file"));
    CHECK(mentions(error_of([&] { read_file(directory.path()); }), "a directory"));
    CHECK(mentions(error_of([&] { read_file("/dev/zero"); }), "a device or pipe"));
    REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
    CHECK(mentions(error_of([&] { read_file(directory / "pipe"); }), "a device or pipe"));
    // A file larger than any memory that takes no disk space; file systems differ in how large it may be.
    std::ofstream(directory / "sparse").close();
    std::error_code unsupported;
    std::filesystem::resize_file(directory / "sparse", uint64_t{1} << 42, unsupported);
    std::filesystem::resize_file(directory / "sparse", uint64_t{1} << 50, unsupported);
    if (std::filesystem::file_size(directory / "sparse") > 0)
      CHECK(mentions(error_of([&] { read_file(directory / "sparse"); }), "does not fit in memory"));
  }

  TEST_CASE("a failed write says why and leaves the old file and nothing else") {
    const TemporaryDirectory directory;
    const std::string path = directory / "file";
    write_file_atomically(path, "old");
    CHECK(
        mentions(error_of([&] { write_file_atomically(directory / "no/such", "x"); }), "does its directory"));
    CHECK(mentions(error_of([&] { write_file_atomically(path + "/below", "x"); }), "Not a directory"));
    CHECK(mentions(error_of([&] { write_file_atomically(directory.path(), "x"); }), "it is a directory"));
    CHECK(mentions(error_of([&] { write_file_atomically("", "x"); }), "''"));
    CHECK(mentions(error_of([&] { write_file_atomically("/dev/full", "x"); }), "No space left"));
    CHECK(
        mentions(error_of([&] { write_file_atomically(directory / "two\nlines/x", "x"); }), "two\\x0alines"));
    {
      const FileSizeLimit limit(10000);
      const std::string error = error_of([&] { write_file_atomically(path, std::string(20000, 'x')); });
      CHECK(mentions(error, "File too large; free some space"));
    }
    CHECK(read_file(path) == "old");
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("what a killed process left behind is neither used nor touched") {
    const TemporaryDirectory directory;
    // Temporary names carry a running number; of two writes one meets an even number.
    constexpr int kLeftovers = 500;
    for (int i = 0; i < kLeftovers; ++i)
      std::ofstream(directory / fmt::format("file.tmp-{}-{}", ::getpid(), 2 * i)).close();
    write_file_atomically(directory / "file", "first");
    write_file_atomically(directory / "file", "second");
    CHECK(read_file(directory / "file") == "second");
    CHECK(directory.entries() == kLeftovers + 1);
  }

  TEST_CASE("a write-protected file stays") {
    if (::geteuid() == 0) return;  // nothing is protected from root
    const TemporaryDirectory directory;
    write_file_atomically(directory / "file", "old");
    std::filesystem::permissions(directory / "file", std::filesystem::perms{0444});
    CHECK(mentions(error_of([&] { write_file_atomically(directory / "file", "new"); }), "Permission denied"));
    CHECK(read_file(directory / "file") == "old");
  }

  TEST_CASE("what is written again replaces an earlier version, and nothing else") {
    const TemporaryDirectory directory;
    const std::string path = directory / "page.md";
    write_file_again(path, "# Page\n1\n");
    write_file_again(path, "# Page\n2\n");
    CHECK(read_file(path) == "# Page\n2\n");
    CHECK(
        mentions(error_of([&] { write_file_again(path, "# Other\n"); }), "is there, and is something else"));
    CHECK(read_file(path) == "# Page\n2\n");
    write_file_atomically(path, "");
    write_file_again(path, "# Other\n");
    CHECK(read_file(path) == "# Other\n");
    write_file_again("/dev/null", "# Page\n");
  }

  TEST_CASE("a device is written to, never replaced") {
    write_file_atomically("/dev/null", "x");
    CHECK(std::filesystem::is_character_file("/dev/null"));
  }

  TEST_CASE("replacing keeps symbolic links and permissions") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "file", "old");
    std::filesystem::permissions(directory / "file", std::filesystem::perms{0640});
    std::filesystem::create_symlink("file", directory / "link");
    write_file_atomically(directory / "link", "new");
    CHECK(std::filesystem::is_symlink(directory / "link"));
    CHECK(read_file(directory / "file") == "new");
    CHECK(std::filesystem::status(directory / "file").permissions() == std::filesystem::perms{0640});
  }

  TEST_CASE("a name without a directory is a file of the working directory") {
    const TemporaryDirectory directory;
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(directory.path());
    const std::string error = error_of([] { write_file_atomically("file", "here"); });
    std::filesystem::current_path(before);
    CHECK(error == "");
    CHECK(read_file(directory / "file") == "here");
  }

  TEST_CASE("readers see one whole version while several threads write") {
    const TemporaryDirectory directory;
    const std::string path = directory / "file";
    const std::string a(50000, 'a'), b(70000, 'b');
    write_file_atomically(path, a);
    std::vector<std::thread> writers;
    for (const std::string* version : {&a, &b})
      writers.emplace_back([&path, version] {
        for (int i = 0; i < 8; ++i) write_file_atomically(path, *version);
      });
    bool whole = true;
    for (int i = 0; i < 50; ++i) {
      const std::string seen = read_file(path);
      whole = whole && (seen == a || seen == b);
    }
    for (std::thread& writer : writers) writer.join();
    CHECK(whole);
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("leftovers of killed writers are removed, and nothing else") {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory.path() / "below");
    for (const char* name :
         {"state.tmp-123-0", "below/metrics.csv.tmp-9-17", "state", "notes.tmp-1", "tmp-1-2"})
      write_file_atomically(directory / name, "x");
    remove_leftovers(directory.path().string());
    for (const char* name : {"state.tmp-123-0", "below/metrics.csv.tmp-9-17"})
      CHECK_FALSE(std::filesystem::exists(directory / name));
    for (const char* name : {"state", "notes.tmp-1", "tmp-1-2"})
      CHECK(std::filesystem::exists(directory / name));
  }

  TEST_CASE("quoted text is one short line") {
    CHECK(quote("plain name") == "'plain name'");
    CHECK(quote(std::string_view("a\n\0\x7f", 4)) == "'a\\x0a\\x00\\x7f'");
    const std::string text = quote(std::string(1000, 'a') + "end");
    CHECK(text.size() < 200);
    CHECK(mentions(text, "aaa..."));
    CHECK(mentions(text, "aend'"));
  }
}

}  // namespace elbo
