// The prefetcher: items in order, slots that stay put while they are looked at, errors at their place, and an
// end at any time.
#include "datasets/prefetcher.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <vector>

#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

void wait_a_little() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("items arrive in order, with fast and slow producers and consumers") {
    for (const int slots : {3, 4, 7})
      for (const bool slow_fill : {false, true}) {
        std::vector<int64_t> ring(static_cast<size_t>(slots), -1);
        Prefetcher prefetcher(slots, [&](int64_t item, int slot) {
          if (slow_fill) wait_a_little();
          ring[static_cast<size_t>(slot)] = item;
        });
        for (int64_t item = 0; item < 20; ++item) {
          if (!slow_fill && item % 5 == 0) wait_a_little();
          CHECK(ring[static_cast<size_t>(prefetcher.next())] == item);
        }
      }
  }

  TEST_CASE("a slot stays the caller's during the following next") {
    constexpr int kSlots = 4;
    std::vector<int64_t> ring(kSlots, -1);
    Prefetcher prefetcher(kSlots, [&](int64_t item, int slot) { ring[static_cast<size_t>(slot)] = item; });
    int last = prefetcher.next();
    for (int64_t item = 1; item < 50; ++item) {
      const int slot = prefetcher.next();
      if (item % 10 == 0) wait_a_little();  // enough for the thread to run as far ahead as it may
      CHECK(ring[static_cast<size_t>(last)] == item - 1);
      CHECK(ring[static_cast<size_t>(slot)] == item);
      last = slot;
    }
  }

  TEST_CASE("the thread stays as far ahead as it has slots, and no further") {
    std::atomic<int64_t> filled{0};
    Prefetcher prefetcher(5, [&](int64_t, int) { ++filled; });
    for (int wait = 0; wait < 1000 && filled < 3; ++wait) wait_a_little();
    wait_a_little();
    CHECK(filled == 3);
    prefetcher.next();
    for (int wait = 0; wait < 1000 && filled < 4; ++wait) wait_a_little();
    wait_a_little();
    CHECK(filled == 4);
  }

  TEST_CASE("an error comes after the items before it, again and again, until a seek") {
    std::vector<int64_t> ring(4, -1);
    std::atomic<int> attempts{0};
    Prefetcher prefetcher(4, [&](int64_t item, int slot) {
      if (item == 3) {
        ++attempts;
        fail("[test] item {} is broken", item);
      }
      ring[static_cast<size_t>(slot)] = item;
    });
    for (int64_t item = 0; item < 3; ++item) CHECK(ring[static_cast<size_t>(prefetcher.next())] == item);
    for (int i = 0; i < 3; ++i) CHECK(error_of([&] { prefetcher.next(); }) == "[test] item 3 is broken");
    CHECK(attempts == 1);
    prefetcher.seek(4);
    CHECK(ring[static_cast<size_t>(prefetcher.next())] == 4);
    prefetcher.seek(2);
    CHECK(ring[static_cast<size_t>(prefetcher.next())] == 2);
    CHECK(error_of([&] { prefetcher.next(); }) == "[test] item 3 is broken");
    CHECK(attempts == 2);
  }

  TEST_CASE("exceptions of any type reach the caller") {
    Prefetcher prefetcher(3, [](int64_t, int) { throw std::out_of_range("far away"); });
    CHECK_THROWS_AS(prefetcher.next(), std::out_of_range);
  }

  TEST_CASE("a seek at any moment is followed by the item sought, while the last two slots stay") {
    std::vector<int64_t> ring(4, -1);
    Prefetcher prefetcher(4, [&](int64_t item, int slot) {
      if (item % 7 == 0) std::this_thread::yield();
      ring[static_cast<size_t>(slot)] = item;
    });
    int64_t expected = 0, previous = -1;
    int last = -1;
    for (int64_t turn = 0; turn < 3000; ++turn) {
      const uint64_t chance = static_cast<uint64_t>(turn) * 2654435761u >> 7;
      if (chance % 3 == 0) prefetcher.seek(expected = static_cast<int64_t>(chance % 1000));
      const int slot = prefetcher.next();
      REQUIRE(ring[static_cast<size_t>(slot)] == expected);
      if (last >= 0) REQUIRE(ring[static_cast<size_t>(last)] == previous);
      last = slot;
      previous = expected++;
    }
  }

  TEST_CASE("it can be destroyed at any time") {
    for (int turn = 0; turn < 200; ++turn) {
      std::atomic<int> filled{0};
      Prefetcher prefetcher(4, [&](int64_t, int) {
        if (turn % 2) std::this_thread::yield();
        ++filled;
      });
      if (turn % 5 == 0) prefetcher.next();
      if (turn % 7 == 0) prefetcher.seek(turn);
      if (turn % 50 == 0) wait_a_little();
    }
    Prefetcher broken(3, [](int64_t, int) { fail("[test] broken"); });
    wait_a_little();
  }

  TEST_CASE("a ring too small to work is refused") {
    CHECK(mentions(error_of([] { Prefetcher(2, [](int64_t, int) {}); }), "needs more than 2 slots"));
  }
}

}  // namespace elbo
