// Splits: that nothing is in two of them and nothing is left out, whoever asks, and what cannot be divided.
#include "datasets/splits.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "datasets/npy.h"
#include "tensor/copy.h"
#include "tests/datasets/pictures.h"

namespace elbo {
namespace {

std::vector<double> rows(int64_t points, const Division& division, Split split) {
  return rows_of_split(points, division, split).to_vector();
}

std::vector<double> counted(int64_t points) {
  std::vector<double> all(static_cast<size_t>(points));
  std::iota(all.begin(), all.end(), 0.0);
  return all;
}

std::string refusal(const std::string& spec, const LoadOptions& options) {
  return error_of([&] { load_dataset(spec, options); });
}

/// Points (N, 2) whose first number says which they are, in a file.
std::string numbered_points(const TemporaryDirectory& directory, int64_t points) {
  const Tensor x = Tensor::zeros({points, 2}, DType::f64);
  for (int64_t i = 0; i < points; ++i) x.data<double>()[2 * i] = static_cast<double>(i);
  write_npy(directory / "x.npy", x);
  return "npy:" + directory / "x.npy";
}

std::vector<double> numbers(const Dataset& data) {
  std::vector<double> found;
  for (int64_t i = 0; i < data.points(); ++i) found.push_back(data.x.at(2 * i));
  return found;
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("the splits cover all points, and no point is in two") {
    for (const int64_t points : {3, 10, 57, 1000})
      for (const Division& division : {Division{0.34, 0, 0}, Division{0, 0.34, 1}, Division{0.2, 0.34, 2},
                                       Division{1, 1, 3}, Division{0.3, 1, 4}}) {
        CAPTURE(points);
        std::vector<double> all;
        for (const Split split : {Split::train, Split::validation, Split::test}) {
          const auto some = rows(points, division, split);
          CHECK(std::is_sorted(some.begin(), some.end()));
          all.insert(all.end(), some.begin(), some.end());
        }
        std::sort(all.begin(), all.end());
        CHECK(all == counted(points));
        CHECK(rows(points, division, Split::all) == counted(points));
      }
  }

  TEST_CASE("a share is rounded to whole points, and a number from 1 on is their number") {
    const auto sizes = [](int64_t points, double validation, double test) {
      std::vector<int64_t> counts;
      for (const Split split : {Split::train, Split::validation, Split::test})
        counts.push_back(rows_of_split(points, {validation, test}, split).elements());
      return counts;
    };
    CHECK(sizes(60000, 0.1, 0) == std::vector<int64_t>{54000, 6000, 0});
    CHECK(sizes(60000, 10000, 0.1) == std::vector<int64_t>{44000, 10000, 6000});
    CHECK(sizes(10, 0.26, 0.24) == std::vector<int64_t>{5, 3, 2});
    CHECK(sizes(10, 1, 8) == std::vector<int64_t>{1, 1, 8});
  }

  TEST_CASE("which points are held out depends on the division's seed, and the test split on nothing else") {
    const auto test = rows(1000, {0.1, 0.2, 7}, Split::test);
    CHECK(rows(1000, {0.1, 0.2, 7}, Split::test) == test);
    CHECK(rows(1000, {0.5, 0.2, 7}, Split::test) == test);
    CHECK(rows(1000, {0, 0.2, 7}, Split::test) == test);
    CHECK(rows(1000, {0.1, 0.2, 8}, Split::test) != test);
    // At random: some of the first half and some of the second, neither far from half of them.
    const auto first = std::count_if(test.begin(), test.end(), [](double row) { return row < 500; });
    CHECK(first > 70);
    CHECK(first < 130);
  }

  TEST_CASE("what leaves no points is refused, and what is no number of points") {
    const auto refused = [](int64_t points, const Division& division) {
      return error_of([&] { rows_of_split(points, division, Split::train); });
    };
    CHECK(mentions(refused(30, {0.01, 0}), "[--validation] 0.01 of 30 points is less than one"));
    CHECK(mentions(refused(30, {0, 0.01}), "[--test] 0.01 of 30 points is less than one"));
    CHECK(mentions(refused(30, {0.5, 0.5}), "leave none to train on"));
    CHECK(mentions(refused(30, {30, 0}), "of 30 points, 30 for validation and 0 for test"));
    CHECK(mentions(refused(30, {0, 1e9}), "[--test] of 30 points"));
    CHECK(mentions(refused(30, {1.5, 0}), "neither a share below 1 nor a whole number"));
    CHECK(mentions(error_of([] { parse_split("dev"); }), "unknown split 'dev'; there are train, validation"));
    for (const Split split : {Split::train, Split::validation, Split::test, Split::all})
      CHECK(parse_split(name(split)) == split);
  }

  TEST_CASE("a file without splits is divided as asked, its points as they were and in their order") {
    const TemporaryDirectory directory;
    const std::string spec = numbered_points(directory, 50);
    const Division division{0.2, 0.3, 5};
    const auto load = [&](Split split) {
      return load_dataset(spec, {.division = division, .split = split, .seed = 11});
    };
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const Dataset data = load(split);
      CHECK(numbers(data) == rows(50, division, split));
      CHECK(data.rows.to_vector() == numbers(data));
      CHECK(data.split == split);
      CHECK(data.fingerprint == fingerprint(data.x));
      CHECK(data.divided == load_dataset(spec).fingerprint);
      // The seed of everything else has no part in it.
      CHECK(numbers(load_dataset(spec, {.division = division, .split = split, .seed = 12})) == numbers(data));
    }
    CHECK(numbers(load(Split::all)) == counted(50));
    CHECK(numbers(load_dataset(spec)) == counted(50));
    CHECK(load_dataset(spec).divided == "");
  }

