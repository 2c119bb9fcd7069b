// The list of activations: names and formulas belong to the values; and what layers do with NaN.
#include "autograd/activation.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>

namespace elbo {
namespace {

struct Known {
  Activation activation;
  const char* name;
  double at_minus_half;
};

const std::array<Known, kActivations> kKnown{{{Activation::none, "none", -0.5},
                                              {Activation::relu, "relu", 0},
                                              {Activation::leaky_relu, "leaky_relu", -0.005},
                                              {Activation::elu, "elu", std::expm1(-0.5)},
                                              {Activation::softplus, "softplus", std::log1p(std::exp(-0.5))},
                                              {Activation::sigmoid, "sigmoid", 1 / (1 + std::exp(0.5))},
                                              {Activation::tanh, "tanh", std::tanh(-0.5)},
                                              {Activation::cbrt, "cbrt", -std::cbrt(0.5)},
                                              {Activation::cube, "cube", -0.125}}};

}  // namespace

TEST_SUITE("autograd") {
  TEST_CASE("every activation has its own name and formula") {
    for (const Known& known : kKnown) {
      CAPTURE(known.name);
      CHECK(std::string(name(known.activation)) == known.name);
      CHECK(parse_activation(known.name) == known.activation);
      const Tensor x = Tensor::full({3}, -0.5, DType::f64);
      CHECK(activate(known.activation, x).value().at(1) ==
            doctest::Approx(known.at_minus_half).epsilon(1e-14));
    }
  }

  TEST_CASE("NaN goes through every layer with every activation, and stays in its row, image or channel") {
    const double nan = std::nan("");
    for (const Known& known : kKnown)
      for (const DType dtype : {DType::f32, DType::f64}) {
        CAPTURE(known.name);
        const Tensor rows = Tensor::full({5, 4}, -1, dtype), weight = Tensor::full({6, 4}, 0.5, dtype);
        const Tensor bias = Tensor::zeros({6}, dtype);
        rows.slice(2).fill(nan);
        bias.slice(1, 2).fill(nan);
        const Tensor y = linear(rows, weight, bias, known.activation).value();
        for (int64_t i = 0; i < y.elements(); ++i) CHECK(std::isnan(y.at(i)) == (i / 6 == 2 || i % 6 == 1));

        const Tensor images = Tensor::full({2, 6, 6, 3}, 1, dtype),
                     kernel = Tensor::full({6, 4, 4, 3}, -0.5, dtype);
        images.slice(1).fill(nan);
        const ConvOptions halving{.stride = 2, .padding = 1};
        const Tensor small = conv2d(images, kernel, bias, halving, known.activation).value();
        for (int64_t i = 0; i < small.elements(); ++i)
          CHECK(std::isnan(small.at(i)) == (i >= small.elements() / 2 || i % 6 == 1));

        const Tensor of_three = Tensor::zeros({3}, dtype), ones = Tensor::full(small.shape(), 1, dtype);
        of_three.slice(2, 3).fill(nan);
        const Tensor large = conv_transpose2d(ones, kernel, of_three, halving, known.activation).value();
        for (int64_t i = 0; i < large.elements(); ++i) CHECK(std::isnan(large.at(i)) == (i % 3 == 2));
      }
  }
}

}  // namespace elbo
