// Convolutions of emulated builds (conv.h): the CPU's loops, run when their turn in the stream comes.
#include "tensor/conv_reference.h"
#include "tensor/cuda/conv.h"
#include "tensor/cuda/kernel.h"

namespace elbo::cuda {

// What is enqueued holds pointers and no tensors, as on a GPU: whoever gives memory back too early is found
// out.

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  const Tensor& bias, bool accumulate) {
  visit_floating(y.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    emulation::enqueue([sizes, to = y.data<T>(), from = x.data<T>(), by = weight.data<T>(),
                        plus = bias.defined() ? bias.data<T>() : nullptr,
                        accumulate] { reference::conv_forward<T>(sizes, to, from, by, plus, accumulate); });
  });
}

void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  visit_floating(dx.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    emulation::enqueue([sizes, to = dx.data<T>(), from = dy.data<T>(), by = weight.data<T>(), accumulate] {
      reference::conv_backward_data<T>(sizes, to, from, by, accumulate);
    });
  });
}

void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  visit_floating(dw.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    emulation::enqueue([sizes, to = dw.data<T>(), from = x.data<T>(), by = dy.data<T>(), accumulate] {
      reference::conv_backward_weight<T>(sizes, to, from, by, accumulate);
    });
  });
}

const char* cudnn_name() { return "no cuDNN (emulated)"; }

}  // namespace elbo::cuda
