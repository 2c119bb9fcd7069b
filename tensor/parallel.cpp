#include "tensor/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>

namespace elbo {
namespace {

/// `count` threads, at most OMP_THREAD_LIMIT, and never fewer because the machine is busy (OMP_DYNAMIC):
/// oneDNN waits for ever for threads that OpenMP announces and does not give.
int allowed(int count) {
  count = std::clamp(count, 1, omp_get_thread_limit());
  omp_set_dynamic(0);
  omp_set_num_threads(count);
  return count;
}

int& thread_count() {
  static int count = allowed(omp_get_max_threads());
  return count;
}

}  // namespace

int threads() { return thread_count(); }
void set_threads(int count) { thread_count() = allowed(count); }
// Also true in a team of one thread (OMP_THREAD_LIMIT, OMP_DYNAMIC), unlike omp_in_parallel().
bool inside_parallel_region() { return omp_get_level() > 0; }

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  const int64_t ranges = std::min<int64_t>(threads(), n / std::max<int64_t>(grain, 1));
  if (ranges <= 1 || inside_parallel_region()) {
    if (n > 0) body(0, n);
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
