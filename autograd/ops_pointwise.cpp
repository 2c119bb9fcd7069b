// The pointwise ops: each is its formula handed to the engine.
#include "autograd/formulas.h"
#include "autograd/ops.h"

namespace elbo {

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

}  // namespace elbo
