// visit_activation: from the name of an activation to its formula, for the layers that apply one.
#pragma once

#include "autograd/formulas.h"
#include "autograd/ops.h"

namespace elbo {

/// Calls f with the formula (formulas.h) of an activation.
template <class F>
decltype(auto) visit_activation(Activation activation, F&& f) {
  switch (activation) {
    case Activation::none:
      return f(formulas::NoActivation{});
    case Activation::relu:
      return f(formulas::Relu{});
    case Activation::leaky_relu:
      return f(formulas::LeakyRelu{});
    case Activation::elu:
      return f(formulas::Elu{});
    case Activation::softplus:
      return f(formulas::Softplus{});
    case Activation::sigmoid:
      return f(formulas::Sigmoid{});
    case Activation::tanh:
      return f(formulas::Tanh{});
    case Activation::cbrt:
      return f(formulas::Cbrt{});
    case Activation::cube:
      break;
  }
  return f(formulas::Cube{});
}

}  // namespace elbo
