// Layers of images: how they start, what batch normalisation keeps, and what does not fit.
#include "nn/image_layers.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/error_of.h"

namespace elbo {
namespace {

ImageLayerPlan plan(bool transposed, int64_t in, int64_t out, int64_t kernel, ConvOptions options) {
  return {.transposed = transposed,
          .in = in,
          .out = out,
          .kernel = kernel,
          .options = options,
          .end = 0,
          .batch_norm = false,
          .activation = Activation::none};
}

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("image layers start with the variances that their initialisers promise, strides and all") {
    // Of a layer with Kaiming's weights the outputs have twice the mean square of the inputs, for ReLU to
    // halve; with Xavier's both directions are balanced.
    constexpr int64_t kIn = 24, kOut = 48, kSide = 16;
    for (const bool transposed : {false, true})
      for (const char* kind : {"kaiming_normal", "xavier_uniform"}) {
        CAPTURE(transposed);
        CAPTURE(kind);
        const ImageLayerPlan layer = plan(transposed, kIn, kOut, 4, {.stride = 2, .padding = 1});
        ParameterStore store(DType::f64);
        const ImageStack stack(store, "net", 0, {kSide, kSide, kIn}, {layer}, parse_initializer(kind));
        store.initialise(4);
        const Tensor x = normal({8, kSide * kSide * kIn}, DType::f64, {.seed = 5, .stream = kTestInput});
        const Tensor y = stack(x, Mode::evaluate).value();
        const ImageSize size = stack.out();
        double total = 0, count = 0;  // away from the padding
        for (int64_t n = 0; n < 8; ++n)
          for (int64_t h = 2; h < size.height - 2; ++h)
            for (int64_t w = 2; w < size.width - 2; ++w)
              for (int64_t c = 0; c < kOut; ++c, ++count)
                total += std::pow(y.at(((n * size.height + h) * size.width + w) * kOut + c), 2);
        // What meets in a pixel of y is kIn channels of 16 weights, of a transposed kernel a quarter of them.
        const double fan_in = kIn * 16 / (transposed ? 4.0 : 1.0),
                     fan_out = kOut * 16 / (transposed ? 1.0 : 4.0);
        const double expected = kind[0] == 'k' ? 2.0 : 2.0 * fan_in / (fan_in + fan_out);
        CHECK(total / count == doctest::Approx(expected).epsilon(0.06));
      }
  }

  TEST_CASE("batch normalisation gives each channel and member mean 0 and variance 1, and remembers both") {
    for (const int64_t members : {0, 2}) {
      ParameterStore store(DType::f64, members);
      const BatchNorm normalize(store, "n", 3);
      store.initialise(1);
      const Tensor x = normal({std::max<int64_t>(members, 1), 50, 4, 3}, DType::f64, {.seed = 2});
      for (int64_t i = 0; i < x.elements(); ++i) {
        double& value = x.data<double>()[i];
        value = value * (1 + static_cast<double>(i % 3)) + 10.0 * static_cast<double>(i / 600);
      }
      const Tensor images = members > 0 ? x.reshape({members, 50, 2, 2, 3}) : x.reshape({50, 2, 2, 3});
      const Tensor y = normalize(images, Mode::train).value();
      for (int64_t m = 0; m < std::max<int64_t>(members, 1); ++m)
        for (int64_t c = 0; c < 3; ++c) {
          double mean = 0, square = 0, x_mean = 0, x_square = 0;
          for (int64_t i = 0; i < 200; ++i) {
            const double value = y.at((m * 200 + i) * 3 + c), from = x.at((m * 200 + i) * 3 + c);
            mean += value / 200;
            square += value * value / 200;
            x_mean += from / 200;
            x_square += from * from / 200;
          }
          CHECK(mean == doctest::Approx(0).scale(1));
          CHECK(square == doctest::Approx(1).epsilon(1e-4));  // but for epsilon
          const double variance = (x_square - x_mean * x_mean) * 200 / 199;
          CHECK(store.at("n.running_mean").value.at(m * 3 + c) == doctest::Approx(0.1 * x_mean));
          CHECK(store.at("n.running_var").value.at(m * 3 + c) == doctest::Approx(0.9 + 0.1 * variance));
        }
    }
  }

  TEST_CASE("layers that do not fit together are told in one line") {
    const auto refusal = [](const ImageSize& in, const std::vector<ImageLayerPlan>& plans) {
      return error_of([&] {
        ParameterStore store;
        const ImageStack stack(store, "net", 0, in, plans, {});
      });
    };
    CHECK(refusal({8, 8, 3}, {plan(false, 4, 2, 3, {})}) ==
          "[image layers] layer 0 of 'net' takes 4 channels, there are 3");
    CHECK(mentions(refusal({2, 2, 3}, {plan(false, 3, 2, 4, {})}), "does not fit into images of 2 x 2"));
    CHECK(
        mentions(refusal({8, 8, 3}, {plan(true, 3, 2, 3, {.output_padding = 1})}), "less than the stride 1"));
  }
}

}  // namespace elbo