  TEST_CASE("a limit is as a shorter file, and a subset is drawn from the split") {
    const TemporaryDirectory directory;
    const std::string spec = numbered_points(directory, 50);
    const Division division{0.25, 0, 5};
    for (const Split split : {Split::train, Split::validation})
      CHECK(numbers(load_dataset(spec, {.limit = 20, .division = division, .split = split})) ==
            rows(20, division, split));
    const Dataset some = load_dataset(spec, {.division = division, .subset = 9, .seed = 3});
    const auto training = rows(50, division, Split::train), chosen = numbers(some);
    CHECK(std::set(chosen.begin(), chosen.end()).size() == 9);
    for (const double row : chosen) CHECK(std::binary_search(training.begin(), training.end(), row));
    CHECK(some.rows.to_vector() == chosen);
  }

  TEST_CASE("labels and factors go with the points") {
    const Dataset all = load_dataset("sprites", {.limit = 40, .seed = 2});
    const Division division{0.3, 0, 1};
    for (const Split split : {Split::train, Split::validation}) {
      const Dataset some =
          load_dataset("sprites", {.limit = 40, .division = division, .split = split, .seed = 2});
      const Tensor chosen = rows_of_split(40, division, split);
      CHECK(some.x.to_vector() == gather_rows(all.x, chosen).to_vector());
      CHECK(some.labels.to_vector() == gather_rows(all.labels, chosen).to_vector());
      CHECK(some.factors.indices.to_vector() == gather_rows(all.factors.indices, chosen).to_vector());
      CHECK(some.factors.values.to_vector() == gather_rows(all.factors.values, chosen).to_vector());
      CHECK(some.height == 64);
    }
  }

