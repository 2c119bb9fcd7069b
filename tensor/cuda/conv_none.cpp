// A build without CUDA (conv.h): nothing is convolved on a GPU.
#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"

namespace elbo::cuda {

void conv_forward(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool) {
  require_available();
}
void conv_backward_data(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool) {
  require_available();
}
void conv_backward_weight(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool) {
  require_available();
}
const char* cudnn_name() { require_available(), __builtin_unreachable(); }

}  // namespace elbo::cuda
