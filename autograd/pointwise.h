// The pointwise engine: from a formula, a callable struct with a `backward`, an op that evaluates and
// differentiates.
//
// A formula of one input says what its gradient needs (`saves`), which decides what the tape keeps alive:
//
//   /// y = 1 / (1 + e^-x);  dy/dx = y (1 - y).
//   struct Sigmoid {
//     static constexpr const char* name = "sigmoid";
//     static constexpr Saves saves = Saves::output;
//     template <class T> ELBO_HD T operator()(T x) const { return math::sigmoid(x); }
//     template <class T> ELBO_HD T backward(T y, T dy) const { return dy * y * (T(1) - y); }
//   };
//   Variable sigmoid(const Variable& x) { return pointwise(Sigmoid{}, x); }
//
// The backward(a, b, dy) of a formula of two inputs returns both gradients. A formula that saves nothing has
// backward(dy). Backward::contribute sums over the axes along which an input was broadcast.
#pragma once

#include "autograd/contribute.h"
#include "autograd/formulas.h"

namespace elbo {

/// The gradient by the one input, as a formula of what was saved and dy.
template <class Formula>
struct BackwardOf {
  Formula formula;
  template <class... T>
  ELBO_HD auto operator()(T... saved_and_dy) const {
    return formula.backward(saved_and_dy...);
  }
};

/// The gradient by the first (0) or second (1) of two inputs.
template <class Formula, int kInput>
struct BackwardOfInput {
  Formula formula;
  template <class... T>
  ELBO_HD auto operator()(T... saved_and_dy) const {
    const auto gradients = formula.backward(saved_and_dy...);
    return kInput == 0 ? gradients.a : gradients.b;
  }
};

/// Gives one of two inputs its gradient. If the formula saves nothing, this may be dy itself, without a copy.
template <int kInput, class Formula, class... Saved>
void contribute_gradient(Backward& pass, Formula formula, const Saved&... saved) {
  const Tensor& dy = pass.dy();
  if constexpr (sizeof...(Saved) == 0)
    if (Formula::passes_on[kInput] && pass.input_shape(kInput) == dy.shape()) return pass.add(kInput, dy);
  pass.contribute(kInput, BackwardOfInput<Formula, kInput>{formula}, saved..., dy);
}

template <class Formula>
Variable pointwise(Formula formula, const Variable& x) {
  Tensor y = map(formula, x.value());
  const auto recorded = [&](const auto&... saved) {
    return Tape::record(Formula::name, {&x}, y, [formula, saved...](Backward& pass) {
      pass.contribute_unsummed(0, BackwardOf<Formula>{formula}, saved..., pass.dy());
    });
  };
  if constexpr (Formula::saves == Saves::nothing)
    return recorded();
  else
    return recorded(Formula::saves == Saves::input ? x.value() : y);
}

template <class Formula>
Variable pointwise(Formula formula, const Variable& a, const Variable& b) {
  Tensor y = Tensor::empty(broadcast(a.shape(), b.shape(), Formula::name), a.dtype(), a.value().device());
  map_into(y, formula, a.value(), b.value());
  const auto recorded = [&](const auto&... saved) {
    return Tape::record(Formula::name, {&a, &b}, y, [formula, saved...](Backward& pass) {
      contribute_gradient<0>(pass, formula, saved...);
      contribute_gradient<1>(pass, formula, saved...);
    });
  };
  if constexpr (requires { Formula::passes_on; })
    return recorded();
  else
    return recorded(a.value(), b.value());
}

}  // namespace elbo
