// Noise on a unit: what it does to the loss, what is measured of the unit, and that nothing else is
// disturbed.
#include "vae/unit_noise.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/asperti_models.h"
#include "vae/unit_diagnostics.h"

namespace elbo {
namespace {

constexpr int64_t kUnits = 3, kMembers = 2;

std::unique_ptr<Vae> model() {
  return asperti_vae(
      {.dimensions = 6, .latent = kUnits, .hidden = {5}, .dtype = DType::f64, .members = kMembers}, 3);
}
Tensor points(int64_t n) { return uniform({n, 6}, DType::f64, {.seed = 4, .stream = kTestInput}); }
const std::vector<std::vector<bool>> kAll(kMembers, std::vector<bool>(kUnits, true));

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("unit noise of deviation 0 is the loss itself, and the unit's numbers are its diagnostics") {
    const auto vae = model();
    const Tensor x = points(40);
    const UnitNoise noise = unit_noise(*vae, {2, 0}, kAll);
    const RandomKey key = {.seed = 5, .stream = kEvaluation};
    const LossTerms with = differentiate(noisy_loss(*vae, noise), x, {}, key);
    const std::vector<double> gradient = vae->parameters().gradients().to_vector();
    vae->parameters().consume_gradients();
    const LossTerms plain = differentiate(asperti_loss(*vae), x, {}, key);
    CHECK(close(with.cost.at(0), plain.cost.at(0), 1e-12));
    CHECK(close(with.cost.at(1), plain.cost.at(1), 1e-12));
    for (size_t i = 0; i < gradient.size(); ++i)
      CHECK(std::abs(gradient[i] - vae->parameters().gradients().at(static_cast<int64_t>(i))) < 1e-10);
    const auto metrics = evaluate_deep_vae(*vae, x, {.seed = 5, .progress = {}});
    const auto gains = unit_gains(*vae, x, 5);
    const std::vector<NoisyUnit> found = measure_noisy(*vae, noise, x, key);
    REQUIRE(found.size() == kMembers);
    for (size_t m = 0; m < kMembers; ++m) {
      const UnitDiagnostics unit = unit_diagnostics(metrics[m], gains[m])[m == 0 ? 2 : 0];
      CHECK(close(found[m].gain, unit.gain.mean, 1e-10));
      CHECK(close(found[m].kl, unit.kl, 1e-12));
      CHECK(close(found[m].variance_of_mean, unit.variance_of_mean, 1e-12));
      CHECK(close(found[m].mean_variance, unit.mean_variance, 1e-12));
      CHECK(close(found[m].loss * 2 * 0.35 / 6, metrics[m].sigma2_tuned, 1e-12));
      CHECK(close(found[m].loss_kl, metrics[m].kl, 1e-12));
    }
  }

  TEST_CASE("unit noise: a unit whose means are the same far from 0 has no variance") {
    const auto vae = model();
    for (const char* part : {"encoder.mean.weight", "encoder.mean.bias"})
      vae->parameters().at(part).value.fill(std::string_view(part).ends_with("bias") ? 1e8 / 3 : 0);
    for (const NoisyUnit& unit :
         measure_noisy(*vae, unit_noise(*vae, {2, 0}, kAll), points(40), {.seed = 5, .stream = kEvaluation}))
      CHECK(std::abs(unit.variance_of_mean) < 1e-12);
  }

  TEST_CASE("unit noise widens the z of its unit by its deviation, and of no other") {
    // The encoder gives 0 with a variance of e^-60; the decoder is never asked: its input is looked at.
    const auto seen = std::make_shared<Tensor>();
    Vae vae(
        {.dimensions = 6, .latent = kUnits, .dtype = DType::f64, .members = kMembers},
        [seen](ParameterStore& store) {
          Parameter& level = store.add("level", {1}, {});
          return Parts{
              .encoder =
                  [&level](const Variable& x, Mode) {
                    const Variable zero = Tensor::zeros({kMembers, x.size(-2), kUnits}, DType::f64);
                    return Posterior{zero + reshape(level, {kMembers, 1, 1}), zero - 60};
                  },
              .decoder =
                  [seen, &level](const Variable& z, Mode) {
                    *seen = z.value();
                    const Variable one = reshape(level, {kMembers, 1, 1});
                    return Observation{one + Tensor::zeros({kMembers, z.size(-2), 6}, DType::f64), level};
                  }};
        },
        1);
    const int64_t n = 20000;
    UnitNoise noise = unit_noise(vae, {1, 2}, kAll);
    *noise.deviations = {0.5, 2};
    differentiate(noisy_loss(vae, noise), points(n), {}, {.seed = 5, .stream = kLatentNoise});
    for (int64_t m = 0; m < kMembers; ++m)
      for (int64_t unit = 0; unit < kUnits; ++unit) {
        Estimate z, square;
        for (int64_t i = 0; i < n; ++i) {
          const double value = seen->at((m * n + i) * kUnits + unit);
          z.add(value);
          square.add(value * value);
        }
        const double expected = unit == m + 1 ? (m == 0 ? 0.25 : 4) : 0;
        CHECK(std::abs(z.mean()) <= 4.5 * z.standard_error() + 1e-12);
        CHECK(std::abs(square.mean() - expected) <= 4.5 * square.standard_error() + 1e-12);
      }
  }

  TEST_CASE("units that are held inactive give the decoder 0, cost nothing, and get no gradient") {
    const auto vae = model();
    const Tensor x = points(40);
    std::vector<std::vector<bool>> kept = kAll;
    kept[0][1] = false;
    const UnitNoise noise = unit_noise(*vae, {2, 0}, kept);
    const RandomKey key{.seed = 5, .stream = kLatentNoise};
    const auto gradient_of = [&](const char* name, int64_t unit) {
      double total = 0;
      const Tensor own = vae->parameters().at(name).gradient.slice(0);
      for (int64_t i = 0; i < own.elements() / kUnits; ++i)
        total += std::abs(own.at(unit * own.elements() / kUnits + i));
      return total;
    };
    const LossTerms held = differentiate(noisy_loss(*vae, noise), x, {}, key);
    for (const char* name : {"encoder.mean.weight", "encoder.log_variance.weight"}) {
      CHECK(gradient_of(name, 1) == 0);
      CHECK(gradient_of(name, 0) > 1e-9);
    }
    vae->parameters().consume_gradients();
    const double kl = measure_noisy(*vae, noise, x, key)[0].loss_kl;
    // Whatever the encoder says of it.
    vae->parameters().at("encoder.mean.bias").value.slice(0).slice(1, 2).fill(3);
    const LossTerms moved = differentiate(noisy_loss(*vae, noise), x, {}, key);
    CHECK(held.cost.at(0) == moved.cost.at(0));
    CHECK(measure_noisy(*vae, noise, x, key)[0].loss_kl == kl);
    CHECK(error_of([&] { unit_noise(*vae, {2, 3}, kAll); }) == "[unit noise] there is no unit 3 among 3");
    CHECK(error_of([&] { unit_noise(*vae, {2}, kAll); }) == "[unit noise] 1 units for 2 members");
  }
}

}  // namespace elbo
