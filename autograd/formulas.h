// The pointwise formulas: each op's value, which is a call of the formula, and its derivative, `backward`,
// side by side; written once for host and device, f32 and f64. Values that tensor/map.h has are taken from
// there.
//
// An op takes three places (docs/add-an-op.md): its formula here, its declaration with a line of
// ops_pointwise.cpp, and its row in op_table.cpp.
#pragma once

#include <cmath>

#include "tensor/map.h"
#include "tensor/math.h"

namespace elbo {

/// What of an op the gradient is made from, besides the gradient of its result.
enum class Saves { nothing, input, output };

/// Those by the two inputs of a formula.
template <class T>
struct Gradients {
  T a, b;
};

}  // namespace elbo

namespace elbo::formulas {

// ---- one input

/// y = s x + c;  dy/dx = s.
struct Affine {
  static constexpr const char* name = "affine";
  static constexpr Saves saves = Saves::nothing;
  double scale, shift;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return T(scale) * x + T(shift);
  }
  template <class T>
  ELBO_HD T backward(T dy) const {
    return T(scale) * dy;
  }
};

/// y = x^2;  dy/dx = 2 x.
struct Square : SquareOf {
  static constexpr const char* name = "square";
  static constexpr Saves saves = Saves::input;
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    return T(2) * dy * x;  // 2 x alone may overflow
  }
};

/// y = sqrt(x), x > 0;  dy/dx = 1 / (2 y).
struct Sqrt {
  static constexpr const char* name = "sqrt";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::sqrt(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return T(0.5) * dy / y;
  }
};

/// y = e^x;  dy/dx = y.
struct Exp {
  static constexpr const char* name = "exp";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::exp(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return y * dy;
  }
};

/// y = ln x, x > 0;  dy/dx = 1 / x.
struct Log {
  static constexpr const char* name = "log";
  static constexpr Saves saves = Saves::input;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::log(x);
  }
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    return dy / x;
  }
};

/// y = x^p, x > 0 unless p is a whole number;  dy/dx = p x^(p-1), and 0 everywhere where p = 0.
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr Saves saves = Saves::input;
  double exponent;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return std::pow(x, T(exponent));
  }
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    const T p = T(exponent);
    return p == T(0) ? T(0) : p * dy * std::pow(x, p - T(1));
  }
};

/// y = |x|;  dy/dx = sign x, and 0 at 0.
struct Abs {
  static constexpr const char* name = "abs";
  static constexpr Saves saves = Saves::input;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x < T(0) ? -x : x;
  }
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    return x > T(0) ? dy : (x < T(0) ? -dy : T(0));
  }
};

/// y = x bounded to [low, high];  dy/dx = 1 inside and at the bounds, 0 outside.
struct Clamp {
  static constexpr const char* name = "clamp";
  static constexpr Saves saves = Saves::input;
  double low, high;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x < T(low) ? T(low) : (x > T(high) ? T(high) : x);
  }
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    return ((x < T(low)) | (x > T(high))) ? T(0) : dy;
  }
};

// The activations save their output, so that a layer can overwrite its pre-activation.

/// y = x.
struct NoActivation : Identity {
  static constexpr const char* name = "none";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T backward(T, T dy) const {
    return dy;
  }
};

/// y = max(x, 0);  dy/dx = [y > 0].
struct Relu {
  static constexpr const char* name = "relu";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return y > T(0) ? dy : T(0);
  }
};

/// y = x for x > 0, else slope x, slope > 0;  dy/dx = 1 or slope, told apart by the sign of y.
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  static constexpr Saves saves = Saves::output;
  double slope = 0.01;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x > T(0) ? x : T(slope) * x;
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return y > T(0) ? dy : T(slope) * dy;
  }
};

/// y = x for x > 0, else e^x - 1;  dy/dx = 1 or y + 1.
struct Elu {
  static constexpr const char* name = "elu";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x > T(0) ? x : math::expm1(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return y > T(0) ? dy : dy * (y + T(1));
  }
};

/// y = ln(1 + e^x);  dy/dx = 1 - e^-y.
struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::softplus(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return -dy * math::expm1(-y);
  }
};

/// y = 1 / (1 + e^-x);  dy/dx = y (1 - y).
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::sigmoid(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return dy * y * (T(1) - y);
  }
};

/// y = tanh x;  dy/dx = 1 - y^2.
struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::tanh(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return dy * (T(1) - y * y);
  }
};

/// y = x^(1/3), of either sign;  dy/dx = 1 / (3 y^2), which is infinite at 0 and taken as 0 there: a unit
/// that is exactly 0 then adds nothing to the gradient, where an infinity would make NaN of it. For all other
/// numbers the slope is finite, if large; u (u^2 + c)^(-1/3) is a cube root whose slope is bounded.
struct Cbrt {
  static constexpr const char* name = "cbrt";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::cbrt(x);
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    return y == T(0) ? T(0) : dy / (T(3) * y * y);
  }
};

/// y = x^3;  dy/dx = 3 x^2 = 3 y^(2/3).
struct Cube {
  static constexpr const char* name = "cube";
  static constexpr Saves saves = Saves::output;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x * x * x;
  }
  template <class T>
  ELBO_HD T backward(T y, T dy) const {
    const T x = math::cbrt(y);
    return T(3) * dy * x * x;
  }
};

// ---- two inputs. `passes_on`, in formulas that save nothing: for which inputs the gradient is dy itself.

/// y = a + b.
struct Add : Sum {
  static constexpr const char* name = "add";
  static constexpr bool passes_on[] = {true, true};
  template <class T>
  ELBO_HD Gradients<T> backward(T dy) const {
    return {dy, dy};
  }
};

/// y = a - b.
struct Sub : Difference {
  static constexpr const char* name = "sub";
  static constexpr bool passes_on[] = {true, false};
  template <class T>
  ELBO_HD Gradients<T> backward(T dy) const {
    return {dy, -dy};
  }
};

/// y = a b.
struct Mul : Product {
  static constexpr const char* name = "mul";
  template <class T>
  ELBO_HD Gradients<T> backward(T a, T b, T dy) const {
    return {dy * b, dy * a};
  }
};

/// y = a / b;  dy/da = 1 / b, dy/db = -(a / b) / b.
struct Div {
  static constexpr const char* name = "div";
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return a / b;
  }
  template <class T>
  ELBO_HD Gradients<T> backward(T a, T b, T dy) const {
    // No b^2, which under- and overflows in float where the quotients do not.
    const T quotient = dy / b;
    return {quotient, -quotient * (a / b)};
  }
};

}  // namespace elbo::formulas
