// Two hidden layers and two heads, and all that `dense_layers` or its twin gives of them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/random.h"

namespace elbo::dense_layers_tests {

using Numbers = std::vector<double>;

/// Two hidden layers and two heads, with gradients that hold nothing yet.
struct Layers {
  std::vector<Parameter> parameters;
  std::vector<Activation> activations;
  int64_t heads = 2;

  Layers(const std::vector<int64_t>& widths, std::vector<Activation> each, int64_t members, DType dtype,
         Device device = Device::cpu)
      : activations(std::move(each)) {
    for (size_t l = 0; l < activations.size(); ++l) {
      const bool is_head = l + 2 >= activations.size();
      const int64_t in = widths[is_head ? activations.size() - 2 : l], out = widths[l + 1];
      for (const Shape& own : {Shape{out, in}, Shape{out}}) {
        const Shape shape = members > 0 ? Shape{members}.concatenated(own) : own;
        // A member draws what it draws alone, of a size that lets rounding grow little from layer to layer.
        const Variable value = Variable(normal(shape, dtype, {.seed = 3, .step = parameters.size()},
                                               std::max<int64_t>(members, 1))) *
                               (1 / std::sqrt(static_cast<double>(in)));
        parameters.push_back({"layer", value.value().to(device), Tensor::full(shape, 7, dtype).to(device)});
      }
    }
  }

  std::vector<DenseLayer> all() {
    std::vector<DenseLayer> layers;
    for (size_t l = 0; l < activations.size(); ++l)
      layers.push_back({parameters[2 * l], parameters[2 * l + 1], activations[l]});
    return layers;
  }
};

using Op = KeptVector<Variable> (*)(const Variable&, std::span<const DenseLayer>, int64_t);

/// The outputs, then the gradients of x and of all parameters that are trained.
inline std::vector<Numbers> results(Op op, Layers& layers, Parameter& x) {
  Tape tape;
  const KeptVector<Variable> outputs = op(x, layers.all(), layers.heads);
  const Device device = x.value.device();
  Variable total = Tensor::zeros({}, x.value.dtype(), device);
  std::vector<Numbers> found;
  for (const Variable& output : outputs) {
    found.push_back(output.value().to_vector());
    const Tensor cotangent = normal(output.shape(), x.value.dtype(), {.seed = found.size()});
    total = total + sum(output * Variable(cotangent.to(device)));
  }
  tape.backward(total);
  const auto take = [&](Parameter& parameter) {
    CHECK(parameter.has_gradient == parameter.trained);
    if (parameter.trained) found.push_back(parameter.gradient.to_vector());
    parameter.has_gradient = false;
  };
  take(x);
  for (Parameter& parameter : layers.parameters) take(parameter);
  return found;
}

inline const std::vector<int64_t> kWidths{3, 20, 33, 5, 2};
inline const std::vector<Activation> kActivations{Activation::relu, Activation::tanh, Activation::none,
                                                  Activation::softplus};

inline Parameter input(const Shape& shape, DType dtype, int64_t members = 1, Device device = Device::cpu) {
  return {"x", normal(shape, dtype, {.seed = 8}, members).to(device),
          Tensor::full(shape, 7, dtype).to(device)};
}

/// The largest difference, as a share of the largest number; infinity where one is none.
inline double difference(const Numbers& a, const Numbers& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) return INFINITY;
    largest = std::max({largest, std::abs(a[i]), std::abs(b[i])});
    worst = std::max(worst, std::abs(a[i] - b[i]));
  }
  return largest > 0 ? worst / largest : 0;
}

}  // namespace elbo::dense_layers_tests
