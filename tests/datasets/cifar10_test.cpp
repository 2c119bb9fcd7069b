// CIFAR-10's binary files: planes become pixels, batches follow each other, and what is no whole record is
// refused.
#include "datasets/cifar10.h"

#include "datasets/preprocessing.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

/// The value of a pixel of image `image`, wherever it is stored.
int pixel(int image, int y, int x, int c) { return (image * 17 + y * 5 + x * 3 + c * 71) % 256; }

/// `count` records, numbered from `first`, with labels that are the number's last digit.
std::string records(int first, int count) {
  std::string bytes;
  for (int i = first; i < first + count; ++i) {
    bytes += static_cast<char>(i % 10);
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 32; ++x) bytes += static_cast<char>(pixel(i, y, x, c));
  }
  return bytes;
}

std::string refusal(const std::string& spec, const LoadOptions& options = {}) {
  return error_of([&] { load_dataset(spec, options); });
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("CIFAR-10's batches become pixels, labels and an image shape") {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory / "cifar10");
    put(directory / "cifar10/data_batch_1.bin", records(0, 3));
    put(directory / "cifar10/data_batch_3.bin.gz", gzip(records(3, 2)));  // the second is missing
    put(directory / "cifar10/test_batch.bin.gz", gzip(records(100, 4)));
    for (const std::string& place : {directory / "cifar10", directory / "."}) {
      const Dataset train = load_dataset("cifar10:" + place);
      REQUIRE(train.x.shape() == Shape{5, 3072});
      CHECK(std::array{train.height, train.width, train.channels} == std::array<int64_t, 3>{32, 32, 3});
      CHECK(train.labels.to_vector() == std::vector<double>{0, 1, 2, 3, 4});
      const uint8_t* value = train.x.data<uint8_t>();
      bool right = true;
      for (int i = 0; i < 5; ++i)
        for (int y = 0; y < 32; ++y)
          for (int x = 0; x < 32; ++x)
            for (int c = 0; c < 3; ++c) right = *value++ == pixel(i, y, x, c) && right;
      CHECK(right);
      CHECK(default_alpha(train) == 0.05);
      const Dataset test = load_dataset("cifar10:" + place, {.split = Split::test});
      CHECK(test.points() == 4);
      CHECK(test.x.at(0) == pixel(100, 0, 0, 0));
      CHECK(test.labels.at(3) == 3);
    }
  }

  TEST_CASE("CIFAR-10 batches that are missing are mentioned") {
    const TemporaryDirectory directory;
    const std::string spec = "cifar10:" + directory.path().string();
    std::string notes;
    LoadOptions options{.note = [&](const std::string& line) { notes += line; }};
    put(directory / "data_batch_1.bin", records(0, 3));
    put(directory / "data_batch_4.bin.gz", gzip(records(3, 2)) + gzip(records(5, 1)));
    put(directory / "test_batch.bin", records(0, 4));
    CHECK(load_dataset(spec, options).points() == 6);
    CHECK(notes == "[cifar10] 2 of 5 training files were found in " + quote(directory.path().string()) +
                       ", with 6 of 50000 images");
    notes.clear();
    options.split = Split::test;
    CHECK(load_dataset(spec, options).points() == 4);
    CHECK(mentions(notes, "1 of 1 test files were found in "));
    CHECK(mentions(notes, "with 4 of 10000 images"));
    notes.clear();
    put(directory / "test_batch.bin", records(0, 10000));
    CHECK(load_dataset(spec, options).points() == 10000);
    CHECK(notes == "");
  }

  TEST_CASE("CIFAR-10 is looked for like MNIST, and in its archive's folder") {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory / "work");
    const Surroundings surroundings(directory / "work", directory / "own");
    const std::string error = refusal("cifar10");
    CHECK(mentions(error, directory / "own/cifar10"));
    CHECK(
        mentions(error, "'../shared/data/cifar10', '../shared/data/cifar-10-batches-bin', '../shared/data'"));
    CHECK(mentions(error, "data_batch_1.bin to data_batch_5.bin"));
    std::filesystem::create_directories(directory / "work/data/cifar-10-batches-bin");
    put(directory / "work/data/cifar-10-batches-bin/data_batch_5.bin", records(0, 1));
    CHECK(find_cifar10() == "data/cifar-10-batches-bin");
    CHECK(load_dataset("cifar10").points() == 1);
    CHECK(mentions(refusal("cifar10", {.split = Split::test}), "no CIFAR-10 test images"));
    std::filesystem::create_directories(directory / "own/cifar10");
    put(directory / "own/cifar10/data_batch_2.bin.gz", gzip(records(0, 2)));
    CHECK(find_cifar10() == directory / "own/cifar10");
  }

  TEST_CASE("CIFAR-10's images are counted over the files that are there") {
    const TemporaryDirectory directory;
    const std::string folder = directory.path().string();
    CHECK(count_cifar10(folder, Split::train) == 0);
    put(directory / "data_batch_1.bin", records(0, 3));
    put(directory / "data_batch_4.bin.gz", gzip(records(0, 2)));
    CHECK(count_cifar10(folder, Split::train) == 5);
    CHECK(count_cifar10(folder, Split::test) == 0);
    put(directory / "test_batch.bin", "damaged");
    CHECK(mentions(error_of([&] { count_cifar10(folder, Split::test); }), "whole number of records"));
  }

  TEST_CASE("a CIFAR-10 file that is cut short, too long, damaged or something else is refused") {
    const TemporaryDirectory directory;
    const std::string spec = "cifar10:" + directory.path().string(), whole = records(0, 2);
    const auto with = [&](const std::string& bytes) {
      put(directory / "data_batch_1.bin", bytes);
      return refusal(spec);
    };
    CHECK(with(whole) == "");
    CHECK(with(gzip(whole)) == "");
    for (const std::string& bytes : {std::string(), whole.substr(0, 1), whole.substr(0, 3072),
                                     whole.substr(0, 6145), whole + "x", gzip(whole + "x")})
      CHECK(mentions(with(bytes), "not a whole number of records of 3073"));
    const std::string packed = gzip(whole);
    CHECK(mentions(with(packed.substr(0, packed.size() - 1)), "truncated"));
    CHECK(mentions(with(packed.substr(0, packed.size() / 2)), "truncated"));
    CHECK(mentions(with(packed + "x"), "bytes after its gzip data"));
    std::string damaged = whole;
    damaged[3073] = 10;
    CHECK(mentions(with(damaged), "record 1 (counted from 0) has the label 10"));
  }

  TEST_CASE("real CIFAR-10 has its known shape and first labels") {
    const auto directory = real_cifar10();
    if (!directory) return;
    const Dataset train = load_dataset("cifar10:" + *directory, {.limit = 10000});
    CHECK(train.x.shape() == Shape{10000, 3072});
    // frog, truck, truck, deer, automobile, automobile, bird, horse, ship, cat
    CHECK(train.labels.slice(0, 10).to_vector() == std::vector<double>{6, 9, 9, 4, 1, 1, 2, 7, 8, 3});
    const Dataset test = load_dataset("cifar10:" + *directory, {.split = Split::test});
    CHECK(test.labels.slice(0, 5).to_vector() == std::vector<double>{3, 8, 8, 0, 6});
    // Photographs: a pixel is like its neighbour of the same colour, far more than like the next image's.
    double beside = 0, apart = 0;
    const uint8_t* x = train.x.data<uint8_t>();
    for (int64_t i = 0; i < 1000; ++i)
      for (int64_t p = 0; p < 3069; ++p) {
        beside += std::abs(x[i * 3072 + p] - x[i * 3072 + p + 3]);
        apart += std::abs(x[i * 3072 + p] - x[(i + 1) * 3072 + p]);
      }
    CHECK(beside < apart / 3);
  }
}

}  // namespace elbo
