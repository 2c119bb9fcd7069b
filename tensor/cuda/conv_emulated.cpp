// Convolutions of emulated builds (conv.h): the plain kernels.
#include "tensor/cuda/conv.h"

namespace elbo::cuda {

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate) {
  plain::conv_forward(sizes, y, x, weight, accumulate);
}
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  plain::conv_backward_data(sizes, dx, dy, weight, accumulate);
}
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  plain::conv_backward_weight(sizes, dw, x, dy, accumulate);
}
const char* cudnn_name() { return "no cuDNN (emulated)"; }

}  // namespace elbo::cuda
