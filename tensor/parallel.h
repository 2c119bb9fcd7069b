// parallel_for: the one way elbo uses more than one thread, on top of OpenMP.
//
// Calls never nest: inside a parallel region the body runs where it is. The split into ranges depends on the
// thread count, so a body whose result depends on its range (a partial sum) must fix its own chunks.
//
//   set_threads(4);
//   parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
//     for (int64_t i = begin; i < end; ++i) work_on(i);
//   });
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

namespace elbo {

/// Threads used by parallel_for; at least 1, at most OMP_THREAD_LIMIT. Starts as OpenMP's default
/// (OMP_NUM_THREADS or all cores).
int threads();
void set_threads(int count);
bool inside_parallel_region();

/// Work below this many simple element operations is not worth waking other threads for.
inline constexpr int64_t kParallelGrain = 16384;

/// Calls body(begin, end) on disjoint ranges that cover 0..n, at most one per thread, each at least `grain`
/// long. If bodies throw, one of the exceptions is thrown again when all ranges are done.
template <class Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  const int64_t ranges = std::min<int64_t>(threads(), n / std::max<int64_t>(grain, 1));
  if (ranges <= 1 || inside_parallel_region()) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
  std::exception_ptr error;  // one that left the parallel region would end the program
#pragma omp parallel for num_threads(static_cast <int>(ranges)) schedule(static, 1)
  for (int64_t r = 0; r < ranges; ++r) {
    try {
      body(n * r / ranges, n * (r + 1) / ranges);
    } catch (...) {
#pragma omp critical(elbo_parallel_for)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace elbo
