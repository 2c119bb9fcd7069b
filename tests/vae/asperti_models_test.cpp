// The VAEs of Asperti 2019: their sizes as the paper has them, how they begin, and their loss against plain
// loops.
#include "vae/asperti_models.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "autograd/tape.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"

namespace elbo {
namespace {

/// Numbers in all parameters whose names begin so, trained or not.
int64_t count_of(Vae& vae, const std::string& beginning) {
  int64_t count = 0;
  for (const Parameter& parameter : vae.parameters().all())
    if (parameter.name.starts_with(beginning)) count += parameter.value.elements();
  return count;
}

AspertiOptions small(int64_t members = 0) {
  return {
      .dimensions = 6, .latent = 3, .hidden = {5, 4}, .lambda = 0.4, .dtype = DType::f64, .members = members};
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("Asperti's dense networks have the paper's sizes, and begin by Glorot's rule with biases of 0") {
    const auto vae = asperti_vae({.dimensions = 784}, 1);
    CHECK(count_of(*vae, "encoder.") == 220544);
    CHECK(count_of(*vae, "decoder.") == 220784);
    CHECK(vae->parameters().count() == 220544 + 220784);  // sigma^2 is held
    const std::map<std::string, std::pair<int64_t, int64_t>> layers{
        {"encoder.0", {784, 256}},  {"encoder.1", {256, 64}},           {"encoder.2", {64, 32}},
        {"encoder.mean", {32, 16}}, {"encoder.log_variance", {32, 16}}, {"decoder.0", {16, 32}},
        {"decoder.1", {32, 64}},    {"decoder.2", {64, 256}},           {"decoder.3", {256, 784}}};
    for (const auto& layer : layers) {
      const auto& [name, size] = layer;
      CAPTURE(layer.first);
      const Tensor weight = vae->parameters().at(name + ".weight").value;
      CHECK(weight.shape() == Shape{size.second, size.first});
      const double bound = std::sqrt(6.0 / static_cast<double>(size.first + size.second));
      double largest = 0;
      for (const double value : weight.to_vector()) largest = std::max(largest, std::abs(value));
      CHECK(largest <= bound * (1 + 1e-6));
      CHECK(largest > 0.95 * bound);
      for (const double value : vae->parameters().at(name + ".bias").value.to_vector()) CHECK(value == 0);
    }
    CHECK(asperti_vae({.dimensions = 784, .latent = 2, .hidden = {256, 64, 16}}, 1)->parameters().count() ==
          2 * (784 * 256 + 256 * 64 + 64 * 16) + 3 * 16 * 2 + 784 + 2 * (256 + 64 + 16) + 2 * 2);
    const Variable output = vae->decode(draw({7, 16}, 1, DType::f32)).mean;
    for (const double value : output.value().to_vector()) CHECK((value > 0 && value < 1));
  }

  TEST_CASE("Asperti's convolutional network has the paper's size, and pictures in 0..1") {
    const auto vae = asperti_vae({.dimensions = 784, .conv = ImageSize{28, 28, 1}}, 1);
    CHECK(count_of(*vae, "encoder.") == 46432);
    const Variable output = vae->decode(draw({2, 16}, 1, DType::f32)).mean;
    CHECK(output.shape() == Shape{2, 784});
    for (const double value : output.value().to_vector()) CHECK((value > 0 && value < 1));
    CHECK(error_of([] {
            asperti_vae({.dimensions = 100, .conv = ImageSize{10, 10, 1}}, 1);
          }) == "[network] asperti is for images of 28 x 28 pixels, these have 10 x 10 with 1 channels");
    CHECK(error_of([] {
            asperti_vae({.dimensions = 100, .conv = ImageSize{28, 28, 1}}, 1);
          }) == "[asperti vae] images of 784 numbers do not have 100 dimensions");
  }

  TEST_CASE("Asperti's loss is (|x - mean|^2 + lambda KL) / lambda but for a constant, and its parts") {
    const Tensor x = uniform({9, 6}, DType::f64, {.seed = 4, .stream = kTestInput});
    const RandomKey key{.seed = 8, .stream = kLatentNoise};
    for (const int64_t members : {0, 2}) {
      const auto vae = asperti_vae(small(members), 3);
      for (Parameter* parameter : vae->parameters().trained())
        if (parameter->name.ends_with("bias"))
          fill_normal(parameter->value, {.seed = 2, .stream = kTestInput});
      const Posterior q = vae->encode(x);
      const Tensor z = vae->draw(q, key).z.value(), picture = vae->decode(z).mean.value(),
                   mu = q.mean.value(), log_variance = q.log_variance.value();
      const double constant = 3 * std::log(2 * std::acos(-1.0) * 0.2);  // D/2 ln 2 pi lambda/2
      for (int64_t m = 0; m < vae->models(); ++m) {
        double error = 0, kl = 0, squares = 0;
        for (int64_t i = 0; i < 9 * 6; ++i) error += std::pow(x.at(i) - picture.at(m * 54 + i), 2) / 9;
        for (int64_t i = m * 27; i < (m + 1) * 27; ++i) {
          squares += mu.at(i) * mu.at(i) / 9;
          kl += 0.5 * (mu.at(i) * mu.at(i) + std::exp(log_variance.at(i)) - 1 - log_variance.at(i)) / 9;
        }
        const std::pair<KlPart, double> parts[] = {
            {KlPart::whole, kl}, {KlPart::mean, squares / 2}, {KlPart::none, 0.0}};
        for (const auto& [part, penalty] : parts) {
          const Loss loss = asperti_loss(*vae, part);
          const LossTerms terms = differentiate(loss, x, {}, key);
          vae->parameters().consume_gradients();
          CHECK(close(terms.cost.at(m) - constant, error / 0.4 + penalty, 1e-12));
          CHECK(close(terms.probes[1].at(m), kl, 1e-12));
          CHECK(loss.probes[0] == std::string(kExpectedLogLikelihood));
        }
      }
    }
    CHECK(error_of([] { asperti_vae({.dimensions = 6, .lambda = 0}, 1); }) ==
          "[asperti vae] lambda must be positive, got 0");
    CHECK(error_of([] { asperti_vae({.dimensions = 0}, 1); }) ==
          "[asperti vae] dimensions and latent dimension must be positive, got 0 and 16");
  }

  TEST_CASE("without the KL, or with its mean's part, no gradient asks for variance") {
    // A decoder that does not look at z: then only the penalty reaches the encoder.
    const auto vae = asperti_vae(small(), 3);
    vae->parameters().at("decoder.0.weight").value.fill(0);
    const Tensor x = uniform({9, 6}, DType::f64, {.seed = 4, .stream = kTestInput});
    for (const KlPart part : {KlPart::none, KlPart::mean, KlPart::whole}) {
      differentiate(asperti_loss(*vae, part), x, {}, {.seed = 1, .stream = kLatentNoise});
      vae->parameters().complete_gradients();
      double of_mean = 0, of_variance = 0;
      for (const double g : vae->parameters().at("encoder.mean.bias").gradient.to_vector())
        of_mean += std::abs(g);
      for (const double g : vae->parameters().at("encoder.log_variance.bias").gradient.to_vector())
        of_variance += std::abs(g);
      CHECK((of_mean > 1e-9) == (part != KlPart::none));
      CHECK((of_variance > 1e-9) == (part == KlPart::whole));
      vae->parameters().consume_gradients();
    }
  }
}

}  // namespace elbo
