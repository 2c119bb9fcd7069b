// Made-up data sets fetched from a server on this machine: what is left in the folder, and what is not
// touched.
#include "apps/training/fetch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "apps/support/folder_lock.h"
#include "apps/support/transfer.h"
#include "datasets/sha256.h"
#include "tests/apps/web_server.h"
#include "tests/datasets/helpers.h"
#include "tests/datasets/tar_bytes.h"

namespace elbo {
namespace {

using Files = std::map<std::string, std::string>;

/// Serves the files of the folder /data/.
struct Mirror : WebServer {
  explicit Mirror(const Files& files)
      : WebServer([files](const Request& request) {
          const auto found = files.find(request.path.substr(6));
          if (found == files.end()) return Answer{headers("404 Not Found", 0)};
          return Answer{file(found->second, request.from)};
        }) {}
  std::string folder() const { return url("data"); }
};

/// The table's row for files that are read as they are.
PublishedData row_of(const Files& files) {
  PublishedData data{.name = "mnist",
                     .title = "MNIST",
                     .train = 2,
                     .test = 1,
                     .mirrors = {},
                     .files = {},
                     .members = {},
                     .find = find_mnist,
                     .count = count_mnist};
  for (const auto& [name, bytes] : files)
    data.files.push_back({name, bytes.size(), Sha256().add(bytes).str()});
  return data;
}

Files idx_files() {
  return {{"t10k-images-idx3-ubyte.gz", gzip(idx_bytes({1, 2, 2}, "wxyz"))},
          {"t10k-labels-idx1-ubyte.gz", gzip(idx_bytes({1}, "\7"))},
          {"train-images-idx3-ubyte.gz", gzip(idx_bytes({2, 2, 2}, "abcdefgh"))},
          {"train-labels-idx1-ubyte.gz", gzip(idx_bytes({2}, "\3\4"))}};
}

/// An archive in the manner of CIFAR-10's: two images to train on, one to test.
struct Archive {
  std::string train =
      std::string(1, '\2') + std::string(3072, 'a') + std::string(1, '\3') + std::string(3072, 'b');
  std::string test = std::string(1, '\4') + std::string(3072, 'c');
  Files files{
      {"x.tar.gz", gzip(tar_entry("top/data_batch_1.bin", train) + tar_entry("top/readme.html", "hello") +
                        tar_entry("top/test_batch.bin", test) + tar_end())}};

