#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/map.h"
#include "tensor/random.h"

namespace elbo {
namespace {

Tensor draw_input(const Shape& shape, Domain domain, uint64_t index) {
  const RandomKey key{.seed = 20190, .stream = kTestInput, .step = index};
  if (domain == Domain::real) return normal(shape, DType::f64, key);
  Tensor x = uniform(shape, DType::f64, key);
  const std::span<double> values = x.span<double>();
  const Tensor order = permutation(x.elements(), key);
  for (size_t i = 0; i < values.size(); ++i) {
    const double u = values[i];
    if (domain == Domain::positive) values[i] = 0.5 + 1.5 * u;
    if (domain == Domain::distinct)
      values[i] =
          0.1 * (order.at(static_cast<int64_t>(i)) - 0.5 * static_cast<double>(values.size())) + 0.05 * u;
    if (domain == Domain::off_kinks) {
      const double quarter = 4 * u, magnitude = 0.1 + 0.8 * (quarter - std::floor(quarter));
      values[i] = (quarter < 2 ? 1 : -1) * (static_cast<int>(quarter) % 2 ? magnitude + 1 : magnitude);
    }
  }
  return x;
}

std::vector<Variable> evaluate(const OpFunction& op, const std::vector<Tensor>& inputs) {
  return op(std::vector<Variable>(inputs.begin(), inputs.end()));
}

/// The objective whose gradient is checked: every output weighted by a fixed random cotangent.
std::vector<Tensor> draw_cotangents(const std::vector<Variable>& outputs) {
  std::vector<Tensor> cotangents;
  for (const Variable& output : outputs)
    cotangents.push_back(
        normal(output.shape(), DType::f64, {.seed = 20191, .stream = kTestInput, .step = cotangents.size()}));
  return cotangents;
}

double objective(const std::vector<Variable>& outputs, const std::vector<Tensor>& cotangents) {
  double total = 0;
  for (size_t k = 0; k < outputs.size(); ++k)
    for (int64_t i = 0; i < outputs[k].value().elements(); ++i)
      total += outputs[k].value().at(i) * cotangents[k].at(i);
  return total;
}

struct Taped {
  std::vector<Variable> outputs;
  std::vector<Tensor> gradients;  // none where the outputs are not as the cotangents
};

/// Where the gradients of the inputs go.
enum class Into {
  empty,  ///< to parameters that have none
  held,   ///< to parameters that have one, of ones
  twice   ///< through results that the op is given twice
};

bool are_outputs_for(const std::vector<Variable>& outputs, const std::vector<Tensor>& cotangents, DType dtype,
                     Device device) {
  if (outputs.size() != cotangents.size()) return false;
  for (size_t k = 0; k < outputs.size(); ++k)
    if (!(outputs[k].shape() == cotangents[k].shape()) || outputs[k].dtype() != dtype ||
        outputs[k].value().device() != device)
      return false;
  return true;
}

Taped run_taped(const OpFunction& op, const std::vector<Tensor>& inputs,
                const std::vector<Tensor>& cotangents, Into into = Into::empty) {
  std::vector<Parameter> parameters;
  for (const Tensor& input : inputs)
    parameters.push_back(
        {"input", input, Tensor::full(input.shape(), 1, input.dtype(), input.device()), into == Into::held});
  const auto beside_inputs = [&](const Tensor& x) { return x.to(inputs[0].dtype()).to(inputs[0].device()); };
  Taped result;
  Tape tape;
  std::vector<Variable> arguments(parameters.begin(), parameters.end());
  if (into == Into::twice)
    for (Variable& argument : arguments) argument = argument * 1.0;
  result.outputs = op(arguments);
  if (!are_outputs_for(result.outputs, cotangents, inputs[0].dtype(), inputs[0].device())) return result;
  std::vector<Variable> all = result.outputs;
  if (into == Into::twice)
    for (Variable& output : op(arguments)) all.push_back(std::move(output));
  // One scalar op on top of all outputs, so that a single backward pass reaches them together.
  std::vector<const Variable*> pointers;
  Tensor total = Tensor::zeros({}, inputs[0].dtype(), inputs[0].device());
  for (size_t k = 0; k < all.size(); ++k) {
    pointers.push_back(&all[k]);
    map_reduce_into<Sum>(total, true, Product{}, all[k].value(),
                         beside_inputs(cotangents[k % cotangents.size()]));
  }
  const Variable loss = Tape::record("cotangent", pointers, total, [&](Backward& pass) {
    for (size_t k = 0; k < all.size(); ++k)
      pass.add(static_cast<int>(k), beside_inputs(cotangents[k % cotangents.size()]));
  });
  tape.backward(loss);
  for (const Parameter& parameter : parameters) result.gradients.push_back(parameter.gradient);
  return result;
}

/// How far two sets of numbers are apart, and where that is.
struct Distance {
  double error = 0;
  WorstElement at;
  /// Keeps the larger of the two.
  void take_in(const Distance& other) {
    const bool is_first = error == 0 && at.place.empty();
    if (is_first || other.error > error) *this = other;
  }
};

/// Of what has other shapes.
Distance not_alike() { return {INFINITY, {}}; }

/// "[1, 2]", for an element of a tensor.
std::string index_text(const Shape& shape, int64_t element) {
  std::string text;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    text = std::to_string(element % shape[axis]) + (text.empty() ? "" : ", ") + text;
    element /= shape[axis];
  }
  return "[" + text + "]";
}

/// Worst |found - expected| / max(|found|, |expected|, 1% of the largest element); infinite for a NaN, and
/// for different counts of numbers.
Distance worst_element(const std::vector<double>& found, const std::vector<double>& expected,
                       const std::string& what, const Shape& shape) {
  if (found.size() != expected.size()) return not_alike();
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i)
    largest = std::max({largest, std::abs(found[i]), std::abs(expected[i])});
  Distance worst;
  size_t where = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double scale = std::max({std::abs(found[i]), std::abs(expected[i]), 0.01 * largest, 1e-300});
    const double error = std::abs(found[i] - expected[i]) / scale;
    if (error <= worst.error) continue;
    worst.error = std::isnan(error) ? INFINITY : error;
    where = i;
  }
  if (!found.empty())
    worst.at = {fmt::format("{} {} at {}", what, shape.str(), index_text(shape, static_cast<int64_t>(where))),
                found[where], expected[where]};
  return worst;
}

