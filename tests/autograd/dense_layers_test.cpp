// Small networks in one pass, beside one `linear` after another: what the op table's few rows cannot show.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/random.h"
#include "tests/autograd/dense_layers.h"
#include "tests/thread_count.h"

using namespace elbo;
using namespace elbo::dense_layers_tests;

TEST_SUITE("autograd") {
  TEST_CASE("dense layers: more rows than a part has, in f32 and f64, as the twin") {
    for (const DType dtype : {DType::f32, DType::f64})
      for (const int64_t members : {0, 3}) {
        CAPTURE(name(dtype));
        CAPTURE(members);
        Layers layers(kWidths, kActivations, members, dtype);
        Parameter x = input(members > 0 ? Shape{members, 2, 1111, 3} : Shape{2, 1111, 3}, dtype);
        const std::vector<Numbers> fused = results(dense_layers, layers, x),
                                   twin = results(dense_layers_twin, layers, x);
        REQUIRE(fused.size() == twin.size());
        for (size_t i = 0; i < fused.size(); ++i) {
          CAPTURE(i);
          CHECK(difference(fused[i], twin[i]) < (dtype == DType::f32 ? 2e-6 : 1e-14));
        }
      }
  }

  TEST_CASE("dense layers: the same bits with any number of threads") {
    for (const int64_t members : {0, 3}) {
      Layers layers(kWidths, kActivations, members, DType::f32);
      Parameter x = input(members > 0 ? Shape{members, 1500, 3} : Shape{4000, 3}, DType::f32);
      std::vector<Numbers> expected;
      for (const int count : {1, 2, 3, 4, 5}) {
        const ThreadCount use(count);
        const std::vector<Numbers> found = results(dense_layers, layers, x);
        if (count == 1) expected = found;
        CAPTURE(count);
        CHECK(found == expected);
      }
    }
  }

  TEST_CASE("dense layers: a member's bits are those that it has alone, beside one that broke") {
    constexpr int64_t kMembers = 3, kRows = 700;
    Layers together(kWidths, kActivations, kMembers, DType::f32);
    Parameter x = input({kMembers, kRows, 3}, DType::f32, kMembers);
    together.parameters[2].value.slice(1).fill(NAN);
    const std::vector<Numbers> of_all = results(dense_layers, together, x);
    for (int64_t m = 0; m < kMembers; ++m) {
      Layers alone(kWidths, kActivations, 0, DType::f32);
      for (size_t i = 0; i < alone.parameters.size(); ++i)
        alone.parameters[i].value.copy_from(together.parameters[i].value.slice(m));
      Parameter own{"x", x.value.slice(m), Tensor::empty({kRows, 3})};
      Tape tape;
      const KeptVector<Variable> outputs = dense_layers(own, alone.all(), 2);
      // The cotangents of the ensemble's member.
      Variable total = Tensor::zeros({});
      for (size_t h = 0; h < 2; ++h) {
        const Tensor all = normal(Shape{kMembers, kRows, outputs[h].size(-1)}, DType::f32, {.seed = h + 1});
        total = total + sum(outputs[h] * Variable(all.slice(m)));
      }
      tape.backward(total);
      std::vector<Numbers> found{outputs[0].value().to_vector(), outputs[1].value().to_vector(),
                                 own.gradient.to_vector()};
      for (const Parameter& parameter : alone.parameters) found.push_back(parameter.gradient.to_vector());
      REQUIRE(found.size() == of_all.size());
      for (size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        CAPTURE(m);
        const size_t size = found[i].size(), first = static_cast<size_t>(m) * size;
        if (m != 1) {
          CHECK(std::equal(found[i].begin(), found[i].end(), of_all[i].begin() + static_cast<long>(first)));
        } else if (i < 3) {  // what the broken member gives is not a number, every one
          CHECK(std::all_of(of_all[i].begin() + static_cast<long>(first),
                            of_all[i].begin() + static_cast<long>(first + size),
                            [](double value) { return std::isnan(value); }));
        }
      }
    }
  }

  TEST_CASE("dense layers: what is given has no gradient, and what is used twice the sum of both") {
    Layers layers({3, 4, 4, 4, 4}, kActivations, 0, DType::f64);
    Parameter x = input({50, 3}, DType::f64);
    for (const size_t held : {0u, 1u, 2u, 5u}) layers.parameters[held].trained = false;
    x.trained = false;
    const std::vector<Numbers> some = results(dense_layers, layers, x);
    CHECK(some.size() == 2 + 4);
    const std::vector<Numbers> of_twin = results(dense_layers_twin, layers, x);
    for (size_t i = 0; i < some.size(); ++i) CHECK(difference(some[i], of_twin[i]) < 1e-14);
    CHECK(layers.parameters[0].gradient.at(0) == 7);  // untouched

    Layers shared({4, 4, 4, 4, 4}, kActivations, 0, DType::f64);
    const auto gradient_of_shared = [&](Op op) {
      std::vector<DenseLayer> all = shared.all();
      for (DenseLayer& layer : all) layer.weight = shared.parameters[0];
      Tape tape;
      const KeptVector<Variable> y = op(input({50, 4}, DType::f64).value, all, 2);
      tape.backward(sum(square(y[0])) + sum(square(y[1])));
      for (Parameter& parameter : shared.parameters) parameter.has_gradient = false;
      return shared.parameters[0].gradient.to_vector();
    };
    CHECK(difference(gradient_of_shared(dense_layers), gradient_of_shared(dense_layers_twin)) < 1e-14);
  }

  TEST_CASE("dense layers: what does not fit is refused as linear refuses it") {
    Layers layers(kWidths, kActivations, 0, DType::f32);
    const Variable x = Tensor::zeros({4, 2});
    CHECK_THROWS_WITH(dense_layers(x, layers.all(), 2),
                      "[linear] x (4, 2) does not end in the weight's input size 3");
    CHECK_THROWS_WITH(dense_layers(x, layers.all(), 5), "[dense_layers] 5 heads of 4 layers");
    CHECK(dense_layers(x, {}).front().shape() == x.shape());
    CHECK(dense_layers(Variable(Tensor::zeros({0, 3})), layers.all(), 2)[1].shape() == Shape{0, 2});
  }
}
