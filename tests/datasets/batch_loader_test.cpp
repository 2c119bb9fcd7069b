// The batch loader: every epoch a permutation, every batch a function of seed, epoch and number, and no
// allocation once warm.
#include "datasets/batch_loader.h"

#include <algorithm>
#include <numeric>

#include "datasets/generators.h"
#include "tensor/parallel.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

using Kind = Preprocessing::Kind;
using Options = BatchLoader::Options;

const Preprocessing kLogit{.kind = Kind::logit};

const Dataset& digits() {
  static const Dataset data = make_digits(103, 1);
  return data;
}

/// A batch as values, to compare after the ring has moved on.
struct Copy {
  std::vector<double> x, rows;
  int64_t epoch, batch;
  bool operator==(const Copy&) const = default;
};

Copy copy(const BatchLoader::Batch& batch) {
  return {batch.x.to_vector(), batch.rows.to_vector(), batch.position.epoch, batch.position.batch};
}

std::vector<Copy> take(BatchLoader& loader, int count) {
  std::vector<Copy> batches;
  for (int i = 0; i < count; ++i) batches.push_back(copy(loader.next()));
  return batches;
}

std::vector<double> numbers(int64_t count) {
  std::vector<double> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0.0);
  return all;
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("an epoch is every point once, in an order of its own, the last batch being smaller") {
    BatchLoader loader(digits(), kLogit, {.batch = 20, .seed = 5});
    CHECK(loader.batches_per_epoch() == 6);
    std::vector<double> orders[2];
    for (int64_t epoch = 0; epoch < 2; ++epoch)
      for (int64_t b = 0; b < 6; ++b) {
        CHECK(loader.position() == BatchLoader::Position{epoch, b});
        const Copy batch = copy(loader.next());
        CHECK(batch.epoch == epoch);
        CHECK(batch.batch == b);
        CHECK(batch.rows.size() == (b < 5 ? 20 : 3));
        orders[epoch].insert(orders[epoch].end(), batch.rows.begin(), batch.rows.end());
      }
    CHECK(orders[0] != orders[1]);
    CHECK(orders[0] != numbers(103));
    for (auto& order : orders) {
      std::sort(order.begin(), order.end());
      CHECK(order == numbers(103));
    }
  }

  TEST_CASE("a batch holds the rows it names, preprocessed as the whole data set is in that epoch") {
    for (const DType dtype : {DType::f32, DType::f64}) {
      BatchLoader loader(digits(), kLogit, {.batch = 20, .seed = 5, .dtype = dtype});
      for (int i = 0; i < 12; ++i) {
        const BatchLoader::Batch batch = loader.next();
        const Tensor all = preprocess_all(digits(), kLogit, 5, batch.position.epoch, dtype);
        REQUIRE(batch.x.dtype() == dtype);
        REQUIRE(batch.x.shape() == Shape{batch.rows.elements(), 784});
        for (int64_t row = 0; row < batch.x.size(0); ++row)
          CHECK(batch.x.slice(row).to_vector() == all.slice(batch.rows.data<int64_t>()[row]).to_vector());
      }
    }
  }

  TEST_CASE("batches are the same whatever the threads and the read-ahead, and differ by seed") {
    const int before = threads();
    set_threads(1);
    BatchLoader first(digits(), kLogit, {.batch = 20, .seed = 5});
    const auto expected = take(first, 14);
    set_threads(4);
    BatchLoader second(digits(), kLogit, {.batch = 20, .seed = 5, .ahead = 9});
    CHECK(take(second, 14) == expected);
    BatchLoader third(digits(), kLogit, {.batch = 20, .seed = 6});
    const auto others = take(third, 14);
    // Both the order and the noise are the seed's.
    CHECK(others[0].rows != expected[0].rows);
    BatchLoader in_order(digits(), kLogit, {.batch = 20, .seed = 5, .shuffle = false});
    BatchLoader in_order_too(digits(), kLogit, {.batch = 20, .seed = 6, .shuffle = false});
    CHECK(take(in_order, 1)[0].x != take(in_order_too, 1)[0].x);
    set_threads(before);
  }

  TEST_CASE("seek resumes at any batch, forwards and backwards, with the same batches") {
    BatchLoader unbroken(digits(), kLogit, {.batch = 20, .seed = 5});
    const auto expected = take(unbroken, 24);
    BatchLoader loader(digits(), kLogit, {.batch = 20, .seed = 5});
    for (const int start : {13, 0, 23, 5, 6, 12, 1}) {
      loader.seek({start / 6, start % 6});
      CHECK(loader.position() == BatchLoader::Position{start / 6, start % 6});
      for (int i = start; i < std::min(start + 3, 24); ++i)
        CHECK(copy(loader.next()) == expected[static_cast<size_t>(i)]);
    }
    loader.seek({1, 6});  // where a checkpoint written at the end of an epoch may stand
    CHECK(loader.position() == BatchLoader::Position{2, 0});
    CHECK(copy(loader.next()) == expected[12]);
    for (const BatchLoader::Position wrong :
         {BatchLoader::Position{0, 7}, {-1, 0}, {0, -1}, {int64_t{1} << 62, 0}})
      CHECK(mentions(error_of([&] { loader.seek(wrong); }), "there is no batch"));
    CHECK(copy(loader.next()) == expected[13]);
  }

  TEST_CASE("drop_last leaves the small batch out, and without shuffling points keep their order") {
    BatchLoader dropping(digits(), kLogit, {.batch = 20, .seed = 5, .drop_last = true});
    CHECK(dropping.batches_per_epoch() == 5);
    for (int i = 0; i < 11; ++i) CHECK(dropping.next().x.size(0) == 20);
    CHECK(dropping.position() == BatchLoader::Position{2, 1});

    BatchLoader ordered(digits(), {.kind = Kind::scale}, {.batch = 40, .shuffle = false});
    for (int epoch = 0; epoch < 2; ++epoch) {
      std::vector<double> rows;
      for (const Copy& batch : take(ordered, 3))
        rows.insert(rows.end(), batch.rows.begin(), batch.rows.end());
      CHECK(rows == numbers(103));
    }
  }

  TEST_CASE("a batch larger than the data set is the whole of it") {
    BatchLoader loader(digits(), kLogit, {.batch = 1000});
    CHECK(loader.batches_per_epoch() == 1);
    CHECK(loader.next().x.shape() == Shape{103, 784});
    CHECK(loader.next().position == BatchLoader::Position{1, 0});
  }

  TEST_CASE("once warm, a batch allocates nothing") {
    BatchLoader loader(digits(), kLogit, {.batch = 10, .seed = 5});
    const int64_t epoch = loader.batches_per_epoch();
    BatchLoader::Batch batch;
    for (int64_t i = 0; i < epoch; ++i) batch = loader.next();
    const MemoryCounters before = memory_counters();
    for (int64_t i = 0; i < 20 * epoch; ++i) batch = loader.next();
    const MemoryCounters after = memory_counters();
    CHECK(after.system_allocations == before.system_allocations);
    CHECK(after.requests - before.requests <= 21);  // one order an epoch, out of the cache
  }

  TEST_CASE("a batch that is kept keeps its values") {
    BatchLoader loader(digits(), kLogit, {.batch = 20, .seed = 5});
    std::vector<BatchLoader::Batch> kept;
    std::vector<Copy> copies;
    for (int i = 0; i < 15; ++i) {
      kept.push_back(loader.next());
      copies.push_back(copy(kept.back()));
    }
    for (size_t i = 0; i < kept.size(); ++i) CHECK(copy(kept[i]) == copies[i]);
  }

  TEST_CASE("a loader can go away at any time, and batches outlive it") {
    BatchLoader::Batch batch;
    Copy expected{};
    for (int turn = 1; turn < 50; ++turn) {
      BatchLoader loader(digits(), kLogit, {.batch = 7, .seed = 5});
      for (int i = 0; i < turn % 4; ++i) batch = loader.next();
      if (turn % 3 == 0) loader.seek({turn, 0});
      expected = copy(batch);
    }
    CHECK(copy(batch) == expected);
  }

  TEST_CASE("options and data that make no sense are refused") {
    const auto refusal = [](const Dataset& data, const Preprocessing& preprocessing, const Options& options) {
      return error_of([&] { BatchLoader(data, preprocessing, options); });
    };
    CHECK(mentions(refusal(digits(), {}, {.batch = 0}), "a batch needs at least one point"));
    CHECK(mentions(refusal(digits(), {}, {.batch = -3}), "a batch needs at least one point"));
    CHECK(mentions(refusal(digits(), {}, {.batch = 104, .drop_last = true}), "less than one batch"));
    CHECK(mentions(refusal(digits(), {}, {.ahead = 0}), "at least one batch must be made ahead"));
    CHECK(mentions(refusal(digits(), {}, {.dtype = DType::u8}), "batches are f32 or f64"));
    CHECK(mentions(refusal(digits(), {.kind = Kind::logit, .alpha = 2}, {}), "alpha must lie"));
    CHECK(mentions(refusal(make_ppca_data(9, 1), kLogit, {}), "is for 8-bit pixels"));
    CHECK(mentions(refusal(Dataset{}, {}, {}), "has no points"));
  }
}

}  // namespace elbo