  TEST_CASE("a source's own test points stay, and validation is cut from its training points") {
    for (const std::string spec : {"digits", "ppca", "sprites", "faces"}) {
      CAPTURE(spec);
      const Dataset train = load_dataset(spec, {.limit = 12}),
                    test = load_dataset(spec, {.limit = 12, .split = Split::test});
      CHECK(test.points() == 12);
      const Dataset same_test =
          load_dataset(spec, {.limit = 12, .division = {0.25, 0}, .split = Split::test});
      CHECK(same_test.fingerprint == test.fingerprint);
      CHECK(same_test.divided == "");
      CHECK(load_dataset(spec, {.limit = 12, .division = {0.25, 0}}).points() == 9);
      const Dataset held_out =
          load_dataset(spec, {.limit = 12, .division = {0.25, 0}, .split = Split::validation});
      CHECK(held_out.points() == 3);
      CHECK(held_out.divided == train.fingerprint);
      const Dataset all = load_dataset(spec, {.limit = 12, .split = Split::all});
      CHECK(all.points() == 24);
      CHECK(all.x.slice(0, 12).to_vector() == train.x.to_vector());
      CHECK(all.x.slice(12, 24).to_vector() == test.x.to_vector());
      CHECK(all.labels.defined() == train.labels.defined());
      CHECK(mentions(refusal(spec, {.limit = 12, .division = {0, 0.1}}), "has test points of its own"));
      CHECK(mentions(refusal(spec, {.limit = 12, .split = Split::validation}),
                     spec + "' has no validation split of its own; have one cut from its training points "
                            "with --validation 0.1"));
    }
    const TemporaryDirectory directory;
    const std::string spec = numbered_points(directory, 10);
    CHECK(mentions(refusal(spec, {.split = Split::test}), "has no test split of its own"));
    CHECK(mentions(refusal(spec, {.division = {0.2, 0}, .split = Split::test}), "with --test 0.1"));
  }

  TEST_CASE("files of different shapes for training and test are not taken together") {
    const TemporaryDirectory directory;
    const auto write = [&](const char* prefix, uint32_t side) {
      put(directory / (std::string(prefix) + "-images-idx3-ubyte"),
          idx_bytes({1, side, side}, std::string(side * side, 'x')));
    };
    write("train", 2);
    write("t10k", 3);
    CHECK(mentions(refusal("mnist:" + directory.path().string(), {.split = Split::all}),
                   "points of 4 and of 9 dimensions"));
    write("t10k", 2);
    CHECK(load_dataset("mnist:" + directory.path().string(), {.split = Split::all}).points() == 2);
  }

  TEST_CASE("CelebA's partition makes three splits, and all of them together") {
    const ImageFiles files;
    std::string partition;
    const int split_of[] = {2, 0, 1, 0, 2, 0, 1};
    for (int i = 1; i <= 7; ++i) {
      files.put(fmt::format("{}.png", i), png(plain_picture(4, 4, static_cast<uint8_t>(i))));
      partition += fmt::format("{}.png {}\n", i, split_of[i - 1]);
    }
    files.put("8.png", png(plain_picture(4, 4, 8)));  // which the partition does not name
    files.put("list_eval_partition.txt", partition);
    const std::string spec = files.spec(",size=1,grey");
    const auto firsts = [&](const LoadOptions& options) {
      const Dataset data = load_dataset(spec, options);
      CHECK(data.fingerprint == fingerprint(data.x));
      return data.x.to_vector();
    };
    using Numbers = std::vector<double>;
    CHECK(firsts({}) == Numbers{2, 4, 6});
    CHECK(firsts({.split = Split::validation}) == Numbers{3, 7});
    CHECK(firsts({.split = Split::test}) == Numbers{1, 5});
    CHECK(firsts({.split = Split::all}) == Numbers{2, 4, 6, 3, 7, 1, 5});
    CHECK(firsts({.limit = 1, .split = Split::validation}) == Numbers{3});
    CHECK(mentions(refusal(spec, {.division = {0.1, 0}}),
                   "has validation points of its own, so none are cut; leave"));
    files.put("list_eval_partition.txt", "1.png 0\n2.png 2\n");
    CHECK(mentions(refusal(spec, {.split = Split::validation}), "no validation split of its own"));
    files.put("list_eval_partition.txt", "1.png 0\n2.png 2\n3.png 0\n");
    CHECK(load_dataset(spec, {.division = {0.5, 0}, .split = Split::validation}).points() == 1);
    CHECK(firsts({.split = Split::test}) == Numbers{2});
  }
}

}  // namespace elbo
