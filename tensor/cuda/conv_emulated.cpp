// The convolution library of emulated builds (conv.h): it refuses everything.
#include "tensor/cuda/conv.h"

namespace elbo::cuda {

bool library::conv_forward(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool) {
  return false;
}
bool library::conv_backward_data(const ConvSizes&, const Tensor&, const Tensor&, const Tensor&, bool) {
  return false;
}
const char* cudnn_name() { return "no cuDNN (emulated)"; }

}  // namespace elbo::cuda
