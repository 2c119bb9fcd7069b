#include "vae/batch_cost_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/kernel.h"
#  include "tensor/map.h"

namespace elbo::cuda {
namespace {

constexpr int64_t kMostTerms = 64 * kThreads;

/// The block's mean of `count` numbers, for its first thread.
template <class T>
__device__ T block_mean(const T* numbers, int64_t count, double* shared) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += static_cast<double>(numbers[i]);
  return static_cast<T>(fold_lanes<Sum>(sum, kThreads, shared) / static_cast<double>(count));
}

/// A block has a member at a time.
template <class T>
__global__ void __launch_bounds__(kThreads)
    batch_cost_kernel(int64_t members, const T* log_likelihood, int64_t terms, const T* kl, int64_t kl_terms,
                      const T* weight, T* cost, T* mean_log_likelihood, T* mean_kl) {
  await_turn();
  __shared__ double shared[kWarps];
  for (int64_t m = blockIdx.x; m < members; m += gridDim.x) {
    const T a = block_mean(log_likelihood + m * terms, terms, shared);
    const T b = block_mean(kl + m * kl_terms, kl_terms, shared);
    if (threadIdx.x > 0) continue;
    mean_log_likelihood[m] = a;
    mean_kl[m] = b;
    cost[m] = weight[m] * b - a;
  }
}

}  // namespace

bool suits_batch_cost(const Tensor& log_likelihood, const Tensor& kl, int64_t members) {
  return kl.elements() > 0 && log_likelihood.elements() > 0 &&
         std::max(log_likelihood.elements(), kl.elements()) <= members * kMostTerms;
}

void batch_cost(const Tensor& log_likelihood, const Tensor& kl, const Tensor& weight, const Tensor& cost,
                const Tensor& mean_log_likelihood, const Tensor& mean_kl) {
  const int64_t members = cost.elements();
  visit_floating(cost.dtype(), "batch_cost", [&](auto zero) {
    using T = decltype(zero);
    launch("batch_cost", batch_cost_kernel<T>, blocks_for(members, 1), kThreads, members,
           static_cast<const T*>(log_likelihood.data<T>()), log_likelihood.elements() / members,
           static_cast<const T*>(kl.data<T>()), kl.elements() / members,
           static_cast<const T*>(weight.data<T>()), cost.data<T>(), mean_log_likelihood.data<T>(),
           mean_kl.data<T>());
  });
}

}  // namespace elbo::cuda

#endif