Distance worst_element(const Tensor& found, const std::vector<double>& expected, const char* what, size_t k) {
  return worst_element(found.to_vector(), expected, fmt::format("{} {}", what, k), found.shape());
}

constexpr const char *kOutput = "output", *kGradient = "gradient of input";

Distance worst_element(const Taped& found, const Taped& expected) {
  if (found.outputs.size() != expected.outputs.size() || found.gradients.size() != expected.gradients.size())
    return not_alike();
  Distance worst;
  for (size_t i = 0; i < found.outputs.size(); ++i) {
    if (!(found.outputs[i].shape() == expected.outputs[i].shape())) return not_alike();
    worst.take_in(
        worst_element(found.outputs[i].value(), expected.outputs[i].value().to_vector(), kOutput, i));
  }
  for (size_t i = 0; i < found.gradients.size(); ++i)
    worst.take_in(worst_element(found.gradients[i], expected.gradients[i].to_vector(), kGradient, i));
  return worst;
}

/// What gradients are where they were added to those of ones, or came twice.
Distance worst_of_addition(const Taped& alone, const Taped& together, Into into) {
  if (alone.gradients.size() != together.gradients.size()) return not_alike();
  Distance worst;
  for (size_t i = 0; i < alone.gradients.size(); ++i) {
    std::vector<double> expected = alone.gradients[i].to_vector();
    for (double& value : expected) value = into == Into::held ? value + 1 : 2 * value;
    worst.take_in(worst_element(together.gradients[i], expected, kGradient, i));
  }
  return worst;
}

/// d objective / d x[i] by a five-point central difference, whose error is of fourth order in the step.
double numeric_derivative(const OpRow& row, std::vector<Tensor>& inputs, size_t input, int64_t i,
                          const std::vector<Tensor>& cotangents) {
  constexpr double kStep = 1e-3;
  double& x = inputs[input].data<double>()[i];
  const double original = x;
  const auto at = [&](double offset) {
    x = original + offset;
    const double value = objective(evaluate(row.op, inputs), cotangents);
    x = original;
    return value;
  };
  return (8 * (at(kStep) - at(-kStep)) - (at(2 * kStep) - at(-2 * kStep))) / (12 * kStep);
}

}  // namespace

