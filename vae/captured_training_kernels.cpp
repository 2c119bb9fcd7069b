#include "vae/captured_training_kernels.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/kernel.h"

namespace elbo::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    advance_kernel(const double* table, int64_t length, int64_t* next, int64_t* place, int64_t* counter,
                   double* points, T* penalty, int64_t penalties, double* rates) {
  const double* const row = table + next[0] * length;
  for (int64_t i = threadIdx.x; i < length; i += kThreads) {
    if (i < 2)
      place[i] = static_cast<int64_t>(row[i]);
    else if (i == 2)
      counter[0] = static_cast<int64_t>(row[i]);
    else if (i == 3)
      points[0] = row[i];
    else if (i < kFixedNumbers + penalties)
      penalty[i - kFixedNumbers] = static_cast<T>(row[i]);
    else
      rates[i - kFixedNumbers - penalties] = row[i];
  }
  __syncthreads();  // every thread has read where the row is
  if (threadIdx.x == 0) ++next[0];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    bookkeep_kernel(int64_t models, const T* log_likelihood, const T* kl, const double* points,
                    const int64_t* counter, double* rates, double* sums) {
  for (int64_t m = thread_index(); m < models; m += thread_count()) {
    const double ll = static_cast<double>(log_likelihood[m]), cost = static_cast<double>(kl[m]);
    double& stopped = sums[2 * models + m];
    const double objective = ll - cost;
    // Not finite: its difference with itself is not 0.
    if (stopped < 0 && !(objective - objective == 0)) stopped = static_cast<double>(counter[0]);
    if (stopped >= 0) {
      rates[1 + m] = 0;
    } else {
      sums[m] += points[0] * ll;
      sums[models + m] += points[0] * cost;
    }
  }
}

}  // namespace

void advance(const Tensor& table, const Tensor& next, const Tensor& place, const Tensor& counter,
             const Tensor& points, const Tensor& penalty, const Tensor& rates) {
  visit_floating(penalty.dtype(), "advance", [&](auto zero) {
    using T = decltype(zero);
    launch("advance", advance_kernel<T>, 1, kThreads, static_cast<const double*>(table.data<double>()),
           table.size(1), next.data<int64_t>(), place.data<int64_t>(), counter.data<int64_t>(),
           points.data<double>(), penalty.data<T>(), penalty.elements(), rates.data<double>());
  });
}

void bookkeep(const Tensor& log_likelihood, const Tensor& kl, const Tensor& points, const Tensor& counter,
              const Tensor& rates, const Tensor& sums) {
  visit_floating(kl.dtype(), "bookkeep", [&](auto zero) {
    using T = decltype(zero);
    const int64_t models = sums.size(1);
    launch("bookkeep", bookkeep_kernel<T>, blocks_for(models), kThreads, models,
           static_cast<const T*>(log_likelihood.data<T>()), static_cast<const T*>(kl.data<T>()),
           static_cast<const double*>(points.data<double>()),
           static_cast<const int64_t*>(counter.data<int64_t>()), rates.data<double>(), sums.data<double>());
  });
}

}  // namespace elbo::cuda

#else

#  include "tensor/cuda/device.h"

namespace elbo::cuda {

void advance(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
             const Tensor&) {
  require_available();
}
void bookkeep(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  require_available();
}

}  // namespace elbo::cuda

#endif