  PublishedData row() const {
    PublishedData data = row_of(files);
    data.members = {{"data_batch_1.bin", train.size()}, {"test_batch.bin", test.size()}};
    return data;
  }
};

std::string error_of_fetch(const PublishedData& data, const FetchOptions& options) {
  return error_of([&] { fetch(data, options); });
}

}  // namespace

TEST_SUITE("apps" * doctest::skip(!can_transfer())) {
  TEST_CASE("a data set is fetched into a new folder, and read from there") {
    const TemporaryDirectory directory;
    Mirror mirror(idx_files());
    const FetchOptions options{
        .folder = directory / "data/mnist", .mirrors = {mirror.folder()}, .quiet = true};
    const auto files = fetch(row_of(idx_files()), options);
    REQUIRE(files.size() == 4);
    CHECK(files[2].path == directory / "data/mnist/train-images-idx3-ubyte.gz");
    CHECK(files[2].from == mirror.folder() + "/train-images-idx3-ubyte.gz");
    const Dataset train = load_dataset("mnist:" + directory / "data");
    CHECK(train.points() == 2);
    CHECK(train.x.at(4) == 'e');
    CHECK(train.labels.to_vector() == std::vector<double>{3, 4});
    CHECK(load_dataset("mnist:" + directory / "data", {.split = Split::test}).x.at(0) == 'w');
    for (const FetchedFile& file : fetch(row_of(idx_files()), options)) CHECK(file.from == "");
    CHECK(mirror.requests().size() == 4);
  }

  TEST_CASE("each file comes from the first mirror that has it, its own mirrors where none are given") {
    const TemporaryDirectory directory;
    Files some = idx_files(), wrong = idx_files();
    some.erase("t10k-images-idx3-ubyte.gz");
    for (auto& [name, bytes] : wrong) bytes.back() ^= 1;
    Mirror bad(wrong), poor(some), good(idx_files());
    PublishedData data = row_of(idx_files());
    data.mirrors = {bad.folder(), poor.folder() + "/", good.folder()};
    const auto files = fetch(data, {.folder = directory / "x", .mirrors = {}, .quiet = true});
    REQUIRE(files.size() == 4);
    CHECK(files[0].from == good.url("data/t10k-images-idx3-ubyte.gz"));
    for (size_t i = 1; i < 4; ++i) CHECK(files[i].from == poor.url("data/" + data.files[i].name));
    CHECK(load_dataset("mnist:" + directory / "x").points() == 2);
  }

  TEST_CASE("a file that is there and right is kept, one that is another is an error before anything else") {
    const TemporaryDirectory directory;
    Mirror mirror(idx_files());
    const FetchOptions options{
        .folder = directory.path().string(), .mirrors = {mirror.folder()}, .quiet = true};
    const PublishedData data = row_of(idx_files());
    const std::string last = directory / data.files[3].name;
    put(last, "mine");
    CHECK(error_of_fetch(data, options) ==
          "[data] '" + last + "' has 4 bytes, not " + std::to_string(data.files[3].bytes) +
              "; it stays as it is: move it away, or choose another folder with --out");
    std::string same_size = idx_files()[data.files[3].name];
    same_size.back() ^= 1;
    put(last, same_size);
    CHECK(mentions(error_of_fetch(data, options), "has the SHA-256 "));
    CHECK(read_file(last) == same_size);
    CHECK(directory.entries() == 1);
    CHECK(mirror.requests().empty());
    put(last, idx_files()[data.files[3].name]);
    const auto files = fetch(data, options);
    CHECK(files[0].from != "");
    CHECK(files[3].from == "");
    CHECK(mirror.requests().size() == 3);
  }

  TEST_CASE("an archive is unpacked and removed, and not fetched again") {
    const TemporaryDirectory directory;
    const Archive archive;
    Mirror mirror(archive.files);
    const FetchOptions options{.folder = directory / "cifar10", .mirrors = {mirror.folder()}, .quiet = true};
    CHECK(fetch(archive.row(), options)[0].from == mirror.url("data/x.tar.gz"));
    CHECK(read_file(directory / "cifar10/data_batch_1.bin") == archive.train);
    CHECK(read_file(directory / "cifar10/test_batch.bin") == archive.test);
    CHECK(std::distance(std::filesystem::directory_iterator(directory / "cifar10"), {}) == 2);
    CHECK(load_dataset("cifar10:" + directory.path().string()).points() == 2);
    const auto again = fetch(archive.row(), options);
    REQUIRE(again.size() == 2);
    CHECK(again[1].path == directory / "cifar10/test_batch.bin");
    CHECK(again[1].from == "");
    CHECK(mirror.requests().size() == 1);
    // As a process leaves it that was killed while it unpacked.
    std::filesystem::remove(directory / "cifar10/test_batch.bin");
    put(directory / "cifar10/x.tar.gz", archive.files.at("x.tar.gz"));
    CHECK(fetch(archive.row(), options)[0].from == "");
    CHECK(read_file(directory / "cifar10/test_batch.bin") == archive.test);
    CHECK(mirror.requests().size() == 1);
  }

  TEST_CASE("files of one's own where the archive's would go, or would be hidden by, are an error") {
    const TemporaryDirectory directory;
    const Archive archive;
    Mirror mirror(archive.files);
    const FetchOptions options{
        .folder = directory.path().string(), .mirrors = {mirror.folder()}, .quiet = true};
    put(directory / "test_batch.bin", "mine");
    CHECK(mentions(error_of_fetch(archive.row(), options), "has 4 bytes, not 3073; it stays as it is"));
    CHECK(read_file(directory / "test_batch.bin") == "mine");
    std::filesystem::rename(directory / "test_batch.bin", directory / "test_batch.bin.gz");
    CHECK(mentions(error_of_fetch(archive.row(), options), "would be read in place of 'test_batch.bin'"));
    CHECK(directory.entries() == 1);
    CHECK(mirror.requests().empty());
  }

  TEST_CASE("where nothing comes no folder stays, and where something does it is kept and gone on with") {
    const TemporaryDirectory directory;
    const std::string last = "train-labels-idx1-ubyte.gz";
    Files some = idx_files();
    some.erase(last);
    Mirror empty(Files{}), poor(some), good(idx_files());
    FetchOptions options{.folder = directory / "a/b", .mirrors = {empty.folder()}, .quiet = true};
    CHECK(mentions(error_of_fetch(row_of(idx_files()), options), "answered 404"));
    CHECK(directory.entries() == 0);
    options.mirrors = {poor.folder()};
    CHECK(mentions(error_of_fetch(row_of(idx_files()), options), last));
    options.mirrors = {good.folder()};
    fetch(row_of(idx_files()), options);
    CHECK(good.requests().size() == 1);
  }

  TEST_CASE("a mirror that is no folder on the web is refused before any is asked") {
    const TemporaryDirectory directory;
    Mirror good(idx_files());
    for (const char* bad :
         {"", "ftp://a.org/x", "file:///etc", "http://", "http:///x", "a.org", "http://a b/"})
      CHECK(mentions(
          error_of_fetch(row_of(idx_files()),
                         {.folder = directory / "x", .mirrors = {good.folder(), bad}, .quiet = true}),
          "is no mirror"));
    CHECK(good.requests().empty());
    CHECK(directory.entries() == 0);
  }

  TEST_CASE("each file's progress is said on standard error, unless it is to be quiet") {
    const TemporaryDirectory directory;
    const Files files{{"x", std::string(7'000, 'x')}};
    Mirror good(files);
    for (const bool quiet : {false, true}) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::dup2(::open((directory / "said").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        fetch(row_of(files),
              {.folder = directory / (quiet ? "a" : "b"), .mirrors = {good.folder()}, .quiet = quiet});
        ::_exit(0);
      }
      int status = -1;
      ::waitpid(child, &status, 0);
      CHECK(status == 0);
      CHECK(mentions(read_file(directory / "said"), "x (kB)  7/7  in ") == !quiet);
    }
  }

  TEST_CASE("two processes do not fetch into one folder") {
    const TemporaryDirectory directory;
    Mirror good(idx_files());
    const FetchOptions options{
        .folder = directory.path().string(), .mirrors = {good.folder()}, .quiet = true};
    {
      const FolderLock other(options.folder);
      CHECK(mentions(error_of_fetch(row_of(idx_files()), options), "another process is writing"));
      CHECK(good.requests().empty());
    }
    CHECK(fetch(row_of(idx_files()), options).size() == 4);
  }
}

}  // namespace elbo