OpCheck check_op(const OpRow& row) {
  OpCheck check{.name = row.name, .shapes = {}};
  std::vector<Tensor> inputs;
  for (const Shape& shape : row.shapes) {
    check.shapes += (check.shapes.empty() ? "" : ", ") + shape.str();
    inputs.push_back(draw_input(shape, row.domain, inputs.size()));
  }
  const std::vector<Tensor> cotangents = draw_cotangents(evaluate(row.op, inputs));
  const Taped taped = run_taped(row.op, inputs, cotangents);
  Distance gradient = taped.gradients.size() == inputs.size() ? Distance{} : not_alike();
  for (size_t k = 0; k < taped.gradients.size(); ++k) {
    std::vector<double> numeric;
    for (int64_t i = 0; i < inputs[k].elements(); ++i)
      numeric.push_back(numeric_derivative(row, inputs, k, i, cotangents));
    gradient.take_in(worst_element(taped.gradients[k], numeric, kGradient, k));
  }
  Distance addition;
  for (Into into : {Into::held, Into::twice})
    addition.take_in(worst_of_addition(taped, run_taped(row.op, inputs, cotangents, into), into));
  std::vector<Tensor> singles;
  for (const Tensor& input : inputs) singles.push_back(input.to(DType::f32));
  const Distance in_float = worst_element(run_taped(row.op, singles, cotangents), taped);
  Distance twin{-1, {}};
  if (row.twin) twin = worst_element(taped, run_taped(row.twin, inputs, cotangents));
  check.gradient_error = gradient.error;
  check.gradient_at = gradient.at;
  check.addition_error = addition.error;
  check.addition_at = addition.at;
  check.float_error = in_float.error;
  check.float_at = in_float.at;
  check.twin_error = twin.error;
  check.twin_at = twin.at;
  return check;
}

GpuCheck check_op_on_gpu(const OpRow& row) {
  GpuCheck check;
  std::vector<Tensor> inputs;
  for (const Shape& shape : row.shapes) inputs.push_back(draw_input(shape, row.domain, inputs.size()));
  const std::vector<Tensor> cotangents = draw_cotangents(evaluate(row.op, inputs));
  for (DType dtype : {DType::f64, DType::f32}) {
    std::vector<Tensor> here, there;
    for (const Tensor& input : inputs) {
      here.push_back(input.to(dtype));
      there.push_back(here.back().to(Device::cuda));
    }
    Distance worst;
    for (Into into : {Into::empty, Into::held})
      worst.take_in(worst_element(run_taped(row.op, there, cotangents, into),
                                  run_taped(row.op, here, cotangents, into)));
    (dtype == DType::f64 ? check.error : check.float_error) = worst.error;
    (dtype == DType::f64 ? check.at : check.float_at) = worst.at;
  }
  return check;
}

std::string Comparison::str() const {
  if (at.place.empty())
    return fmt::format("{}: {}", what,
                       passes() ? "nothing differs" : "outputs or gradients are not of the same shapes");
  return fmt::format("{}: {} is {:.10g}, not {:.10g}; error {:.1e}, at most {:.0e}", what, at.place, at.found,
                     at.expected, error, tolerance);
}

std::vector<Comparison> comparisons(const OpCheck& check) {
  std::vector<Comparison> all{
      {"gradient against central differences", check.gradient_error, kGradientTolerance, check.gradient_at},
      {"gradients added up", check.addition_error, kAdditionTolerance, check.addition_at},
      {"f32 against f64", check.float_error, kFloatTolerance, check.float_at}};
  if (check.twin_error >= 0)
    all.push_back({"op against its twin", check.twin_error, kTwinTolerance, check.twin_at});
  return all;
}

std::vector<Comparison> comparisons(const GpuCheck& check) {
  return {{"GPU against CPU, f64", check.error, kGpuTolerance, check.at},
          {"GPU against CPU, f32", check.float_error, kGpuFloatTolerance, check.float_at}};
}

namespace {

bool all_pass(const std::vector<Comparison>& comparisons) {
  return std::all_of(comparisons.begin(), comparisons.end(), [](const Comparison& c) { return c.passes(); });
}

}  // namespace

bool passes(const GpuCheck& check) { return all_pass(comparisons(check)); }
bool passes(const OpCheck& check) { return all_pass(comparisons(check)); }

}  // namespace elbo
