#include "tensor/parallel.h"

#include <omp.h>

namespace elbo {
namespace {

int& thread_count() {
  static int count = omp_get_max_threads();
  return count;
}

}  // namespace

int threads() { return thread_count(); }
void set_threads(int count) {
  thread_count() = std::max(count, 1);
  omp_set_num_threads(thread_count());  // for oneDNN, which asks OpenMP
}
bool inside_parallel_region() { return omp_in_parallel() != 0; }

}  // namespace elbo
