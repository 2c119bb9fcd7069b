// Memory: what the counters say is what happens, and blocks come round again.
#include "tensor/memory.h"
#include "tensor/cuda/device.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "tensor/tensor.h"
#include "tests/error_of.h"

namespace elbo {
namespace {

/// Bytes that a request really takes.
size_t capacity_of(size_t bytes) { return allocate(bytes, Device::cpu)->capacity; }

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("live and cached bytes follow tensors as they come and go") {
    release_cached_memory();
    const MemoryCounters before = memory_counters();
    CHECK(before.cached == 0);
    {
      const Tensor x = Tensor::empty({1024});  // 4096 bytes: a size class of its own
      CHECK(memory_counters().live == before.live + 4096);
      const Tensor view = x.slice(0, 10), copy = x;
      CHECK(memory_counters().live == before.live + 4096);
      CHECK(memory_counters().requests == before.requests + 1);
      CHECK(memory_counters().system_allocations == before.system_allocations + 1);
    }
    CHECK(memory_counters().live == before.live);
    CHECK(memory_counters().cached == 4096);
    const void* address = Tensor::empty({1024}).bytes();
    CHECK(Tensor::empty({1020}).bytes() == address);  // the same class, the same block
    CHECK(memory_counters().system_allocations == before.system_allocations + 1);
    CHECK(memory_counters().requests == before.requests + 3);
    release_cached_memory();
    CHECK(memory_counters().cached == 0);
    CHECK(memory_counters().live == before.live);
  }

  TEST_CASE("a view alone keeps its storage") {
    const size_t live = memory_counters().live;
    Tensor row = Tensor::full({100, 100}, 3).slice(99);
    CHECK(memory_counters().live >= live + 40000);
    CHECK(row.sole_owner());
    CHECK(row.at(99) == 3);
    row = Tensor();
    CHECK(memory_counters().live == live);
  }

  TEST_CASE("the peak is the most that was live since it was reset") {
    reset_peak_memory();
    const size_t live = memory_counters().live;
    CHECK(memory_counters().peak == live);
    { const Tensor a = Tensor::empty({1024}), b = Tensor::empty({1024}); }
    { const Tensor c = Tensor::empty({1024}); }
    CHECK(memory_counters().peak == live + 2 * 4096);
    reset_peak_memory();
    CHECK(memory_counters().peak == live);
  }

  TEST_CASE("a loop that repeats itself stops asking the system after its first turn") {
    uint64_t after_first = 0;
    for (int turn = 0; turn < 10; ++turn) {
      std::vector<Tensor> kept;
      for (int64_t n : {3, 1000, 50, 1000, 70000, 3}) {
        kept.push_back(Tensor::zeros({n}));
        const Tensor temporary = kept.back().clone();
      }
      if (turn == 0) after_first = memory_counters().system_allocations;
    }
    CHECK(memory_counters().system_allocations == after_first);
  }

  TEST_CASE("size classes waste at most a quarter beyond the smallest blocks") {
    for (size_t bytes : {0, 1, 63, 64}) CHECK(capacity_of(bytes) == 64);
    CHECK(capacity_of(65) == 128);
    double worst = 0;
    for (size_t bytes = 257; bytes < 2'000'000; bytes += 1 + bytes / 57) {
      const size_t capacity = capacity_of(bytes);
      CHECK(capacity >= bytes);
      CHECK(capacity % 64 == 0);
      // Rounding up to 64 bytes comes first, so the bound is on that.
      const size_t units = (bytes + 63) / 64;
      worst = std::max(worst, static_cast<double>(capacity) / static_cast<double>(64 * units));
      // A block of a class's full size belongs to that class.
      CHECK(capacity_of(capacity) == capacity);
    }
    CHECK(worst <= 1.25);
    CHECK(worst > 1.15);
    release_cached_memory();
  }

  TEST_CASE("blocks do not overlap and can be written to their last byte") {
    std::vector<Tensor> tensors;
    for (int i = 0; i < 100; ++i) tensors.push_back(Tensor::full({37 * i % 500}, i, DType::u8));
    for (int i = 0; i < 100; ++i)
      for (uint8_t value : tensors[static_cast<size_t>(i)].span<uint8_t>()) REQUIRE(value == i);
  }

  TEST_CASE("tensors of no elements have storage and no bytes") {
    const Tensor x = Tensor::zeros({0, 5}), y = Tensor::zeros({0, 5});
    CHECK(x.defined());
    CHECK(x.byte_count() == 0);
    CHECK(x.bytes() != nullptr);
    CHECK_FALSE(x.shares_storage(y));
    CHECK(x.clone().elements() == 0);
    x.fill(1);
    x.copy_from(y);
  }

  TEST_CASE("references are counted right when threads copy and drop the same tensor") {
    const size_t live = memory_counters().live;
    {
      const Tensor shared = Tensor::full({1000}, 1);
      std::vector<std::thread> workers;
      for (int worker = 0; worker < 4; ++worker)
        workers.emplace_back([shared] {
          for (int i = 0; i < 2000; ++i) {
            const Tensor copy = shared, view = copy.slice(i % 1000);
            const Tensor own = Tensor::full({i % 50}, i);
          }
        });
      for (std::thread& worker : workers) worker.join();
      workers.clear();
      CHECK(shared.sole_owner());
      CHECK(shared.at(999) == 1);
    }
    CHECK(memory_counters().live == live);
  }

  TEST_CASE("a request that the system refuses is an error that leaves the counters as they were") {
    const Tensor cached = Tensor::empty({1024});
    reset_peak_memory();
    const MemoryCounters before = memory_counters();
    const std::string text = error_of([] { allocate(size_t{1} << 50, Device::cpu); });
    CHECK(mentions(text, "[allocate] out of memory: 1125899906842624 more bytes"));
    const MemoryCounters after = memory_counters();
    CHECK(after.live == before.live);
    CHECK(after.peak == before.peak);
    CHECK(after.system_allocations == before.system_allocations);
    if (!cuda::available())
      CHECK(mentions(error_of([] { allocate(1, Device::cuda); }), cuda::why_not().c_str()));
  }
}

}  // namespace elbo
