// What Asperti's tables say as typed in: numbers that the paper gives of them in its text, and sums that a
// slip of a digit would change.
#include "apps/asperti/tables.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "vae/asperti_models.h"

using namespace elbo::asperti;

TEST_SUITE("apps") {
  TEST_CASE("Asperti's Table 1: eight of sixteen units have collapsed, and every sum is near 1") {
    REQUIRE(paper_units().size() == 16);
    int inactive = 0, unit = 0;
    double low = 2, high = 0, kl = 0;
    for (const PaperUnit& own : paper_units()) {
      CHECK(own.unit == unit++);
      const double sum = own.variance + own.mean_variance;
      low = std::min(low, sum);
      high = std::max(high, sum);
      kl += least_kl(own);
      if (own.variance < 0.5) ++inactive;
      // "their variance is very low", "around 1 for each X"; of the others it is "a small value".
      CHECK((own.variance < 0.5 ? own.variance < 2e-4 && own.mean_variance > 0.96
                                : own.variance > 0.94 && own.mean_variance < 0.06));
    }
    CHECK(inactive == kPaperInactive);
    CHECK(low == doctest::Approx(0.96051733).epsilon(1e-9));    // unit 14
    CHECK(high == doctest::Approx(1.033043678).epsilon(1e-9));  // unit 15
    CHECK(kl == doctest::Approx(15.8).epsilon(0.01));
    CHECK(least_kl({0, 0, 1}) == 0);
    CHECK(least_kl({0, 1, std::exp(-2.0)}) == doctest::Approx(1 + std::exp(-2.0) / 2));
  }

  TEST_CASE("Asperti's Fig 4: each layer's parameters follow from the channels and a kernel of its size") {
    REQUIRE(paper_layers().size() == 19);
    int64_t channels = 0, total = 0;
    for (size_t i = 0; i < paper_layers().size(); ++i) {
      const PaperLayer& layer = paper_layers()[i];
      CAPTURE(i);
      const std::string type = layer.type;
      total += layer.parameters;
      if (type == "InputLayer" || type == "RELU") CHECK(layer.parameters == 0);
      if (type == "BatchNormalization") CHECK(layer.parameters == 4 * layer.channels);
      if (type.starts_with("conv2d")) {
        // What it calls 3x3 from 2x2 pixels on has the parameters of 2x2.
        const int64_t kernel = type == "conv2d 1x1" ? 1 : layer.side <= 2 ? 2 : 3;
        CHECK(layer.parameters == (channels * kernel * kernel + 1) * layer.channels);
      }
      if (i < 17) channels = layer.channels;  // both heads see what is before them
    }
    CHECK(total == 46432);
  }

  TEST_CASE("Asperti's Fig 4: the convolutional network has its layers, each with its number of parameters") {
    const auto vae = elbo::asperti_vae({.dimensions = 784, .conv = elbo::ImageSize{28, 28, 1}}, 1);
    std::vector<int64_t> counts, expected;
    std::string layer;
    for (const elbo::Parameter& parameter : vae->parameters().all()) {
      if (!parameter.name.starts_with("encoder.")) continue;
      const std::string own = parameter.name.substr(0, parameter.name.rfind('.'));
      if (own != layer) counts.push_back(0);
      layer = own;
      counts.back() += parameter.value.elements();
    }
    for (const PaperLayer& paper : paper_layers())
      if (paper.parameters > 0) expected.push_back(paper.parameters);
    CHECK(counts == expected);
  }
}
