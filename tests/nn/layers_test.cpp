// Layers: what they compute, what they name their parameters, and that networks made of them learn.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/tape.h"
#include "nn/layers.h"
#include "nn/optimizer.h"
#include "tests/error_of.h"
#include "tests/thread_count.h"

using namespace elbo;

namespace {

constexpr Initializer kXavier{Initializer::Kind::xavier_uniform, 0};

std::vector<std::string> names(const ParameterStore& store) {
  std::vector<std::string> result;
  for (const Parameter& parameter : store.all()) result.push_back(parameter.name);
  return result;
}

/// A network with one hidden layer, and one step of its training on a mean squared error per member.
struct Network {
  ParameterStore store;
  Sequential layers;

  explicit Network(int64_t members)
      : store(DType::f32, members), layers(store, "net", {3, 5, 2}, Activation::tanh, kXavier) {
    store.initialise(4);
  }
  void step(Adam& adam, const Tensor& x, const Tensor& y, std::span<const double> rates) {
    Tape tape;
    tape.backward(sum(mean(square(layers(x) - Variable(y)), {-2, -1})));
    adam.step(rates);
  }
};

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("a layer is activation(x W^T + b), and its bias starts at 0") {
    ParameterStore store(DType::f64);
    const Linear layer(store, "layer", 3, 2, kXavier, Activation::sigmoid);
    store.initialise(1);
    CHECK(names(store) == std::vector<std::string>{"layer.weight", "layer.bias"});
    const Tensor w = store.at("layer.weight").value, b = store.at("layer.bias").value;
    CHECK(w.shape() == Shape{2, 3});
    CHECK(b.to_vector() == std::vector<double>{0, 0});
    b.copy_from(Tensor::from<double>({2}, {0.3, -0.7}));
    const Tensor x = normal({4, 3}, DType::f64, {.seed = 1, .stream = kTestInput});
    const Tensor y = layer(x).value();
    REQUIRE(y.shape() == Shape{4, 2});
    for (int64_t n = 0; n < 4; ++n) {
      for (int64_t o = 0; o < 2; ++o) {
        double sum = b.at(o);
        for (int64_t i = 0; i < 3; ++i) sum += x.at(n * 3 + i) * w.at(o * 3 + i);
        CHECK(y.at(n * 2 + o) == doctest::Approx(1 / (1 + std::exp(-sum))).epsilon(1e-12));
      }
    }
  }

  TEST_CASE("a sequence numbers its layers and activates all but the last, or all on request") {
    const Tensor x = normal({6, 3}, DType::f64, {.seed = 2, .stream = kTestInput});
    for (bool activate_last : {false, true}) {
      ParameterStore store(DType::f64);
      const Sequential net(store, "net", {3, 5, 4, 2}, Activation::tanh, kXavier, activate_last);
      store.initialise(1);
      CHECK(names(store) == std::vector<std::string>{"net.0.weight", "net.0.bias", "net.1.weight",
                                                     "net.1.bias", "net.2.weight", "net.2.bias"});
      const auto layer = [&](const Variable& in, const std::string& index) {
        return matmul_nt(in, store.at("net." + index + ".weight").value) +
               store.at("net." + index + ".bias").value;
      };
      Variable expected = layer(tanh(layer(tanh(layer(x, "0")), "1")), "2");
      if (activate_last) expected = tanh(expected);
      const Tensor y = net(x).value();
      REQUIRE(y.shape() == Shape{6, 2});
      for (int64_t i = 0; i < y.elements(); ++i)
        CHECK(y.at(i) == doctest::Approx(expected.value().at(i)).epsilon(1e-12));
    }
  }

  TEST_CASE("layers of a sequence may differ in their activations, and a layer need not have a bias") {
    const Tensor x = normal({2, 6, 3}, DType::f64, {.seed = 2, .stream = kTestInput});
    ParameterStore store(DType::f64, 2);
    const std::vector<LayerPlan> plans{
        {.out = 5, .activation = Activation::cbrt},
        {.out = 4, .activation = Activation::sigmoid, .bias = Linear::Bias::none},
        {.out = 2}};
    const Sequential net(store, "net", 3, plans, kXavier);
    store.initialise(1);
    CHECK(names(store) == std::vector<std::string>{"net.0.weight", "net.0.bias", "net.1.weight",
                                                   "net.2.weight", "net.2.bias"});
    for (const char* bias : {"net.0.bias", "net.2.bias"})
      store.at(bias).value.copy_from(normal(store.at(bias).value.shape(), DType::f64, {.seed = 3}));
    const Tensor y = net(x).value();
    REQUIRE(y.shape() == Shape{2, 6, 2});
    for (int64_t m = 0; m < 2; ++m) {
      const auto own = [&](const char* name) { return Variable(store.at(name).value.slice(m)); };
      const Variable first = cbrt(matmul_nt(x.slice(m), own("net.0.weight")) + own("net.0.bias"));
      const Variable second = sigmoid(matmul_nt(first, own("net.1.weight")));
      const Variable expected = matmul_nt(second, own("net.2.weight")) + own("net.2.bias");
      for (int64_t i = 0; i < 12; ++i)
        CHECK(y.slice(m).at(i) == doctest::Approx(expected.value().at(i)).epsilon(1e-12));
    }
    Tape tape;
    tape.backward(sum(net(x)));
    for (const Parameter& parameter : store.all()) CHECK(parameter.has_gradient);
  }

