// The activations: one list of their formulas, from which come the choice of one by its value, here, and
// their names; and what a layer does after its product.
#pragma once

#include <tuple>
#include <utility>

#include "autograd/formulas.h"
#include "autograd/ops.h"

namespace elbo {

/// In the order of the enum (ops.h).
using Activations =
    std::tuple<formulas::NoActivation, formulas::Relu, formulas::LeakyRelu, formulas::Elu, formulas::Softplus,
               formulas::Sigmoid, formulas::Tanh, formulas::Cbrt, formulas::Cube>;
inline constexpr size_t kActivations = std::tuple_size_v<Activations>;
static_assert(kActivations == static_cast<size_t>(Activation::cube) + 1);

/// Calls f with the formula of an activation.
template <size_t kFirst = 0, class F>
decltype(auto) visit_activation(Activation activation, F&& f) {
  if constexpr (kFirst + 1 < kActivations) {
    if (activation != static_cast<Activation>(kFirst))
      return visit_activation<kFirst + 1>(activation, std::forward<F>(f));
  }
  return f(std::tuple_element_t<kFirst, Activations>{});
}

/// y = activation(y + bias) in place, in one pass; bias broadcasts to y.
void add_bias_and_activate(const Tensor& y, const Tensor& bias, Activation activation);

/// The gradient of what an activation was given, from its result y and dy.
Tensor before_activation(Activation activation, const Tensor& y, const Tensor& dy);

}  // namespace elbo
