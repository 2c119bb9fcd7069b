// Convolutional VAEs against PyTorch, by name: results and gradients of the networks that tests/goldens holds
// (its script says how they were made).
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/tape.h"
#include "tests/source_file.h"
#include "vae/deep_vae_file.h"

namespace elbo {
namespace {

/// The largest distance, in parts of the largest number, or of `least` if that is larger.
double distance(const Tensor& a, const Tensor& b, double least = 1e-300) {
  REQUIRE(a.elements() == b.elements());
  double worst = 0, largest = least;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double gap = std::abs(a.at(i) - b.at(i));
    worst = gap <= worst ? worst : gap;  // NaN stays
    largest = std::max(largest, std::abs(b.at(i)));
  }
  return worst / largest;
}

/// A gradient or statistic in PyTorch's layout as this network has it: weights are (A, B, KH, KW) there, (A,
/// KH, KW, B) here.
Tensor as_here(const Tensor& x) {
  if (x.rank() != 4) return x;
  const int64_t taps = x.size(2) * x.size(3);
  std::vector<double> turned;
  for (int64_t a = 0; a < x.size(0); ++a)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t b = 0; b < x.size(1); ++b) turned.push_back(x.at((a * x.size(1) + b) * taps + tap));
  return Tensor::from<double>({x.size(0), x.size(2), x.size(3), x.size(1)}, turned);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("convolutional VAEs give PyTorch's results, gradients and running averages, by name") {
    for (const char* network : {"higgins-64", "higgins-32", "higgins-28", "asperti-28"}) {
      CAPTURE(network);
      const std::string path = source_file("tests/goldens/") + network;
      const SafetensorsFile expected = read_safetensors(path + "-expected.safetensors");
      const auto vae = load_deep_vae(read_safetensors(path + ".safetensors"));
      const Tensor x = expected.at("x");
      const auto compare = [&](const std::string& when, Mode mode) {
        const Posterior q = vae->encode(x, mode);
        const Variable output = vae->decode(q.mean, mode).mean;
        CHECK(distance(q.mean.value(), expected.at(when + ".mean")) < 1e-10);
        CHECK(distance(q.log_variance.value(), expected.at(when + ".log_variance")) < 1e-10);
        CHECK(distance(output.value(), expected.at(when + ".output")) < 1e-10);
        return sum(q.mean * expected.at("a")) + sum(q.log_variance * expected.at("b")) +
               sum(output * expected.at("c"));
      };
      compare("evaluate", Mode::evaluate);
      {
        Tape tape;
        tape.backward(compare("train", Mode::train));
      }
      // A bias before batch normalisation has no gradient but what rounding leaves.
      double largest = 0;
      for (const NamedTensor& tensor : expected.tensors)
        if (tensor.name.starts_with("gradient."))
          for (double value : tensor.value.to_vector()) largest = std::max(largest, std::abs(value));
      int64_t gradients = 0, averages = 0;
      for (const Parameter& parameter : vae->parameters().all()) {
        CAPTURE(parameter.name);
        const std::string gradient = "gradient." + parameter.name, average = "after." + parameter.name;
        CHECK(parameter.has_gradient == expected.contains(gradient));
        if (expected.contains(gradient)) {
          ++gradients;
          CHECK(distance(parameter.gradient, as_here(expected.at(gradient)), 1e-3 * largest) < 1e-9);
        }
        if (expected.contains(average)) {
          ++averages;
          CHECK(distance(parameter.value, expected.at(average)) < 1e-10);
        }
      }
      CHECK(static_cast<size_t>(gradients + averages) == expected.tensors.size() - 4 - 6);
      CHECK(gradients >= 20);
      CHECK((averages > 0) == vae->parts().mixes_points);
    }
  }
}

}  // namespace elbo