  TEST_CASE("a small network learns exclusive or") {
    ParameterStore store;
    const Sequential net(store, "net", {2, 8, 1}, Activation::tanh, kXavier);
    store.initialise(2);
    Adam adam(store);
    const Tensor x = Tensor::from<float>({4, 2}, {0, 0, 0, 1, 1, 0, 1, 1}),
                 y = Tensor::from<float>({4, 1}, {0, 1, 1, 0});
    double first = 0, last = 0;
    for (int step = 0; step < 600; ++step) {
      Tape tape;
      const Variable loss = mean(square(net(x) - Variable(y)));
      (step == 0 ? first : last) = loss.item();
      tape.backward(loss);
      adam.step(0.03);
    }
    CHECK(first > 0.1);
    CHECK(last < 1e-5);
  }

  TEST_CASE("SGD with momentum fits a linear map exactly") {
    ParameterStore store(DType::f64);
    const Linear layer(store, "layer", 3, 2, kXavier);
    store.initialise(2);
    Sgd sgd(store, 0.9);
    const Tensor x = normal({50, 3}, DType::f64, {.seed = 3, .stream = kTestInput});
    const Tensor truth = normal({2, 3}, DType::f64, {.seed = 4, .stream = kTestInput});
    const Tensor y = (matmul_nt(x, truth) + 0.25).value();
    for (int step = 0; step < 400; ++step) {
      Tape tape;
      tape.backward(mean(square(layer(x) - Variable(y))));
      sgd.step(0.1);
    }
    for (int64_t i = 0; i < 6; ++i)
      CHECK(store.at("layer.weight").value.at(i) == doctest::Approx(truth.at(i)));
    for (int64_t i = 0; i < 2; ++i) CHECK(store.at("layer.bias").value.at(i) == doctest::Approx(0.25));
  }

  TEST_CASE("a member of an ensemble trains as it would alone, on another number of threads, bit for bit") {
    const ThreadCount two(2);
    const Tensor x = normal({17, 3}, DType::f32, {.seed = 5, .stream = kTestInput});
    const Tensor y = normal({17, 2}, DType::f32, {.seed = 6, .stream = kTestInput});
    const double rates[] = {0.1, 0.01, 0.003};
    Network together(3);
    std::vector<std::vector<Tensor>> start(3);
    for (size_t m = 0; m < 3; ++m)
      for (const Parameter& parameter : together.store.all())
        start[m].push_back(parameter.value.slice(static_cast<int64_t>(m)).clone());
    Adam adam(together.store);
    for (int step = 0; step < 30; ++step) together.step(adam, x, y, rates);
    const ThreadCount one(1);
    for (size_t m = 0; m < 3; ++m) {
      Network alone(0);
      for (size_t p = 0; p < start[m].size(); ++p) alone.store.all()[p].value.copy_from(start[m][p]);
      Adam own(alone.store);
      for (int step = 0; step < 30; ++step) alone.step(own, x, y, {&rates[m], 1});
      for (size_t p = 0; p < start[m].size(); ++p) {
        CAPTURE(m);
        CAPTURE(alone.store.all()[p].name);
        const std::vector<double> value = alone.store.all()[p].value.to_vector();
        CHECK(value == together.store.all()[p].value.slice(static_cast<int64_t>(m)).to_vector());
        CHECK(value != start[m][p].to_vector());
      }
    }
  }

  TEST_CASE("impossible layers are told in one line") {
    ParameterStore store;
    CHECK(error_of([&] { Linear(store, "head", 0, 2, kXavier); }) ==
          "[linear] layer 'head' cannot map 0 inputs to 2 outputs");
    CHECK(mentions(error_of([&] { Linear(store, "head", 3, -1, kXavier); }), "'head'"));
    CHECK(error_of([&] { Sequential(store, "net", {}, Activation::relu, kXavier); }) ==
          "[sequential] 'net' needs the width of its input");
    const Linear early(store, "early", 3, 2, kXavier);
    CHECK(mentions(error_of([&] { early(Tensor::zeros({4, 3})); }), "[linear]"));  // before initialise
    store.initialise(1);
    CHECK(error_of([&] {
            early(Tensor::zeros({4, 5}));
          }) == "[linear] x (4, 5) does not end in the weight's input size 3");
  }
}
