// Metrics of VAEs made of parts (parts_models.h): with a learned prior, with variances that all points share,
// with data of each member's own.
#include "vae/unit_diagnostics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/vae/parts_models.h"

namespace elbo {
namespace {

using namespace parts_models;
using Numbers = std::vector<double>;

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("learned prior: metrics are those of the same model in units in which the prior is N(0, I)") {
    const auto vae = wide_prior(2);
    const Tensor prior = vae->parameters().at("prior.log_variance").value;
    const Variable by_point = reshape(prior, {2, 1, kLatent}), deviation = exp(0.5 * by_point),
                   with_samples = reshape(deviation, {2, 1, 1, kLatent});
    const Parts& own = vae->parts();
    const auto in_units = [&](ParameterStore&) {
      return Parts{.encoder =
                       [&](const Variable& x, Mode mode) {
                         const Posterior q = own.encoder(x, mode);
                         return Posterior{q.mean / deviation, q.log_variance - by_point};
                       },
                   .decoder =
                       [&](const Variable& z, Mode mode) {
                         return own.decoder(z * (z.rank() == 4 ? with_samples : deviation), mode);
                       }};
    };
    const Vae same({.dimensions = kDimensions, .latent = kLatent, .dtype = DType::f64, .members = 2},
                   in_units, 1);
    for (const Tensor& x : {data({700, kDimensions}), data({2, 700, kDimensions})}) {
      const auto a = evaluate_deep_vae(*vae, x, {.seed = 3, .samples = 2, .progress = {}}),
                 b = evaluate_deep_vae(same, x, {.seed = 3, .samples = 2, .progress = {}});
      const auto bound_a = importance_weighted_bound(*vae, x, 5, 4),
                 bound_b = importance_weighted_bound(same, x, 5, 4);
      const auto gains_a = unit_gains(*vae, x, 4), gains_b = unit_gains(same, x, 4);
      const Numbers information_a = mutual_information(*vae, x, 4),
                    information_b = mutual_information(same, x, 4);
      for (size_t m = 0; m < 2; ++m) {
        const auto near = [](double one, double other) { CHECK(close(one, other, 1e-10)); };
        near(a[m].elbo, b[m].elbo);
        near(a[m].elbo_standard_error, b[m].elbo_standard_error);
        near(a[m].kl, b[m].kl);
        near(a[m].mse, b[m].mse);
        near(a[m].sigma2, std::exp(-1.0));
        near(a[m].sigma2_tuned, b[m].sigma2_tuned);
        near(a[m].row_identity_gap, 0);
        CHECK(a[m].active_units == b[m].active_units);
        CHECK(a[m].collapse_percent == b[m].collapse_percent);
        for (size_t j = 0; j < kLatent; ++j) near(a[m].variance_law[j], b[m].variance_law[j]);
        near(bound_a[m].mean, bound_b[m].mean);
        for (size_t j = 0; j < kLatent; ++j) {
          near(a[m].variance_law_standard_error[j], b[m].variance_law_standard_error[j]);
          near(gains_a[m].zero[j].mean, gains_b[m].zero[j].mean);
          near(gains_a[m].prior[j].mean, gains_b[m].prior[j].mean);
        }
        near(information_a[m], information_b[m]);
      }
      CHECK(a[0].elbo != a[1].elbo);
    }
  }

  TEST_CASE("metrics of every model are the means of its ELBO's terms, also with data of each member's own") {
    for (const Model& model : models())
      for (const Tensor& x : {data({40, kDimensions}), data({2, 40, kDimensions})}) {
        CAPTURE(std::string(model.name));
        const auto vae = make(model, 2);
        const auto metrics = evaluate_deep_vae(*vae, x, {.seed = 3, .samples = 1, .progress = {}});
        const PosteriorTerms drawn = vae->draw(vae->encode(x), evaluation_key(*vae, 3, 0));
        const Tensor fit = mean(vae->log_likelihood(x, vae->decode(drawn.z)), {-1}).value(),
                     kl = mean(drawn.kl, {-1}).value();
        const Codes codes = encode_all(*vae, x);
        CHECK(codes.log_variance.shape() == Shape{2, 40, model.latent});
        for (int64_t m = 0; m < 2; ++m) {
          const DeepVaeMetrics& own = metrics[static_cast<size_t>(m)];
          CHECK(close(own.expected_log_likelihood, fit.at(m), 1e-12));
          CHECK(close(own.kl, kl.at(m), 1e-12));
          // Var_x(E_q z) + E_x Var_q z, unit by unit.
          const Tensor prior = vae->prior_log_variance().value();
          for (int64_t j = 0; j < model.latent; ++j) {
            double means = 0, squares = 0, variances = 0;
            for (int64_t n = 0; n < 40; ++n) {
              const double mean_of_unit = codes.mean.at((m * 40 + n) * model.latent + j);
              means += mean_of_unit / 40;
              squares += mean_of_unit * mean_of_unit / 40;
              variances += std::exp(codes.log_variance.at((m * 40 + n) * model.latent + j)) / 40;
            }
            const double scale = prior.defined() ? std::exp(prior.at(m * model.latent + j)) : 1;
            CHECK(close(own.variance_law[static_cast<size_t>(j)],
                        (squares - means * means + variances) / scale, 1e-12));
          }
        }
      }
  }

  TEST_CASE("metrics with data of each member's own are those of the model that sees these alone") {
    const Tensor x = data({2, kPointsOfPart + 40, kDimensions});
    for (const Model& model : models()) {
      CAPTURE(std::string(model.name));
      const auto all = make(model, 2);
      const auto together = evaluate_deep_vae(*all, x, {.seed = 3, .samples = 2, .progress = {}});
      const auto bounds = importance_weighted_bound(*all, x, 3, 4);
      for (int64_t m = 0; m < 2; ++m) {
        const auto alone = make(model, 0, m);
        const DeepVaeMetrics own = evaluate_deep_vae(*alone, x.slice(m),
                                                     {.seed = 3, .samples = 2, .progress = {}})[0],
                             &of_all = together[static_cast<size_t>(m)];
        CHECK(own.elbo == of_all.elbo);
        CHECK(own.kl_per_dim == of_all.kl_per_dim);
        CHECK(own.mse == of_all.mse);
        CHECK(own.sigma2_tuned == of_all.sigma2_tuned);
        CHECK(own.variance_law == of_all.variance_law);
        CHECK(importance_weighted_bound(*alone, x.slice(m), 3, 4)[0] == bounds[static_cast<size_t>(m)]);
      }
    }
  }
}

}  // namespace elbo
