// Data sets by name: where they are looked for, what is taken of them, and what is refused.
#include "datasets/dataset.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "datasets/generators.h"
#include "datasets/npy.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

/// Pixels whose first byte numbers the image, and labels to go with it, in MNIST's files for one split.
void write_mnist(const std::string& directory, const std::string& prefix, int images, int first = 0) {
  std::filesystem::create_directories(directory);
  std::string pixels, labels;
  for (int i = 0; i < images; ++i) {
    pixels += static_cast<char>(first + i);
    pixels += std::string(5, '\x09');
    labels += static_cast<char>(2 * i);
  }
  const auto count = static_cast<uint32_t>(images);
  put(directory + "/" + prefix + "-images-idx3-ubyte.gz", gzip(idx_bytes({count, 2, 3}, pixels)));
  put(directory + "/" + prefix + "-labels-idx1-ubyte.gz", gzip(idx_bytes({count}, labels)));
}

std::string refusal(const std::string& spec, const LoadOptions& options = {}) {
  return error_of([&] { load_dataset(spec, options); });
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("MNIST's files become pixels, labels and an image shape") {
    const TemporaryDirectory directory;
    write_mnist(directory / "mnist", "train", 4);
    write_mnist(directory / "mnist", "t10k", 3, 100);
    for (const std::string& place : {directory / "mnist", directory / "."}) {
      const Dataset train = load_dataset("mnist:" + place);
      CHECK(train.x.dtype() == DType::u8);
      CHECK(train.x.shape() == Shape{4, 6});
      CHECK(train.height == 2);
      CHECK(train.width == 3);
      CHECK(train.channels == 1);
      CHECK(train.x.at(6) == 1);
      CHECK(train.x.at(7) == 9);
      CHECK(train.labels.to_vector() == std::vector<double>{0, 2, 4, 6});
      CHECK(train.name == "mnist:" + place);
      const Dataset test = load_dataset("mnist:" + place, {.split = Split::test});
      CHECK(test.points() == 3);
      CHECK(test.x.at(0) == 100);
    }
  }

  TEST_CASE("MNIST is found under every spelling of its files") {
    const std::string images = idx_bytes({1, 2, 3}, "abcdef");
    for (const char* spelling : {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz",
                                 "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"}) {
      const TemporaryDirectory directory;
      put(directory / spelling, images);
      const Dataset data = load_dataset("mnist:" + directory.path().string());
      CHECK(data.points() == 1);
      CHECK_FALSE(data.labels.defined());
    }
  }

  TEST_CASE("data sets are looked for in ELBO_DATA, data and ../shared/data, in this order") {
    const TemporaryDirectory directory;
    const std::string work = directory / "work", own = directory / "own";
    std::filesystem::create_directories(work);
    const Surroundings surroundings(work, own);
    CHECK(data_directories() == std::vector<std::string>{own, "data", "../shared/data"});
    CHECK_FALSE(find_mnist().has_value());
    write_mnist(directory / "shared/data/mnist", "train", 3);
    CHECK(find_mnist() == "../shared/data/mnist");
    CHECK(load_dataset("mnist").points() == 3);
    write_mnist(work + "/data", "train", 4);
    CHECK(find_mnist() == "data");
    CHECK(load_dataset("mnist").points() == 4);
    write_mnist(work + "/data/mnist", "train", 5);
    CHECK(load_dataset("mnist").points() == 5);
    write_mnist(own, "train", 6);
    CHECK(load_dataset("mnist").points() == 6);
    write_mnist(own + "/mnist", "train", 7);
    CHECK(load_dataset("mnist").points() == 7);
  }

  TEST_CASE("a missing MNIST says where it was looked for and how to get it") {
    const TemporaryDirectory directory;
    // Two folders down: what lies beside the system's folder for such files is nobody's ../shared.
    const std::string work = directory / "work";
    std::filesystem::create_directories(work);
    const Surroundings surroundings(work, directory / "own");
    const std::string error = refusal("mnist");
    CHECK(mentions(error, directory / "own/mnist"));
    CHECK(mentions(error, "'data/mnist', 'data', '../shared/data/mnist', '../shared/data'"));
    CHECK(mentions(error, "train-images-idx3-ubyte"));
    CHECK(mentions(error, "t10k-labels-idx1-ubyte"));
    CHECK(mentions(error, "--data digits"));
    write_mnist(work + "/elsewhere", "train", 2);
    CHECK(mentions(refusal("mnist:elsewhere", {.split = Split::test}),
                   "no MNIST test images found in 'elsewhere/mnist', 'elsewhere'"));
  }

  TEST_CASE("Fashion-MNIST and KMNIST are found in folders of their own, and nowhere that MNIST may lie") {
    const TemporaryDirectory directory;
    const std::string work = directory / "work", own = directory / "own";
    std::filesystem::create_directories(work);
    const Surroundings surroundings(work, own);
    write_mnist(own, "train", 2);
    write_mnist(work + "/data/mnist", "train", 3);
    CHECK_FALSE(find_fashion_mnist().has_value());
    CHECK_FALSE(find_kmnist().has_value());
    CHECK(mentions(refusal("fashion-mnist"), "no Fashion-MNIST training images found in '" + own +
                                                 "/fashion-mnist', 'data/fashion-mnist', "
                                                 "'../shared/data/fashion-mnist'; get them with elbo data "
                                                 "fetch fashion-mnist"));
    CHECK(mentions(refusal("kmnist"), "no KMNIST training images found in '" + own + "/kmnist', "));
    write_mnist(work + "/data/fashion-mnist", "train", 4);
    write_mnist(work + "/data/kmnist", "train", 5);
    write_mnist(work + "/data/kmnist", "t10k", 6);
    CHECK(find_fashion_mnist() == "data/fashion-mnist");
    CHECK(find_kmnist() == "data/kmnist");
    CHECK(load_dataset("fashion-mnist").points() == 4);
    CHECK(load_dataset("kmnist").points() == 5);
    CHECK(load_dataset("kmnist").name == "kmnist");
    CHECK(load_dataset("kmnist", {.split = Split::test}).labels.to_vector().size() == 6);
    CHECK(load_dataset("fashion-mnist:data/mnist").points() == 3);  // as told
    CHECK(load_dataset("fashion-mnist:data").points() == 4);
  }

  TEST_CASE("images of MNIST's kind are counted by their header") {
    const TemporaryDirectory directory;
    const std::string folder = directory.path().string();
    write_mnist(folder, "train", 4);
    CHECK(count_mnist(folder, Split::train) == 4);
    CHECK(count_mnist(folder, Split::test) == 0);
    put(directory / "t10k-images-idx3-ubyte.gz", gzip(idx_bytes({3, 6}, std::string(18, 'x'))));
    CHECK(mentions(error_of([&] { count_mnist(folder, Split::test); }), "images (N, height, width)"));
    put(directory / "t10k-images-idx3-ubyte.gz", "garbage");
    CHECK(mentions(error_of([&] { count_mnist(folder, Split::test); }), "not an IDX file"));
  }

  TEST_CASE("MNIST files that do not belong together are refused") {
    const TemporaryDirectory directory;
    const std::string spec = "mnist:" + directory.path().string();
    write_mnist(directory.path(), "train", 3);
    REQUIRE(refusal(spec) == "");
    put(directory / "train-labels-idx1-ubyte.gz", idx_bytes({2}, "ab"));
    CHECK(mentions(refusal(spec), "labels of shape (2,) for 3 images"));
    put(directory / "train-images-idx3-ubyte.gz", idx_bytes({3, 6}, std::string(18, 'x')));
    CHECK(mentions(refusal(spec), "images (N, height, width) are needed"));
    put(directory / "train-images-idx3-ubyte.gz", "garbage");
    CHECK(mentions(refusal(spec), "not an IDX file"));
  }

  TEST_CASE("an array in a .npy file becomes points, and images where its shape says so") {
    const TemporaryDirectory directory;
    const auto load = [&](const Shape& shape, DType dtype) {
      Tensor array = Tensor::zeros(shape, dtype);
      write_npy(directory / "x.npy", array);
      return load_dataset("npy:" + directory / "x.npy");
    };
    CHECK(load({5}, DType::f64).x.shape() == Shape{5, 1});
    CHECK(load({5, 3}, DType::f32).x.shape() == Shape{5, 3});
    CHECK(load({5, 3}, DType::f32).channels == 0);
    CHECK(load({5, 3}, DType::i64).x.dtype() == DType::f64);
    const Dataset grey = load({5, 4, 3}, DType::u8);
    CHECK(grey.x.shape() == Shape{5, 12});
    CHECK(grey.x.dtype() == DType::u8);
    CHECK(std::array{grey.height, grey.width, grey.channels} == std::array<int64_t, 3>{4, 3, 1});
    const Dataset colour = load({5, 4, 2, 3}, DType::u8);
    CHECK(colour.x.shape() == Shape{5, 24});
    CHECK(std::array{colour.height, colour.width, colour.channels} == std::array<int64_t, 3>{4, 2, 3});
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{3, 0}, Shape{1, 1, 1, 1, 1}})
      CHECK(mentions(error_of([&] { load(shape, DType::f32); }),
                     "points (N, ...) on one to four axes are needed"));
  }

  TEST_CASE("an array (N, C, H, W) is said to be none of images, and how to make it one") {
    const TemporaryDirectory directory;
    const auto load = [&](const Shape& shape) {
      write_npy(directory / "x.npy", Tensor::zeros(shape, DType::u8));
      return load_dataset("npy:" + directory / "x.npy");
    };
    for (const int64_t channels : {1, 3}) {
      const Dataset data = load({5, channels, 4, 6});
      CHECK(data.x.shape() == Shape{5, channels * 24});
      CHECK(data.height == 0);
      CHECK(mentions(data.no_images, fmt::format("its shape is (5, {}, 4, 6)", channels)));
      CHECK(mentions(data.no_images, "(N, H, W, C) with C = 1 or 3"));
      CHECK(mentions(data.no_images, "save array.transpose(0, 2, 3, 1)"));
    }
    const Dataset clear = load({5, 4, 6, 4});  // with transparency
    CHECK(mentions(clear.no_images, "its shape is (5, 4, 6, 4)"));
    CHECK_FALSE(mentions(clear.no_images, "transpose"));
    for (const Shape& shape : {Shape{5, 4, 6, 3}, Shape{5, 3, 6, 3}, Shape{5, 3, 6}, Shape{5, 3}, Shape{5}})
      CHECK(load(shape).no_images == "");
  }

  TEST_CASE("integers and booleans of a .npy file become numbers as they are") {
    const TemporaryDirectory directory;
    const auto load = [&](const std::string& type, const std::string& elements) {
      std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (2, 1), }";
      header.resize(117, ' ');
      put(directory / "x.npy", std::string("\x93NUMPY\1\0\x76\0", 10) + header + "\n" + elements);
      return load_dataset("npy:" + directory / "x.npy");
    };
    const Dataset ints = load("<i2", std::string("\xfe\xff\x05\0", 4));
    CHECK(ints.x.dtype() == DType::f64);
    CHECK(ints.x.to_vector() == std::vector<double>{-2, 5});
    const Dataset truths = load("|b1", std::string("\0\1", 2));
    CHECK(truths.binary);
    CHECK(truths.x.to_vector() == std::vector<double>{0, 1});
  }

  TEST_CASE("a NaN or an infinity is refused with its row and column") {
    const TemporaryDirectory directory;
    const std::string spec = "npy:" + directory / "x.npy";
    for (const DType dtype : {DType::f32, DType::f64})
      for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity()}) {
        Tensor array = Tensor::zeros({4, 5}, dtype);
        write_npy(directory / "x.npy", array);
        CHECK(refusal(spec) == "");
        array.view_at(2 * 5 + 3, {}).fill(bad);
        write_npy(directory / "x.npy", array);
        CHECK(mentions(refusal(spec), "row 2, column 3"));
      }
  }

  TEST_CASE("an unknown or half-written specification is refused, naming what exists") {
    CHECK(mentions(refusal("minst"),
                   "unknown data set 'minst'; there are mnist[:DIR], fashion-mnist[:DIR], kmnist[:DIR], "
                   "cifar10[:DIR], images:DIR[,OPTION...], npy:FILE, ppca[:RUN], ppca-ring[:RUN], "
                   "linear-jtex[:RUN], cubic-jtex[:RUN], gaussian[:RUN], mobius[:RUN], digits, "
                   "sprites, faces"));
    CHECK(mentions(refusal(""), "unknown data set"));
    CHECK(mentions(refusal(":"), "unknown data set"));
    CHECK(mentions(refusal("npy"), "give npy:FILE"));
    CHECK(mentions(refusal("npy:"), "give npy:FILE"));
    CHECK(mentions(refusal("mnist:"), "lacks what follows the colon"));
    CHECK(mentions(refusal("digits:3"), "takes nothing after its name"));
    CHECK(plain_specification("ppca:0") == "ppca");
    for (const char* same : {"ppca", "ppca:3", "ppca:00", "mnist:0", "npy:0", "digits:0", ":0", "nothing:0"})
      CHECK(plain_specification(same) == same);
    CHECK(kind_of("mnist") == "mnist");
    CHECK(kind_of("mnist:a:b") == "mnist");
    CHECK(kind_of("fashion-mnist:mnist") == "fashion-mnist");
    CHECK(load_dataset("gaussian:0", {.limit = 5}).name == load_dataset("gaussian", {.limit = 5}).name);
    for (const char* no_number : {"ppca:-1", "ppca-ring:two", "ppca:3x", "ppca:4294967296", "mobius:03"})
      CHECK(mentions(refusal(no_number), "no number of a toy"));
    CHECK(mentions(refusal("npy:/no/such/file"), "No such file"));
    CHECK(mentions(refusal("digits", {.limit = -1}), "cannot be negative"));
    CHECK(mentions(refusal("digits", {.limit = 10, .subset = -1}), "cannot be negative"));
    CHECK(mentions(refusal("digits", {.limit = 10, .subset = 11}), "11 points cannot be drawn from the 10"));
    CHECK(mentions(refusal("digits", {.limit = int64_t{1} << 40}), "ask for 1 to"));
    CHECK(mentions(refusal("ppca", {.limit = int64_t{1} << 40}), "ask for 1 to"));
    const TemporaryDirectory directory;
    write_npy(directory / "x.npy", Tensor::zeros({4, 5}));
    CHECK(mentions(refusal("npy:" + directory / "x.npy", {.split = Split::test}), "no test split"));
  }

  TEST_CASE("limit takes the first points and subset a random choice, labels with them") {
    const TemporaryDirectory directory;
    write_mnist(directory.path(), "train", 100);
    const std::string spec = "mnist:" + directory.path().string();
    const Dataset first = load_dataset(spec, {.limit = 10});
    CHECK(first.points() == 10);
    CHECK(first.x.at(9 * 6) == 9);
    CHECK(first.labels.shape() == Shape{10});
    CHECK(load_dataset(spec, {.limit = 1000}).points() == 100);

    const auto chosen = [&](uint64_t seed, int64_t limit, int64_t count) {
      const Dataset some = load_dataset(spec, {.limit = limit, .subset = count, .seed = seed});
      std::vector<double> images;
      for (int64_t i = 0; i < some.points(); ++i) {
        images.push_back(some.x.at(6 * i));
        CHECK(some.labels.at(i) == 2 * some.x.at(6 * i));
      }
      return images;
    };
    const auto ten = chosen(7, 0, 10);
    CHECK(std::set(ten.begin(), ten.end()).size() == 10);
    CHECK(chosen(7, 0, 10) == ten);
    CHECK(chosen(8, 0, 10) != ten);
    CHECK(*std::max_element(ten.begin(), ten.end()) > 9);
    auto all = chosen(7, 20, 20);
    std::sort(all.begin(), all.end());
    std::vector<double> expected(20);
    std::iota(expected.begin(), expected.end(), 0.0);
    CHECK(all == expected);
  }

  TEST_CASE("pictures to draw are counted without drawing them, and refused as loading refuses them") {
    const std::vector<LoadOptions> asked{
        {.limit = 40},
        {.limit = 40, .subset = 7},
        {.limit = 40, .division = {.validation = 0.25}},
        {.limit = 40, .division = {.validation = 3, .seed = 2}, .subset = 20},
        {.limit = 40, .division = {.validation = 0.1}, .split = Split::test}};
    for (const char* spec : {"digits", "sprites", "faces"})
      for (const LoadOptions& options : asked)
        CHECK(points_to_draw(spec, options) == load_dataset(spec, options).points());
    CHECK(points_to_draw("digits") == kGeneratedPoints);
    CHECK(points_to_draw("faces", {.limit = kMostGeneratedPoints}) == kMostGeneratedPoints);
    CHECK_FALSE(points_to_draw("ppca:3", {.limit = 5}));
    CHECK_FALSE(points_to_draw("npy:nothing.npy"));
    const std::vector<std::pair<const char*, LoadOptions>> wrong{
        {"facets", {}},
        {"digits:3", {}},
        {"npy", {}},
        {"digits", {.limit = 30, .subset = 31}},
        {"digits", {.limit = 30, .division = {.test = 0.1}}},
        {"digits", {.limit = 30, .division = {.validation = 30}}},
        {"digits", {.limit = 30, .division = {.validation = 2}, .subset = 29}},
        {"digits", {.limit = kMostGeneratedPoints + 1}},
        {"digits", {.limit = -1}}};
    for (const auto& request : wrong) {
      const std::string expected = error_of([&] { load_dataset(request.first, request.second); });
      CHECK_FALSE(expected.empty());
      CHECK(error_of([&] { points_to_draw(request.first, request.second); }) == expected);
    }
  }

  TEST_CASE("limit and subset keep each point's factors with it") {
    const Dataset all = load_dataset("sprites", {.limit = 60, .seed = 4});
    const Dataset some = load_dataset("sprites", {.limit = 60, .subset = 25, .seed = 4});
    CHECK(some.factors.names == all.factors.names);
    REQUIRE(some.factors.indices.shape() == Shape{25, 5});
    REQUIRE(some.factors.values.shape() == Shape{25, 5});
    CHECK(some.fingerprint == fingerprint(some.x));
    std::set<int64_t> seen;
    for (int64_t i = 0; i < 25; ++i) {
      int64_t same = 0;
      while (same < 60 && all.x.slice(same).to_vector() != some.x.slice(i).to_vector()) ++same;
      REQUIRE(same < 60);
      seen.insert(same);
      CHECK(some.factors.indices.slice(i).to_vector() == all.factors.indices.slice(same).to_vector());
      CHECK(some.factors.values.slice(i).to_vector() == all.factors.values.slice(same).to_vector());
      CHECK(some.labels.at(i) == all.labels.at(same));
    }
    CHECK(seen.size() == 25);
  }

  TEST_CASE("the fingerprint is FNV-1a, and every byte, the shape and the element type count") {
    // FNV-1a of "u8 (1,);a", by hand: start from the offset basis, xor a byte, multiply by the prime.
    uint64_t hash = 14695981039346656037u;
    for (const char byte : std::string("u8 (1,);a"))
      hash = (hash ^ static_cast<uint64_t>(byte)) * 1099511628211u;
    CHECK(fingerprint(Tensor::from<uint8_t>({1}, {'a'})) == fmt::format("{:016x}", hash));
    const Tensor x = Tensor::zeros({2, 6}, DType::u8);
    std::set<std::string> all{fingerprint(x), fingerprint(x.reshape({3, 4})),
                              fingerprint(Tensor::zeros({2, 6}))};
    for (int64_t i = 0; i < 12; ++i) {
      const Tensor changed = x.clone();
      changed.data<uint8_t>()[i] = 1;
      all.insert(fingerprint(changed));
    }
    CHECK(all.size() == 15);
    CHECK(load_dataset("ppca", {.limit = 9}).fingerprint.size() == 16);
    CHECK(load_dataset("ppca", {.limit = 9}).fingerprint == load_dataset("ppca", {.limit = 9}).fingerprint);
    CHECK(load_dataset("ppca", {.limit = 9}).fingerprint !=
          load_dataset("ppca", {.limit = 9, .seed = 1}).fingerprint);
  }

  TEST_CASE("real MNIST has its known shape, first labels and mean") {
    const auto directory = real_mnist();
    if (!directory) return;
    const Dataset train = load_dataset("mnist:" + *directory);
    CHECK(train.x.shape() == Shape{60000, 784});
    CHECK(train.height == 28);
    const std::vector<double> labels = train.labels.slice(0, 10).to_vector();
    CHECK(labels == std::vector<double>{5, 0, 4, 1, 9, 2, 1, 3, 1, 4});
    int64_t sum = 0;
    for (const uint8_t pixel : train.x.span<uint8_t>()) sum += pixel;
    CHECK(static_cast<double>(sum) / (47040000.0 * 255) == doctest::Approx(0.13066).epsilon(1e-5));
  }
}

}  // namespace elbo
