// The table of data sets that can be fetched, and what is found of them.
#include "datasets/published.h"

#include <algorithm>
#include <filesystem>

#include "tests/datasets/helpers.h"

namespace elbo {

TEST_SUITE("datasets") {
  TEST_CASE(
      "each data set that can be fetched is a kind of data, with addresses and checksums of its files") {
    for (const PublishedData& data : published_data()) {
      CAPTURE(data.name);
      const auto kinds = dataset_kinds();
      CHECK(std::any_of(kinds.begin(), kinds.end(),
                        [&](const DatasetKind& kind) { return kind.name == data.name; }));
      CHECK(&published_data(data.name) == &data);
      CHECK(data.mirrors.size() >= 2);
      for (const std::string& mirror : data.mirrors) {
        CHECK(mirror.starts_with("http"));
        CHECK(mirror.ends_with("/"));
      }
      for (const PublishedFile& file : data.files) {
        CHECK(file.bytes > 0);
        CHECK(file.sha256.size() == 64);
        CHECK(file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos);
      }
    }
    CHECK(mentions(error_of([] { published_data("minst"); }),
                   "there are mnist, fashion-mnist, kmnist, cifar10"));
  }

  TEST_CASE("what is found of a data set is counted, and what cannot be read is said") {
    const TemporaryDirectory directory;
    const Surroundings surroundings(directory.path(), directory / "own");
    const PublishedData& data = published_data("kmnist");
    CHECK_FALSE(find_published(data).folder.has_value());
    CHECK_FALSE(find_published(data).complete(data));
    std::filesystem::create_directories("data/kmnist");
    put("data/kmnist/train-images-idx3-ubyte", idx_bytes({3, 1, 1}, "abc"));
    CHECK(find_published(data).folder == "data/kmnist");
    CHECK(find_published(data).train == 3);
    CHECK(find_published(data).test == 0);
    put("data/kmnist/t10k-images-idx3-ubyte", "garbage");
    CHECK(mentions(find_published(data).fault, "not an IDX file"));
    PublishedData small = data;
    small.train = 3;
    small.test = 2;
    CHECK_FALSE(find_published(small).complete(small));
    put("data/kmnist/t10k-images-idx3-ubyte", idx_bytes({2, 1, 1}, "ab"));
    CHECK(find_published(small).complete(small));
    small.test = 3;
    CHECK_FALSE(find_published(small).complete(small));
  }
}

}  // namespace elbo
