#include "autograd/gradcheck.h"

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

/// Worst |a - b| / max(|a|, |b|, 1% of the largest element); NaN counts as infinitely wrong, and so do
/// numbers of which one has more.
double worst_error(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max({largest, std::abs(a[i]), std::abs(b[i])});
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double scale = std::max({std::abs(a[i]), std::abs(b[i]), 0.01 * largest, 1e-300});
    const double error = std::abs(a[i] - b[i]) / scale;
    worst = error <= worst ? worst : (std::isnan(error) ? INFINITY : error);
  }
  return worst;
}

double worst_error(const Taped& a, const Taped& b) {
  if (a.outputs.size() != b.outputs.size() || a.gradients.size() != b.gradients.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    if (!(a.outputs[i].shape() == b.outputs[i].shape())) return INFINITY;
    worst = std::max(worst, worst_error(a.outputs[i].value().to_vector(), b.outputs[i].value().to_vector()));
  }
  for (size_t i = 0; i < a.gradients.size(); ++i)
    worst = std::max(worst, worst_error(a.gradients[i].to_vector(), b.gradients[i].to_vector()));
  return worst;
}

/// What gradients are where they were added to those of ones, or came twice.
double addition_error(const Taped& alone, const Taped& together, Into into) {
  if (alone.gradients.size() != together.gradients.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < alone.gradients.size(); ++i) {
    std::vector<double> expected = alone.gradients[i].to_vector();
    for (double& value : expected) value = into == Into::held ? value + 1 : 2 * value;
    worst = std::max(worst, worst_error(expected, together.gradients[i].to_vector()));
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
  if (taped.gradients.size() != inputs.size()) check.gradient_error = INFINITY;
  for (size_t k = 0; k < taped.gradients.size(); ++k) {
    std::vector<double> numeric;
    for (int64_t i = 0; i < inputs[k].elements(); ++i)
      numeric.push_back(numeric_derivative(row, inputs, k, i, cotangents));
    check.gradient_error =
        std::max(check.gradient_error, worst_error(taped.gradients[k].to_vector(), numeric));
  }
  for (Into into : {Into::held, Into::twice})
    check.addition_error = std::max(check.addition_error,
                                    addition_error(taped, run_taped(row.op, inputs, cotangents, into), into));
  std::vector<Tensor> singles;
  for (const Tensor& input : inputs) singles.push_back(input.to(DType::f32));
  check.float_error = worst_error(taped, run_taped(row.op, singles, cotangents));
  if (row.twin) check.twin_error = worst_error(taped, run_taped(row.twin, inputs, cotangents));
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
    double& error = dtype == DType::f64 ? check.error : check.float_error;
    for (Into into : {Into::empty, Into::held})
      error = std::max(error, worst_error(run_taped(row.op, here, cotangents, into),
                                          run_taped(row.op, there, cotangents, into)));
  }
  return check;
}

bool passes(const GpuCheck& check) {
  return check.error <= kGpuTolerance && check.float_error <= kGpuFloatTolerance;
}

bool passes(const OpCheck& check) {
  return check.gradient_error <= kGradientTolerance && check.addition_error <= kAdditionTolerance &&
         check.float_error <= kFloatTolerance && check.twin_error <= kTwinTolerance;
}

}  // namespace elbo
