// The pointwise engine: from one struct with `forward` and `backward`, an op that evaluates and
// differentiates.
//
// A unary formula says what its gradient needs (`saves`), which decides what the tape keeps alive:
//
//   /// y = 1 / (1 + e^-x);  dy/dx = y (1 - y).
//   struct Sigmoid {
//     static constexpr const char* name = "sigmoid";
//     static constexpr Saves saves = Saves::output;
//     template <class T> ELBO_HD T forward(T x) const { return math::sigmoid(x); }
//     template <class T> ELBO_HD T backward(T y, T dy) const { return dy * y * (T(1) - y); }
//   };
//   Variable sigmoid(const Variable& x) { return pointwise(Sigmoid{}, x); }
//
// A binary formula's backward(a, b, dy) returns both gradients. Broadcasting is undone by
// Backward::contribute.
#pragma once

#include "autograd/contribute.h"

namespace elbo {

enum class Saves { input, output };

template <class T>
struct Gradients {
  T a, b;
};

template <class Formula>
struct ForwardOf {
  Formula formula;
  template <class... T>
  ELBO_HD auto operator()(T... in) const {
    return formula.forward(in...);
  }
};

template <class Formula>
struct BackwardOf {
  Formula formula;
  template <class T>
  ELBO_HD T operator()(T saved, T dy) const {
    return formula.backward(saved, dy);
  }
};

template <class Formula>
struct BackwardOfA {
  Formula formula;
  template <class T>
  ELBO_HD T operator()(T a, T b, T dy) const {
    return formula.backward(a, b, dy).a;
  }
};

template <class Formula>
struct BackwardOfB {
  Formula formula;
  template <class T>
  ELBO_HD T operator()(T a, T b, T dy) const {
    return formula.backward(a, b, dy).b;
  }
};

template <class Formula>
Variable pointwise(Formula formula, const Variable& x) {
  Tensor y = map(ForwardOf<Formula>{formula}, x.value());
  const Tensor saved = Formula::saves == Saves::input ? x.value() : y;
  return Tape::record(Formula::name, {&x}, y, [formula, saved](Backward& pass) {
    pass.contribute(0, BackwardOf<Formula>{formula}, saved, pass.dy());
  });
}

template <class Formula>
Variable pointwise(Formula formula, const Variable& a, const Variable& b) {
  Tensor y = Tensor::empty(broadcast(a.shape(), b.shape(), Formula::name), a.dtype(), a.value().device());
  map_into(y, ForwardOf<Formula>{formula}, a.value(), b.value());
  return Tape::record(Formula::name, {&a, &b}, y, [formula, a = a.value(), b = b.value()](Backward& pass) {
    pass.contribute(0, BackwardOfA<Formula>{formula}, a, b, pass.dy());
    pass.contribute(1, BackwardOfB<Formula>{formula}, a, b, pass.dy());
  });
}

}  // namespace elbo
