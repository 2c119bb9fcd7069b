// What asperti-two-stage measures, of ensembles whose z and pictures are known: second stages that give back
// what they were given, collapsed ones, and a member that broke.
#include "apps/asperti/two_stage_findings.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

using namespace elbo;
using namespace elbo::asperti;

namespace {

constexpr int64_t kHeld = 160, kPixels = 9, kUnits = 2;

/// Two models of two units; z of a point are its first two pixels, stretched by `scale`, and the decoder puts
/// them back.
std::unique_ptr<Vae> linear_stage(double scale, int64_t first_member) {
  auto vae = asperti_vae(
      {.dimensions = kPixels, .latent = kUnits, .hidden = {}, .members = 2, .first_member = first_member}, 1);
  for (const char* head : {"encoder.mean", "encoder.log_variance"})
    for (const char* part : {".weight", ".bias"})
      vae->parameters().at(std::string(head) + part).value.fill(0);
  const Tensor weight = vae->parameters().at("encoder.mean.weight").value;  // (2, k, D)
  for (int64_t m = 0; m < 2; ++m)
    for (int64_t i = 0; i < kUnits; ++i) weight.slice(m).slice(i).slice(i, i + 1).fill(scale);
  vae->parameters().at("encoder.mean.bias").value.fill(-scale / 2);
  vae->parameters().at("encoder.log_variance.bias").value.fill(-4);
  return vae;
}

/// A second stage whose decoder gives `mean` and noise of deviation gamma, whatever u is.
std::unique_ptr<DeepVae> constant_stage(const Vae& first, double mean, double gamma) {
  auto second = std::make_unique<DeepVae>(second_stage(first, {.hidden = {}}, 50), 1);
  second->parameters().at("encoder.mean.weight").value.fill(0);
  second->parameters().at("decoder.0.weight").value.fill(0);
  second->parameters().at("decoder.0.bias").value.fill(mean);
  second->parameters().at("log_sigma2").value.fill(2 * std::log(gamma));
  return second;
}

Tensor pictures(int64_t n, uint64_t seed) {
  return uniform({n, kPixels}, DType::f32, {.seed = seed, .stream = kTestInput});
}

TwoStageFindings measured(const TwoStageModels& models, const std::vector<bool>& broken,
                          const Tensor& held = pictures(kHeld, 2)) {
  const Tensor x = pictures(200, 1);
  const TwoStageMeasures how{.points = 70,
                             .pictures = 60,
                             .shown = 12,
                             .seed = 3,
                             .distances = {.knn = {.points = 50, .repetitions = 4}, .permutations = 19}};
  Json json = measure_two_stages(models, encode_all(*models.first, x),
                                 evaluate_deep_vae(*models.first, x, {.seed = how.seed, .progress = {}}),
                                 held, {}, broken, how);
  json["looks"] = Json::array();
  return two_stage_findings_from(Json::parse(json.dump()));
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("two stages measured: a second stage that is near z is told from the prior, which is not") {
    // z are uniform, of deviation 2.9 about 0: far wider than the prior, as wide as this second stage's
    // draws.
    TwoStageModels models{linear_stage(10, 20), linear_stage(10, 0), {}};
    models.second = constant_stage(*models.first, 0, 10 / std::sqrt(12.0));
    const TwoStageFindings found = measured(models, {false, true});
    REQUIRE(found.members.size() == 2);
    CHECK(found.points == 70);
    CHECK(found.pictures == 60);
    const TwoStageMember& own = found.members[0];
    CHECK(own.second.mmd_squared < 0.3 * own.prior.mmd_squared);
    CHECK(own.second.knn < 0.5 * own.prior.knn);
    CHECK(own.prior.mmd_p_value == 1.0 / 20);
    CHECK(std::abs(own.floor.mmd_squared) < 0.1 * own.prior.mmd_squared);
    // Its encoder is the prior, wherever z are.
    CHECK(own.u.mmd_p_value > 0.05);
    CHECK(own.gamma == doctest::Approx(10 / std::sqrt(12.0)).epsilon(1e-5));
    for (int64_t i = 0; i < kUnits; ++i) {
      CHECK(own.first_units.law[i] == doctest::Approx(100.0 / 12 + std::exp(-4)).epsilon(0.15));
      CHECK(own.first_units.sigma2[i] == doctest::Approx(std::exp(-4)).epsilon(1e-3));
      CHECK(own.second_units.law[i] == doctest::Approx(1).epsilon(1e-5));
      CHECK(own.second_units.kl[i] < 1e-6);
    }
    // The judge sees the first two pixels: the moments of held-out pictures are those of others.
    CHECK(own.real.frechet > 0);
    CHECK(own.real.frechet < 1);
    CHECK(own.one.frechet > 3 * own.real.frechet);
    CHECK(own.one.knn > own.real.knn);
    CHECK(found.one.size() == 12 * kPixels);
    CHECK(found.classes.empty());
    CHECK(found.z[0].size() == 70);
    // Nothing is said of the other, which broke.
    const TwoStageMember& other = found.members[1];
    CHECK(std::isnan(other.second.knn));
    CHECK(std::isnan(other.real.frechet));
    CHECK(std::isnan(other.gamma));
    CHECK(std::isnan(other.first_units.law.at(1)));
  }

  TEST_CASE("two stages measured: a second stage beside z is told; a sorted file is halved by chance") {
    TwoStageModels models{linear_stage(10, 20), linear_stage(10, 0), {}};
    models.second = constant_stage(*models.first, 9, 1);
    const TwoStageFindings found = measured(models, {false, false});
    const TwoStageMember &first = found.members[0], &second = found.members[1];
    CHECK(first.second.mmd_squared > first.prior.mmd_squared);
    CHECK(first.second.knn > first.floor.knn + 3);
    // Members draw noise of their own; real pictures are the same to both, and so are these judges' features.
    CHECK(first.second.knn != second.second.knn);
    CHECK(first.one.knn != second.one.knn);
    CHECK(first.real.knn == second.real.knn);
    CHECK(first.real.frechet == second.real.frechet);
    const Tensor sorted = pictures(kHeld, 2);
    sorted.slice(0, kHeld / 2).fill(0);
    CHECK(measured(models, {false, false}, sorted).members[0].real.frechet < 3);
  }
}
