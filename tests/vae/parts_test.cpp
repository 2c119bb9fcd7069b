// VAEs made of parts that nobody foresaw (parts_models.h): trained together and alone, their gradients, the
// KL to a learned prior, data of each member's own, files.
#include "vae/parts.h"

#include <doctest/doctest.h>

#include <cmath>

#include "nn/parameter_file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/parts_models.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

using namespace parts_models;
using Numbers = std::vector<double>;

constexpr int64_t kMembers = 3, kPoints = 12, kSteps = 8;

Numbers all_values(Vae& vae, int64_t member = -1) {
  Numbers all;
  for (const Parameter& parameter : vae.parameters().all()) {
    const Numbers own = (member < 0 ? parameter.value : parameter.value.slice(member)).to_vector();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

void train(Vae& vae, const Tensor& x, int64_t samples) {
  Training training(vae.parameters(),
                    {{.loss = elbo_loss(vae, {}, samples), .steps = kSteps, .rates = {0.02}}}, whole_set(x),
                    {.seed = 4});
  while (training.step())
    for (int64_t m = 0; m < vae.models(); ++m) REQUIRE(training.stopped(m) == -1);
}

/// The KL of one unit, N(mean, e^lv) to N(0, e^prior).
double unit_kl(double mean, double lv, double prior) {
  return 0.5 * (prior - lv + (std::exp(lv) + mean * mean) / std::exp(prior) - 1);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("parts: every model trains as an ensemble as its members do alone, bit for bit") {
    for (const Model& model : models())
      for (int64_t samples : {1, 4}) {
        CAPTURE(std::string(model.name));
        CAPTURE(samples);
        const Tensor x = data({kPoints, kDimensions});
        const auto all = make(model, kMembers), untouched = make(model, kMembers);
        train(*all, x, samples);
        CHECK(all_values(*all) != all_values(*untouched));
        for (int64_t m = 0; m < kMembers; ++m) {
          const auto alone = make(model, 0, m);
          train(*alone, x, samples);
          CHECK(all_values(*all, m) == all_values(*alone));
        }
        for (const Parameter& parameter : all->parameters().all()) {
          CAPTURE(parameter.name);
          bool given = false;
          for (const std::string& beginning : model.given) given |= parameter.name.starts_with(beginning);
          CHECK(parameter.trained != given);
          CHECK((parameter.value.to_vector() ==
                 untouched->parameters().at(parameter.name).value.to_vector()) == given);
        }
      }
  }

  TEST_CASE("parts: with data of its own, (M, N, D), each member is the model that sees these alone") {
    const Tensor x = data({kMembers, kPoints, kDimensions});
    for (const Model& model : models())
      for (int64_t samples : {1, 4}) {
        CAPTURE(std::string(model.name));
        CAPTURE(samples);
        const auto all = make(model, kMembers);
        const RandomKey key{.seed = 2};
        const ElboTerms together = elbo_terms(*all, x, key, samples);
        CHECK(together.kl.shape() == Shape{kMembers, kPoints});
        CHECK(together.log_likelihood.shape() == Shape{kMembers, kPoints});
        for (int64_t m = 0; m < kMembers; ++m) {
          const ElboTerms alone = elbo_terms(*make(model, 0, m), x.slice(m), key, samples);
          CHECK(together.kl.value().slice(m).to_vector() == alone.kl.value().to_vector());
          CHECK(together.log_likelihood.value().slice(m).to_vector() ==
                alone.log_likelihood.value().to_vector());
        }
        train(*all, x, samples);
        for (int64_t m = 0; m < kMembers; ++m) {
          const auto alone = make(model, 0, m);
          train(*alone, x.slice(m), samples);
          CHECK(all_values(*all, m) == all_values(*alone));
        }
      }
  }

  TEST_CASE("parts: gradients of every model are those of finite differences, samples in parts or not") {
    const Tensor x = data({7, kDimensions});
    const RandomKey key{.seed = 6};
    for (const Model& model : models())
      for (int64_t samples : {1, 4})
        for (bool in_parts : {false, true}) {
          CAPTURE(std::string(model.name));
          CAPTURE(samples);
          CAPTURE(in_parts);
          const auto make_parts = [&](ParameterStore& store) {
            Parts parts = model.make(store);
            if (in_parts) parts.widest = 1 << 20;
            return parts;
          };
          Vae vae({.dimensions = kDimensions, .latent = model.latent, .dtype = DType::f64}, make_parts, 11);
          const Loss loss =
              elbo_loss(vae, {.penalty = Objective::Penalty::free_bits, .free_nats = 0.3}, samples);
          const auto cost = [&] {
            vae.parameters().consume_gradients();
            return differentiate(loss, x, {}, key).cost.item();
          };
          double largest = 0;
          for (Parameter* parameter : vae.parameters().trained()) {
            CAPTURE(parameter->name);
            cost();
            REQUIRE(parameter->has_gradient);
            const Tensor gradient = parameter->gradient.clone();
            for (int64_t i = 0; i < gradient.elements(); ++i) {
              double& value = parameter->value.span<double>()[static_cast<size_t>(i)];
              const double before = value, h = 1e-4;
              const auto moved = [&](double by) {
                value = before + by;
                const double there = cost();
                value = before;
                return there;
              };
              const double slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
              CHECK(close(gradient.at(i), slope, 1e-8));
              largest = std::max(largest, std::abs(gradient.at(i)));
            }
          }
          CHECK(largest > 1e-3);
        }
  }

  TEST_CASE("learned prior: the KL is the closed form's, and that of many draws; z does not depend on it") {
    const auto vae = wide_prior(2);
    const Tensor x = data({4, kDimensions});
    const Posterior q = vae->encode(x);
    const int64_t draws = 20000;
    const PosteriorTerms drawn = vae->draw(q, {.seed = 8}, draws), one = vae->draw(q, {.seed = 8});
    const PosteriorTerms of_unit_prior = reparameterize_kl(q.mean, q.log_variance, {.seed = 8}, 2, draws);
    CHECK(drawn.z.value().to_vector() == of_unit_prior.z.value().to_vector());
    const Tensor prior = vae->parameters().at("prior.log_variance").value;
    for (int64_t m = 0; m < 2; ++m)
      for (int64_t n = 0; n < 4; ++n) {
        double kl = 0;
        const auto at = [&](const Tensor& of, int64_t j) { return of.at((m * 4 + n) * kLatent + j); };
        for (int64_t j = 0; j < kLatent; ++j)
          kl += unit_kl(at(q.mean.value(), j), at(q.log_variance.value(), j), prior.at(m * kLatent + j));
        CHECK(close(drawn.kl.value().at(m * 4 + n), kl, 1e-12));
        CHECK(close(one.kl.value().at(m * 4 + n), kl, 1e-12));
        Estimate estimate;
        for (int64_t s = 0; s < draws; ++s) {
          double ratio = 0;
          for (int64_t j = 0; j < kLatent; ++j) {
            const double z = drawn.z.value().at(((m * draws + s) * 4 + n) * kLatent + j);
            const double lv = at(q.log_variance.value(), j), off = z - at(q.mean.value(), j);
            const double a = prior.at(m * kLatent + j);
            ratio += 0.5 * (a + z * z / std::exp(a) - lv - off * off / std::exp(lv));
          }
          estimate.add(ratio);
        }
        CHECK(std::abs(estimate.mean() - kl) < 5 * estimate.standard_error());
      }
  }

  TEST_CASE("learned prior: free bits are of the KL to it") {
    const auto vae = wide_prior(0);
    const Tensor x = data({4, kDimensions});
    const Posterior q = vae->encode(x);
    const Tensor prior = vae->parameters().at("prior.log_variance").value;
    double penalty = 0;
    Numbers kl(kLatent);
    for (int64_t i = 0; i < 4 * kLatent; ++i)
      kl[static_cast<size_t>(i % kLatent)] +=
          unit_kl(q.mean.value().at(i), q.log_variance.value().at(i), prior.at(i % kLatent)) / 4;
    for (double unit : kl) penalty += std::max(unit, (kl[0] + kl[1]) / 2);
    const Loss loss =
        elbo_loss(*vae, {.penalty = Objective::Penalty::free_bits, .free_nats = (kl[0] + kl[1]) / 2});
    const LossTerms terms = differentiate(loss, x, {}, {.seed = 8});
    CHECK(terms.cost.item() + terms.probes[0].item() == doctest::Approx(penalty).epsilon(1e-12));
    CHECK(terms.probes[1].item() == doctest::Approx(kl[0] + kl[1]).epsilon(1e-12));
    vae->parameters().at("prior.log_variance").value.fill(INFINITY);
    CHECK(first_not_finite(*vae, x, {}, 0) == "prior.log_variance");
  }

  TEST_CASE("parts: a member is saved and loaded by name into a model made by the same code") {
    const TemporaryDirectory folder;
    const Tensor x = data({kPoints, kDimensions});
    for (const Model& model : models()) {
      CAPTURE(std::string(model.name));
      const auto all = make(model, kMembers);
      train(*all, x, 1);
      save_parameters(folder / "member.safetensors", all->parameters(), 1);
      Vae alone({.dimensions = kDimensions, .latent = model.latent, .dtype = DType::f64, .first_member = 1},
                model.make, 99);
      load_parameters(read_safetensors(folder / "member.safetensors"), alone.parameters());
      const ElboTerms own = elbo_terms(alone, x, {.seed = 5}, 2),
                      of_all = elbo_terms(*all, x, {.seed = 5}, 2);
      CHECK(own.kl.value().to_vector() == of_all.kl.value().slice(1).to_vector());
      CHECK(own.log_likelihood.value().to_vector() == of_all.log_likelihood.value().slice(1).to_vector());
    }
  }

  TEST_CASE("parts: x of other shapes, and models without a part, are refused in one line") {
    const auto one = make(models()[0], 0), three = make(models()[0], 3);
    CHECK(error_of([&] { one->encode(data({2, 4})); }) == "[vae] x must be (N, 3), got (2, 4)");
    CHECK(error_of([&] { one->encode(data({1, 2, 3})); }) == "[vae] x must be (N, 3), got (1, 2, 3)");
    CHECK(error_of([&] {
            three->encode(data({2, 5, 3}));
          }) == "[vae] x must be (N, 3) or (3, N, 3), got (2, 5, 3)");
    const auto no_parts = [](ParameterStore&) { return Parts{}; };
    CHECK(error_of([&] { Vae({.dimensions = 3, .latent = 2}, no_parts, 1); }) ==
          "[vae] there must be an encoder and a decoder");
    CHECK(error_of([&] { Vae({.dimensions = 3}, no_parts, 1); }) ==
          "[vae] dimensions and latent dimension must be positive, got 3 and 0");
  }
}

}  // namespace elbo
