// The gradient checker, and the table of everything it checks.
//
// One row declares an op once; from it come the f64 gradient check against central differences (every element
// of every input, a random cotangent), that gradients add up, f32 against f64, and for a fused op, fused
// against its twin. What is compared must agree in the number of outputs and in their shapes; an
// error is infinite where it does not. `elbo gradcheck` prints the table; the test suite asserts it and fails
// when an op has no row.
//
//   const OpRow row{"my_op", op_function(my_op), {{4, 3}, {3}}, Domain::real, op_function(my_op_twin)};
//   const OpCheck check = check_op(row);
//   if (!passes(check)) fmt::print("off by {}\n", check.gradient_error);
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace elbo {

/// From where a row's inputs are drawn; kinks and poles are farther away than a finite difference reaches.
enum class Domain {
  real,       ///< standard normal
  positive,   ///< uniform on (0.5, 2)
  off_kinks,  ///< away from 0 and +-1: magnitudes in (0.1, 0.9) or (1.1, 1.9), either sign
  distinct,   ///< no two elements closer than 0.05
};

using OpFunction = std::function<std::vector<Variable>(const std::vector<Variable>&)>;

struct OpRow {
  std::string name;  ///< as declared
  OpFunction op;
  std::vector<Shape> shapes;  ///< of the differentiated inputs
  Domain domain = Domain::real;
  OpFunction twin = nullptr;  ///< a fused op's definition in plain ops
};

/// Wraps a function of one to five Variables, returning a Variable or several, as an OpFunction.
template <class R, class... V>
OpFunction op_function(R (*function)(V...)) {
  return [function](const std::vector<Variable>& in) {
    const auto call = [&]<size_t... I>(std::index_sequence<I...>) { return function(in[I]...); };
    return std::vector<Variable>{call(std::index_sequence_for<V...>{})};
  };
}

/// The element at which two sets of numbers differ most.
struct WorstElement {
  std::string place = {};  ///< "gradient of input 1 (2, 3) at [1, 2]"; empty: nothing could be compared
  double found = 0, expected = 0;
};

struct OpCheck {
  std::string name;
  std::string shapes;         ///< "(3, 5), (5,)"
  double gradient_error = 0;  ///< f64 gradient against central differences, worst element
  double addition_error = 0;  ///< f64 gradient on top of another, and of an op used twice, worst element
  double float_error = 0;     ///< f32 value and gradient against f64, worst element
  double twin_error = -1;     ///< f64 value and gradient against the twin; -1 when there is none
  WorstElement gradient_at{}, addition_at{}, float_at{}, twin_at{};  ///< where these errors are
};

/// What each error of an OpCheck may be at most.
inline constexpr double kGradientTolerance = 1e-6, kAdditionTolerance = 1e-10, kFloatTolerance = 5e-5,
                        kTwinTolerance = 1e-10;

/// Value and gradient on the GPU against the CPU's, of an op in f64 and in f32, worst element; the gradient
/// by itself and on top of another. Throws without a GPU.
struct GpuCheck {
  double error = 0, float_error = 0;
  WorstElement at{}, float_at{};
};
inline constexpr double kGpuTolerance = 1e-9, kGpuFloatTolerance = 5e-5;
GpuCheck check_op_on_gpu(const OpRow& row);
bool passes(const GpuCheck& check);

/// Runs all checks of one row. Errors are relative: |a - b| / max(|a|, |b|, 1% of the largest element).
OpCheck check_op(const OpRow& row);
bool passes(const OpCheck& check);

/// One comparison of a check: what was compared, and where it was worst.
struct Comparison {
  const char* what;  ///< "gradient against central differences"
  double error, tolerance;
  WorstElement at;
  bool passes() const { return error <= tolerance; }
  /// "gradient against central differences: gradient of input 0 (3, 5) at [1, 2] is 1.47, not 0.98; error
  /// 3.3e-01, at most 1e-06"
  std::string str() const;
};
/// The comparisons of a check: three, and a fourth if there is a twin; two on a GPU.
std::vector<Comparison> comparisons(const OpCheck& check);
std::vector<Comparison> comparisons(const GpuCheck& check);

/// The rows of the ops in autograd/ops.h.
const std::vector<OpRow>& autograd_op_table();

}  // namespace elbo
