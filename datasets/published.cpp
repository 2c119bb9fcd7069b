#include "datasets/published.h"

#include <array>

#include "datasets/cifar10.h"
#include "datasets/mnist.h"
#include "datasets/sha256.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr uint64_t kCifarBatch = 30'730'000;

PublishedData mnist() {
  return {.name = "mnist",
          .title = "MNIST",
          .train = 60'000,
          .test = 10'000,
          .mirrors = {"https://ossci-datasets.s3.amazonaws.com/mnist/",
                      "https://storage.googleapis.com/cvdf-datasets/mnist/",
                      "https://raw.githubusercontent.com/fgnt/mnist/master/"},
          .files = {{"train-images-idx3-ubyte.gz", 9'912'422,
                     "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
                    {"train-labels-idx1-ubyte.gz", 28'881,
                     "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
                    {"t10k-images-idx3-ubyte.gz", 1'648'877,
                     "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
                    {"t10k-labels-idx1-ubyte.gz", 4'542,
                     "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}},
          .members = {},
          .find = find_mnist,
          .count = count_mnist};
}

PublishedData fashion_mnist() {
  return {.name = "fashion-mnist",
          .title = "Fashion-MNIST",
          .train = 60'000,
          .test = 10'000,
          .mirrors = {"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                      "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"},
          .files = {{"train-images-idx3-ubyte.gz", 26'421'880,
                     "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
                    {"train-labels-idx1-ubyte.gz", 29'515,
                     "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
                    {"t10k-images-idx3-ubyte.gz", 4'422'102,
                     "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
                    {"t10k-labels-idx1-ubyte.gz", 5'148,
                     "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}},
          .members = {},
          .find = find_fashion_mnist,
          .count = count_mnist};
}

PublishedData kmnist() {
  return {.name = "kmnist",
          .title = "KMNIST",
          .train = 60'000,
          .test = 10'000,
          .mirrors = {"https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                      "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"},
          .files = {{"train-images-idx3-ubyte.gz", 18'165'135,
                     "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"},
                    {"train-labels-idx1-ubyte.gz", 29'497,
                     "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"},
                    {"t10k-images-idx3-ubyte.gz", 3'041'136,
                     "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"},
                    {"t10k-labels-idx1-ubyte.gz", 5'120,
                     "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"}},
          .members = {},
          .find = find_kmnist,
          .count = count_mnist};
}

PublishedData cifar10() {
  return {.name = "cifar10",
          .title = "CIFAR-10",
          .train = 50'000,
          .test = 10'000,
          .mirrors = {"https://www.cs.toronto.edu/~kriz/", "http://datasets.openimaj.org/cifar/"},
          .files = {{"cifar-10-binary.tar.gz", 170'052'171,
                     "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}},
          .members = {{"data_batch_1.bin", kCifarBatch},
                      {"data_batch_2.bin", kCifarBatch},
                      {"data_batch_3.bin", kCifarBatch},
                      {"data_batch_4.bin", kCifarBatch},
                      {"data_batch_5.bin", kCifarBatch},
                      {"test_batch.bin", kCifarBatch}},
          .find = find_cifar10,
          .count = count_cifar10};
}

}  // namespace

std::span<const PublishedData> published_data() {
  static const std::array<PublishedData, 4> all{mnist(), fashion_mnist(), kmnist(), cifar10()};
  return all;
}

const PublishedData& published_data(std::string_view name) {
  std::string names;
  for (const PublishedData& data : published_data()) {
    if (data.name == name) return data;
    names += (names.empty() ? "" : ", ") + data.name;
  }
  fail("[data] {} is no data set that can be fetched; there are {}", quote(name), names);
}

std::string fault_of(const PublishedFile& file, const std::string& path) {
  const uint64_t bytes = InputFile(path).size();
  if (bytes != file.bytes) return fmt::format("has {} bytes, not {}", bytes, file.bytes);
  const std::string sha256 = sha256_of_file(path);
  if (sha256 != file.sha256)
    return fmt::format("has the SHA-256 {}, the published file {}", sha256, file.sha256);
  return "";
}

FoundPublished find_published(const PublishedData& data) {
  FoundPublished found;
  try {
    found.folder = data.find();
    if (!found.folder) return found;
    found.train = data.count(*found.folder, Split::train);
    found.test = data.count(*found.folder, Split::test);
  } catch (const Error& error) {
    found.fault = error.what();
  }
  return found;
}

}  // namespace elbo
