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

#include <cstdint>

#include "tensor/function_ref.h"

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
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body);

}  // namespace elbo
