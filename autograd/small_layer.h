// A dense layer as the code for small networks takes it (tensor/small_layers.h), which knows no activations:
// pointers, and its activation's loops; and where its gradients go.
#pragma once

#include "autograd/backward.h"
#include "autograd/ops.h"
#include "tensor/small_layers.h"

namespace elbo {

/// weight (M?, out, in), bias (M?, out), in T; f32 and f64.
template <class T>
SmallLayer<T> small_layer(const Tensor& weight, const Tensor& bias, Activation activation);

/// Where a rule puts the gradient of an input, if that is wanted.
template <class T>
void set_target(Backward& pass, int input, T*& to, bool& add) {
  if (!pass.wants(input)) return;
  const Backward::Target target = pass.target(input);
  to = target.tensor.template data<T>();
  add = target.accumulate;
}

/// The same of a layer whose weight is that input, and its bias the next.
template <class T>
SmallLayerGradients<T> layer_targets(Backward& pass, int weight) {
  SmallLayerGradients<T> gradients;
  set_target(pass, weight, gradients.weight, gradients.add_to_weight);
  set_target(pass, weight + 1, gradients.bias, gradients.add_to_bias);
  return gradients;
}

}  // namespace elbo
