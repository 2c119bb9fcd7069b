// The pointwise ops: each is its formula handed to the engine. And the activations by name and by value.
#include "autograd/activation.h"
#include "autograd/pointwise.h"
#include "tensor/file.h"

namespace elbo {
namespace {

template <class Formula>
struct BiasAndActivation {
  Formula formula;
  template <class T>
  ELBO_HD T operator()(T product, T bias) const {
    return formula(product + bias);
  }
};

}  // namespace

Variable add(const Variable& a, const Variable& b) { return pointwise(formulas::Add{}, a, b); }
Variable sub(const Variable& a, const Variable& b) { return pointwise(formulas::Sub{}, a, b); }
Variable mul(const Variable& a, const Variable& b) { return pointwise(formulas::Mul{}, a, b); }
Variable div(const Variable& a, const Variable& b) { return pointwise(formulas::Div{}, a, b); }
Variable neg(const Variable& x) { return affine(x, -1, 0); }
Variable affine(const Variable& x, double scale, double shift) {
  return pointwise(formulas::Affine{scale, shift}, x);
}
Variable square(const Variable& x) { return pointwise(formulas::Square{}, x); }
Variable sqrt(const Variable& x) { return pointwise(formulas::Sqrt{}, x); }
Variable exp(const Variable& x) { return pointwise(formulas::Exp{}, x); }
Variable log(const Variable& x) { return pointwise(formulas::Log{}, x); }
Variable pow(const Variable& x, double exponent) { return pointwise(formulas::Pow{exponent}, x); }
Variable abs(const Variable& x) { return pointwise(formulas::Abs{}, x); }
Variable clamp(const Variable& x, double low, double high) {
  if (!(low <= high)) fail("[clamp] low {} exceeds high {}", low, high);
  return pointwise(formulas::Clamp{low, high}, x);
}
Variable relu(const Variable& x) { return pointwise(formulas::Relu{}, x); }
Variable leaky_relu(const Variable& x, double slope) {
  if (!(slope > 0)) fail("[leaky_relu] the slope must be above 0, got {}; use relu for 0", slope);
  return pointwise(formulas::LeakyRelu{slope}, x);
}
Variable elu(const Variable& x) { return pointwise(formulas::Elu{}, x); }
Variable softplus(const Variable& x) { return pointwise(formulas::Softplus{}, x); }
Variable sigmoid(const Variable& x) { return pointwise(formulas::Sigmoid{}, x); }
Variable tanh(const Variable& x) { return pointwise(formulas::Tanh{}, x); }
Variable cbrt(const Variable& x) { return pointwise(formulas::Cbrt{}, x); }
Variable cube(const Variable& x) { return pointwise(formulas::Cube{}, x); }

const char* name(Activation activation) {
  return visit_activation(activation, [](auto formula) { return decltype(formula)::name; });
}

Activation parse_activation(std::string_view text) {
  std::string known;
  for (size_t i = 0; i < kActivations; ++i) {
    const auto activation = static_cast<Activation>(i);
    if (text == name(activation)) return activation;
    known += (known.empty() ? "" : ", ") + std::string(name(activation));
  }
  fail("[activation] unknown activation {}; there are {}", quote(text), known);
}

Variable activate(Activation activation, const Variable& x) {
  if (activation == Activation::none) return x;
  return visit_activation(activation, [&](auto formula) { return pointwise(formula, x); });
}

void add_bias_and_activate(const Tensor& y, const Tensor& bias, Activation activation) {
  visit_activation(
      activation, [&](auto formula) { map_into(y, BiasAndActivation<decltype(formula)>{formula}, y, bias); });
}

Tensor before_activation(Activation activation, const Tensor& y, const Tensor& dy) {
  if (activation == Activation::none) return dy;
  return visit_activation(activation,
                          [&](auto formula) { return map(BackwardOf<decltype(formula)>{formula}, y, dy); });
}

}  // namespace elbo
