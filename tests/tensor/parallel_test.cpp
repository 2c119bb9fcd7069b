// parallel_for: every index once, no more ranges than asked for, no nesting, exceptions pass through.
#include "tensor/parallel.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "tests/error_of.h"
#include "tests/thread_count.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("parallel_for covers every index exactly once, in ranges no shorter than the grain") {
    for (int count : {1, 2, 5}) {
      const ThreadCount scope(count);
      count = std::min(count, omp_get_thread_limit());
      CHECK(threads() == count);
      for (int64_t n : {0, 1, 2, 7, 64, 1000}) {
        for (int64_t grain : {0, 1, 3, 100, 5000}) {
          std::vector<int> visits(static_cast<size_t>(n), 0);
          std::atomic<int> ranges{0};
          std::atomic<int64_t> shortest{n};
          parallel_for(n, grain, [&](int64_t begin, int64_t end) {
            ++ranges;
            int64_t seen = shortest;
            while (end - begin < seen && !shortest.compare_exchange_weak(seen, end - begin)) {
            }
            for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
          });
          CAPTURE(count);
          CAPTURE(n);
          CAPTURE(grain);
          CHECK(visits == std::vector<int>(static_cast<size_t>(n), 1));
          CHECK(ranges <= count);
          CHECK((n == 0) == (ranges == 0));
          if (ranges > 1) CHECK(shortest >= grain);
          if (grain == 1 && n >= count) CHECK(ranges == count);
        }
      }
    }
  }

  TEST_CASE("a parallel_for inside another runs where it is, as one range") {
    const ThreadCount scope(2);
    std::atomic<int> inner_ranges{0}, inside{0};
    parallel_for(2, 1, [&](int64_t, int64_t) {
      inside += inside_parallel_region();
      parallel_for(1000, 1, [&](int64_t begin, int64_t end) { inner_ranges += begin == 0 && end == 1000; });
    });
    CHECK(inner_ranges == threads());
    CHECK(inside == (threads() > 1 ? 2 : 0));
    CHECK_FALSE(inside_parallel_region());
  }

  TEST_CASE("an error inside parallel_for arrives outside, after the other ranges have finished") {
    const ThreadCount scope(3);
    std::atomic<int> finished{0};
    const auto fails_in_the_middle = [&] {
      parallel_for(3, 1, [&](int64_t begin, int64_t end) {
        if (begin <= 1 && 1 < end) fail("[here] index {}", 1);
        ++finished;
      });
    };
    CHECK(error_of(fails_in_the_middle) == "[here] index 1");
    CHECK(finished == threads() - 1);
  }

  TEST_CASE("there is always at least one thread") {
    const ThreadCount scope(0);
    CHECK(threads() == 1);
    set_threads(-3);
    CHECK(threads() == 1);
  }
}

}  // namespace elbo
