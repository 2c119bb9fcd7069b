#include "nn/all_reduce_kernel.h"

#include "tensor/cuda/device.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/kernel.h"

namespace elbo::cuda {
namespace {

/// sum + weight * x, the product rounded as on the CPU; nvcc makes a single fused multiply-add of what is
/// written plainly.
__device__ __forceinline__ double plus_product(double sum, double weight, double x) {
#  if defined(__CUDA_ARCH__)
  return __dadd_rn(sum, __dmul_rn(weight, x));
#  else
  return sum + weight * x;
#  endif
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_in_order_kernel(const T* parts, const double* weights, int64_t count, T* to, int64_t n) {
  await_turn();
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) {
    double sum = 0;
    for (int64_t p = 0; p < count; ++p)
      if (weights[p] != 0) sum = plus_product(sum, weights[p], static_cast<double>(parts[p * n + i]));
    to[i] = static_cast<T>(sum);
  }
}

}  // namespace

void add_in_order(const Tensor& parts, std::span<const double> weights, const Tensor& to) {
  const int64_t n = to.elements();
  if (n == 0) return;
  const Tensor all_weights = Tensor::from<double>({parts.size(0)}, weights).to(Device::cuda);
  visit_floating(to.dtype(), "all-reduce", [&](auto zero) {
    using T = decltype(zero);
    launch("all-reduce", add_in_order_kernel<T>, blocks_for(n), kThreads,
           static_cast<const T*>(parts.data<T>()), static_cast<const double*>(all_weights.data<double>()),
           parts.size(0), to.data<T>(), n);
  });
}

}  // namespace elbo::cuda

#endif
