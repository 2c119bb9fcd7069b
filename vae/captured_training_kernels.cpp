#include "vae/captured_training_kernels.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/kernel.h"

namespace elbo::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    advance_kernel(const double* table, int64_t length, int64_t* next, int64_t* place, int64_t* counter,
                   double* points, T* numbers, int64_t count, double* rates) {
  await_turn();
  const double* const row = table + next[0] * length;
  for (int64_t i = threadIdx.x; i < length; i += kThreads) {
    if (i < 2)
      place[i] = static_cast<int64_t>(row[i]);
    else if (i == 2)
      counter[0] = static_cast<int64_t>(row[i]);
    else if (i == 3)
      points[0] = row[i];
    else if (i < kFixedNumbers + count)
      numbers[i - kFixedNumbers] = static_cast<T>(row[i]);
    else
      rates[i - kFixedNumbers - count] = row[i];
  }
  __syncthreads();  // every thread has read where the row is
  if (threadIdx.x == 0) ++next[0];
}

template <class T>
struct Probes {
  const T* at[kMostProbes];
  int64_t count;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    bookkeep_kernel(int64_t models, const T* cost, Probes<T> probes, const double* points,
                    const int64_t* counter, double* rates, double* sums) {
  await_turn();
  for (int64_t m = thread_index(); m < models; m += thread_count()) {
    // Not finite: its difference with itself is not 0.
    double sum = static_cast<double>(cost[m]) - static_cast<double>(cost[m]);
    for (int64_t i = 0; i < probes.count; ++i) {
      const double probe = static_cast<double>(probes.at[i][m]);
      sum += probe - probe;
    }
    double& stopped = sums[probes.count * models + m];
    if (stopped < 0 && !(sum == 0)) stopped = static_cast<double>(counter[0]);
    if (stopped >= 0)
      rates[1 + m] = 0;
    else
      for (int64_t i = 0; i < probes.count; ++i)
        sums[i * models + m] += points[0] * static_cast<double>(probes.at[i][m]);
  }
}

}  // namespace

void advance(const Tensor& table, const Tensor& next, const Tensor& place, const Tensor& counter,
             const Tensor& points, const Tensor& numbers, const Tensor& rates) {
  visit_floating(numbers.dtype(), "advance", [&](auto zero) {
    using T = decltype(zero);
    launch("advance", advance_kernel<T>, 1, kThreads, static_cast<const double*>(table.data<double>()),
           table.size(1), next.data<int64_t>(), place.data<int64_t>(), counter.data<int64_t>(),
           points.data<double>(), numbers.data<T>(), numbers.elements(), rates.data<double>());
  });
}

void bookkeep(const Tensor& cost, std::span<const Tensor> probes, const Tensor& points, const Tensor& counter,
              const Tensor& rates, const Tensor& sums) {
  visit_floating(cost.dtype(), "bookkeep", [&](auto zero) {
    using T = decltype(zero);
    const int64_t models = sums.size(1);
    Probes<T> pointers{{}, static_cast<int64_t>(probes.size())};
    for (size_t i = 0; i < probes.size(); ++i) pointers.at[i] = probes[i].data<T>();
    launch("bookkeep", bookkeep_kernel<T>, blocks_for(models), kThreads, models,
           static_cast<const T*>(cost.data<T>()), pointers, static_cast<const double*>(points.data<double>()),
           static_cast<const int64_t*>(counter.data<int64_t>()), rates.data<double>(), sums.data<double>());
  });
}

}  // namespace elbo::cuda

#endif
