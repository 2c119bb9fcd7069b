// A build without CUDA (gemm.h): nothing is multiplied on a GPU.
#include "tensor/cuda/device.h"
#include "tensor/cuda/gemm.h"

namespace elbo::cuda {

void gemm(const Tensor&, const Tensor&, Op, const Tensor&, Op, bool, double) { require_available(); }
bool gemm_bias(const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  require_available(), __builtin_unreachable();
}
bool gemm_bias_gradient(const Tensor&, const Tensor&, const Tensor&, const Tensor&, bool) {
  require_available(), __builtin_unreachable();
}
const char* blas_name() { require_available(), __builtin_unreachable(); }

}  // namespace elbo::cuda
