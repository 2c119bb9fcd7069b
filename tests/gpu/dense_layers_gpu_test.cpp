// Small networks in one pass on the GPU (autograd/dense_layers_kernel.cpp), beside one `linear` after another
// there: what the op table's few rows cannot show.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "autograd/trace.h"
#include "tests/autograd/dense_layers.h"

namespace elbo {
namespace {

using namespace dense_layers_tests;

constexpr Device kGpu = Device::cuda;

/// The same numbers on the CPU in f64.
Parameter exact(const Parameter& p) {
  const Tensor value = Tensor::from<double>(p.value.shape(), p.value.to_vector());
  Parameter made{p.name, value, Tensor::zeros(value.shape(), DType::f64)};
  made.trained = p.trained;
  return made;
}

/// In f32 nobody is right to the last digit: the op may be as far from the twin in f64 as the twin itself is,
/// and a few times that, as it adds in another order.
void check_against_twin(Layers& layers, Parameter& x) {
  std::vector<Numbers> fused;
  {
    TapeTrace trace;
    fused = results(dense_layers, layers, x);
    REQUIRE(trace.tapes()[0].ops[0].name == std::string("dense_layers"));
  }
  const std::vector<Numbers> twin = results(dense_layers_twin, layers, x);
  Layers exact_layers = layers;
  for (Parameter& parameter : exact_layers.parameters) parameter = exact(parameter);
  Parameter exact_x = exact(x);
  const std::vector<Numbers> truth = results(dense_layers_twin, exact_layers, exact_x);
  REQUIRE(fused.size() == truth.size());
  for (size_t i = 0; i < fused.size(); ++i) {
    CAPTURE(i);
    CHECK(difference(fused[i], truth[i]) < 4 * std::max(difference(twin[i], truth[i]), 5e-7));
  }
}

}  // namespace

TEST_SUITE("gpu") {
  TEST_CASE("dense layers: one row, rows of many blocks, and layers as wide as they may be, as the twin") {
    struct Case {
      std::vector<int64_t> widths;
      int64_t rows;
    };
    for (const Case& c : {Case{{1, 1, 1, 1, 1}, 1}, Case{{3, 20, 33, 5, 2}, 48},
                          Case{{10, 50, 50, 2, 2}, 1111}, Case{{64, 63, 64, 32, 32}, 100}})
      for (const int64_t members : {0, 3}) {
        CAPTURE(c.rows);
        CAPTURE(members);
        Layers layers(c.widths, kActivations, members, DType::f32, kGpu);
        const Shape rows{c.rows, c.widths[0]};
        Parameter x = input(members > 0 ? Shape{members}.concatenated(rows) : rows, DType::f32, 1, kGpu);
        check_against_twin(layers, x);
        if (members == 0) continue;
        Parameter shared = input(rows, DType::f32, 1, kGpu);  // by all members
        check_against_twin(layers, shared);
      }
  }

  TEST_CASE("dense layers: parts of several blocks of rows, as the twin") {
    Layers layers({2, 8, 4, 2, 1}, kActivations, 0, DType::f32, kGpu);
    Parameter x = input({256 * 48 + 1000, 2}, DType::f32, 1, kGpu);
    check_against_twin(layers, x);
  }

  TEST_CASE("dense layers: heads alone, as the twin") {
    Layers layers({3, 5, 2}, {Activation::tanh, Activation::none}, 0, DType::f32, kGpu);
    Parameter x = input({70, 3}, DType::f32, 1, kGpu);
    check_against_twin(layers, x);
  }

  TEST_CASE("dense layers: wider ones, and f64, are left to the twin") {
    for (const auto& [width, dtype] : {std::pair<int64_t, DType>{65, DType::f32}, {8, DType::f64}}) {
      Layers layers({3, width, 8, 2, 2}, kActivations, 0, dtype, kGpu);
      Parameter x = input({10, 3}, dtype, 1, kGpu);
      TapeTrace trace;
      results(dense_layers, layers, x);
      CHECK(trace.tapes()[0].ops[0].name == std::string("linear"));
    }
  }

  TEST_CASE("dense layers: what is given has no gradient, and what is used twice the sum of both") {
    Layers layers({3, 4, 4, 4, 4}, kActivations, 0, DType::f32, kGpu);
    Parameter x = input({50, 3}, DType::f32, 1, kGpu);
    for (const size_t held : {0u, 1u, 2u, 5u}) layers.parameters[held].trained = false;
    x.trained = false;
    check_against_twin(layers, x);
    CHECK(layers.parameters[0].gradient.at(0) == 7);  // untouched

    Layers shared({4, 4, 4, 4, 4}, kActivations, 0, DType::f32, kGpu);
    const auto gradient_of_shared = [&](Op op) {
      std::vector<DenseLayer> all = shared.all();
      for (DenseLayer& layer : all) layer.weight = shared.parameters[0];
      Tape tape;
      const KeptVector<Variable> y = op(input({50, 4}, DType::f32, 1, kGpu).value, all, 2);
      tape.backward(sum(square(y[0])) + sum(square(y[1])));
      for (Parameter& parameter : shared.parameters) parameter.has_gradient = false;
      return shared.parameters[0].gradient.to_vector();
    };
    CHECK(difference(gradient_of_shared(dense_layers), gradient_of_shared(dense_layers_twin)) < 5e-6);
  }

  TEST_CASE("dense layers: a member's bits are those that it has alone, beside one that broke") {
    constexpr int64_t kMembers = 3, kRows = 700;
    Layers together(kWidths, kActivations, kMembers, DType::f32, kGpu);
    Parameter x = input({kMembers, kRows, 3}, DType::f32, kMembers, kGpu);
    together.parameters[2].value.slice(1).fill(NAN);
    const std::vector<Numbers> of_all = results(dense_layers, together, x);
    Layers alone(kWidths, kActivations, 1, DType::f32, kGpu);
    for (const int64_t m : {0, 2}) {
      CAPTURE(m);
      for (size_t i = 0; i < alone.parameters.size(); ++i)
        alone.parameters[i].value.copy_from(together.parameters[i].value.slice(m, m + 1));
      Parameter own{"x", x.value.slice(m, m + 1), Tensor::empty({1, kRows, 3}, DType::f32, kGpu)};
      Tape tape;
      const KeptVector<Variable> outputs = dense_layers(own, alone.all(), 2);
      // The cotangents of the ensemble's member.
      Variable total = Tensor::zeros({}, DType::f32, kGpu);
      for (size_t h = 0; h < 2; ++h) {
        const Tensor all = normal(Shape{kMembers, kRows, outputs[h].size(-1)}, DType::f32, {.seed = h + 1});
        total = total + sum(outputs[h] * Variable(all.slice(m, m + 1).to(kGpu)));
      }
      tape.backward(total);
      std::vector<Numbers> found{outputs[0].value().to_vector(), outputs[1].value().to_vector(),
                                 own.gradient.to_vector()};
      for (Parameter& parameter : alone.parameters) {
        found.push_back(parameter.gradient.to_vector());
        parameter.has_gradient = false;
      }
      for (size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        const auto first = static_cast<long>(static_cast<size_t>(m) * found[i].size());
        CHECK(std::equal(found[i].begin(), found[i].end(), of_all[i].begin() + first));
      }
    }
    for (size_t i = 0; i < 3; ++i)
      CHECK(std::isnan(of_all[i][of_all[i].size() / 2]));  // of the member that broke
  }
}

}  // namespace elbo
