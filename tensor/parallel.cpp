#include "tensor/parallel.h"

#include <omp.h>

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

}  // namespace elbo
