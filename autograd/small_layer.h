// A dense layer as the code for small networks takes it (tensor/small_layers.h), which knows no activations:
// pointers, and its activation's loops.
#pragma once

#include "autograd/ops.h"
#include "tensor/small_layers.h"

namespace elbo {

/// weight (M?, out, in), bias (M?, out), in T; f32 and f64.
template <class T>
SmallLayer<T> small_layer(const Tensor& weight, const Tensor& bias, Activation activation);

}  // namespace elbo
