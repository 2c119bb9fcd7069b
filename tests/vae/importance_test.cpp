// Likelihood by importance sampling: closed forms of linear models, integrals in one dimension, and that it
// says where it is not to be relied on.
#include "vae/importance.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tensor/gemm.h"
#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "tests/vae/parts_models.h"
#include "vae/deep_metrics.h"
#include "vae/linear_gaussian.h"

using namespace elbo;

namespace {

/// A linear VAE that has pPCA's best decoder and its exact posterior, which is a diagonal Gaussian there.
struct AtOptimum : LinearSetting {
  AtOptimum(int64_t n, int64_t dimensions, int64_t latent) : LinearSetting(n, dimensions, latent, 6) {
    const Eigen eigen = principal_components(data);
    const Ppca best = ppca_solution(data, eigen, latent, ppca_mle_sigma2(eigen.values, latent));
    set("decoder.weight", best.weight);
    set("log_sigma2", Tensor::full({1}, std::log(best.sigma2), DType::f64));
    set_best_encoder();
    set_best_log_variance();
  }
};

/// ln p(x) of single points under N(mu, W W^T + sigma^2 I).
std::vector<double> exact(LinearSetting& s) {
  std::vector<double> all;
  for (int64_t i = 0; i < s.x.size(0); ++i)
    all.push_back(ppca_log_likelihood({s.value("decoder.weight"), s.data.mean, s.sigma2()},
                                      data_moments(s.x.slice(i, i + 1))));
  return all;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE(
      "importance sampling: of a linear model each point's likelihood is the closed form's, to its error") {
    // A posterior of other variances and with a bias: weights have a spread, none is huge.
    AtOptimum s(25, 4, 2);
    s.set("encoder.weight", (Variable(s.value("encoder.weight")) * 0.9).value());
    s.set("log_variance", (Variable(s.value("log_variance")) - 0.3).value());
    const std::vector<double> expected = exact(s);
    double mean = 0;
    for (double each : expected) mean += each / 25;
    const auto vae = as_deep(s);
    const int64_t samples = 3000;
    const ImportancePoints points = importance_points(*vae, s.centred, {.samples = samples, .seed = 4});
    REQUIRE(points.log_likelihood.shape() == Shape{1, 25});
    double squares = 0;
    for (int64_t i = 0; i < 25; ++i) {
      const double effective = points.effective_samples.at(i),
                   error = std::sqrt(1 / effective - 1.0 / samples),
                   off = (points.log_likelihood.at(i) - expected[static_cast<size_t>(i)]) / error;
      CHECK(effective > 0.3 * samples);
      CHECK(effective < samples);
      CHECK(std::abs(off) < 4.5);
      squares += off * off / 25;
    }
    CHECK(squares > 0.4);  // the error is what it says
    CHECK(squares < 2);
    // E z under p(z|x): P x, as far as so many effective samples tell, in deviations of the posterior.
    const LinearPosterior posterior =
        exact_posterior({s.value("decoder.weight"), Tensor::full({4}, s.sigma2(), DType::f64)});
    const Tensor means = matmul(s.centred, Transpose::no, posterior.projection, Transpose::yes);
    REQUIRE(points.posterior_mean.shape() == Shape{1, 25, 2});
    double off_squared = 0;
    for (int64_t i = 0; i < 50; ++i) {
      const double error = std::sqrt(posterior.covariance.at(i % 2 * 3) / points.effective_samples.at(i / 2)),
                   off = (points.posterior_mean.at(i) - means.at(i)) / error;
      CHECK(std::abs(off) < 5);
      off_squared += off * off / 50;
    }
    CHECK(off_squared > 0.3);
    CHECK(off_squared < 3);
    const ImportanceEstimate estimate =
        importance_log_likelihood(*vae, s.centred, {.samples = samples, .seed = 4}).at(0);
    CHECK(estimate.points == 25);
    CHECK(estimate.samples == samples);
    CHECK(estimate.monte_carlo_error < 0.01);
    CHECK(std::abs(estimate.mean - mean) < 4 * estimate.monte_carlo_error);
    Estimate over_points;
    for (double each : points.log_likelihood.to_vector()) over_points.add(each);
    CHECK(close(estimate.mean, over_points.mean(), 1e-12));
    CHECK(close(estimate.standard_error, over_points.standard_error(), 1e-12));
    std::vector<double> effective = points.effective_samples.to_vector();
    std::sort(effective.begin(), effective.end());
    CHECK(estimate.median_effective_samples == effective[12]);
    CHECK(estimate.least_effective_samples == effective[0]);
    CHECK(estimate.poorly_sampled == 0);
    CHECK(estimate.warning.empty());
  }

  TEST_CASE("importance sampling: from the posterior with twice its variance, the weights' law is known") {
    AtOptimum s(20, 5, 3);
    const auto vae = as_deep(s);
    const std::vector<double> expected = exact(s);
    // From the posterior itself every weight is p(x): no noise, all samples count.
    const ImportancePoints same = importance_points(*vae, s.centred, {.samples = 700, .inflation = 1});
    for (int64_t i = 0; i < 20; ++i) {
      CHECK(close(same.log_likelihood.at(i), expected[static_cast<size_t>(i)], 1e-10));
      CHECK(close(same.effective_samples.at(i), 700, 1e-9));
    }
    // With the variance c in place of 1, E w^2 / (E w)^2 is c / sqrt(2 c - 1) in each of the 3 dimensions.
    for (double inflation : {2.0, 3.0}) {
      const ImportancePoints wide =
          importance_points(*vae, s.centred, {.samples = 4000, .inflation = inflation, .seed = 1});
      const double share = std::pow(std::sqrt(2 * inflation - 1) / inflation, 3);
      double mean_share = 0;
      for (double each : wide.effective_samples.to_vector()) mean_share += each / 4000 / 20;
      CHECK(std::abs(mean_share / share - 1) < 0.03);
      for (int64_t i = 0; i < 20; ++i)
        CHECK(std::abs(wide.log_likelihood.at(i) - expected[static_cast<size_t>(i)]) <
              5 * std::sqrt((1 / share - 1) / 4000));
    }
    // f32 tells the same, to its rounding.
    DeepVaeOptions options = vae->options();
    options.dtype = DType::f32;
    DeepVae single(options, 1);
    for (const Parameter* parameter : vae->parameters().trained())
      single.parameters().at(parameter->name).value.copy_from(parameter->value.to(DType::f32));
    const ImportancePoints rounded = importance_points(single, s.centred, {.samples = 700, .inflation = 1});
    for (int64_t i = 0; i < 20; ++i)
      CHECK(close(rounded.log_likelihood.at(i), expected[static_cast<size_t>(i)], 1e-5));
  }

  TEST_CASE(
      "importance sampling: of the samples that are drawn, it is the mean of the weights and what they "
      "count") {
    const auto vae = small_deep_vae(Likelihood::gaussian);
    const VaeTwin twin(*vae);
    const Tensor x = draw({1, 4}, 2);
    const int64_t samples = 300;
    const ImportancePoints got = importance_points(*vae, x, {.samples = samples, .inflation = 3, .seed = 5});
    const VaeTwin::Normal q = twin.encode(row(x, 0));
    Posterior wide = vae->encode(x);
    wide.log_variance = wide.log_variance + std::log(3.0);
    const Tensor z = vae->draw(wide, {.seed = 5, .stream = kEvaluation}, samples).z.value();  // (S, 1, k)
    double total = 0, squares = 0;
    for (int64_t s = 0; s < samples; ++s) {
      const Numbers own = z.slice(s).to_vector();
      double log_weight = twin.log_likelihood(row(x, 0), own);
      for (size_t i = 0; i < own.size(); ++i)
        log_weight += VaeTwin::log_normal(own[i], 0, 0) -
                      VaeTwin::log_normal(own[i], q.mean[i], q.log_variance[i] + std::log(3.0));
      total += std::exp(log_weight);
      squares += std::exp(2 * log_weight);
    }
    CHECK(close(got.log_likelihood.item(), std::log(total / samples), 1e-12));
    CHECK(close(got.effective_samples.item(), total * total / squares, 1e-11));
  }

  TEST_CASE("importance sampling: says so where few samples carry the weight, or numbers are broken") {
    AtOptimum s(30, 4, 2);
    // The posterior looked for in the wrong place, ten of its deviations away, and too narrow.
    s.set("encoder.weight", (Variable(s.value("encoder.weight")) * -3.0).value());
    s.set("log_variance", (Variable(s.value("log_variance")) - 2.0).value());
    const auto vae = as_deep(s);
    const ImportanceEstimate lost = importance_log_likelihood(*vae, s.centred, {.samples = 1000}).at(0);
    MESSAGE(lost.warning);
    CHECK(lost.poorly_sampled > 10);
    CHECK(lost.least_effective_samples < 3);
    CHECK(lost.least_effective_samples >= 1);
    CHECK(lost.warning.starts_with(fmt::format(
        "unreliable, probably too low: {} of 30 points rest on fewer than 10 effective samples of 1000 (the "
        "fewest: ",
        lost.poorly_sampled)));
    double mean = 0;
    for (double each : exact(s)) mean += each / 30;
    CHECK(lost.mean < mean - 0.5);
    // One point in a hundred may be poor; more may not.
    std::vector<double> effective(200, 50.0);
    const auto warned = [&] {
      const auto all = static_cast<int64_t>(effective.size());
      return !summarise(Tensor::zeros({all}, DType::f64), Tensor::from<double>({all}, effective), 100)
                  .warning.empty();
    };
    CHECK_FALSE(warned());
    effective[3] = effective[7] = 9.9;
    CHECK_FALSE(warned());
    effective[9] = 9.9;
    CHECK(warned());
    // All weights zero: nothing counts, and that is not taken for a mean.
    const ImportanceEstimate zero =
        summarise(Tensor::from<double>({1}, {-INFINITY}), Tensor::from<double>({1}, {0}), 100);
    CHECK(zero.warning == "unreliable: the likelihood of some points is not finite");
    vae->parameters().at("decoder.0.bias").value.fill(NAN);
    const ImportanceEstimate broken = importance_log_likelihood(*vae, s.centred, {.samples = 20}).at(0);
    CHECK(std::isnan(broken.mean));
    CHECK(broken.warning == "unreliable: the likelihood of some points is not finite");
    CHECK(error_of([&] { importance_points(*vae, s.centred, {.samples = 0}); }) ==
          "[importance] at least one sample is needed, got 0");
    CHECK(mentions(error_of([&] { importance_points(*vae, s.centred, {.inflation = 0}); }),
                   "factor must be positive, got 0"));
    CHECK(mentions(error_of([&] { summarise(Tensor::zeros({0}), Tensor::zeros({0}), 5); }), "no points"));
  }

  TEST_CASE("importance sampling: with a learned prior and each kind of decoder it is an integral over z") {
    for (const parts_models::Model& model : parts_models::models()) {
      CAPTURE(std::string(model.name));
      const auto all = parts_models::make(model, 2);
      if (all->prior_log_variance().value().defined()) {
        const Tensor prior = all->parameters().at("prior.log_variance").value;
        prior.copy_from((Variable(draw(prior.shape(), 7)) * 0.7).value());
      }
      const Tensor x = parts_models::data({2, 6, parts_models::kDimensions});
      const ImportanceOptions options{.samples = 2500, .inflation = 6, .seed = 3};  // q is as drawn
      const ImportancePoints got = importance_points(*all, x, options);
      REQUIRE(got.log_likelihood.shape() == Shape{2, 6});
      // A sum over draws from the prior itself, which needs no weights.
      const int64_t draws = 20000, k = all->latent();
      const Variable deviation = all->prior_log_variance().value().defined()
                                     ? exp(0.5 * all->prior_log_variance())
                                     : Variable(Tensor::full({1}, 1, DType::f64));
      Variable z = draw({2, draws, k}, 8) * deviation;
      z = reshape(z, {2, draws, 1, k});
      const Variable likelihood =
          all->log_likelihood(x, all->decode(broadcast_to(z, {2, draws, 6, k})));  // (2, draws, 6)
      const Tensor peak = max(likelihood, {1}, true).value();
      const Variable weights = exp(likelihood - Variable(peak));
      const Tensor first = mean(weights, {1}, true).value(),
                   second = mean(square(weights), {1}, true).value();
      for (int64_t i = 0; i < 12; ++i) {
        const double expected = peak.at(i) + std::log(first.at(i)),
                     variance = (second.at(i) / (first.at(i) * first.at(i)) - 1) / draws +
                                1 / got.effective_samples.at(i);
        CHECK(std::abs(got.log_likelihood.at(i) - expected) < 5 * std::sqrt(variance));
      }
      // A member has the numbers that it has alone.
      const auto second_alone = parts_models::make(model, 1, 1);
      for (const Parameter* parameter : all->parameters().trained())
        second_alone->parameters().at(parameter->name).value.copy_from(parameter->value.slice(1, 2));
      const Tensor own = x.slice(1).reshape({1, 6, parts_models::kDimensions});
      const ImportancePoints alone = importance_points(*second_alone, own, options);
      CHECK(alone.log_likelihood.to_vector() == got.log_likelihood.slice(1).to_vector());
      CHECK(alone.effective_samples.to_vector() == got.effective_samples.slice(1).to_vector());
    }
  }

  TEST_CASE(
      "importance sampling: memory does not grow with the samples, and a point's number not with others") {
    AtOptimum s(9, 4, 2);
    const auto vae = as_deep(s);
    for (int64_t samples : {3, 600, 5000}) {
      const ImportanceOptions options{.samples = samples, .seed = 2};
      const ImportancePoints all = importance_points(*vae, s.centred, options);
      int64_t largest = 0;  // rows that the decoder is given at a time
      const Points counted(9, [&](int64_t begin, int64_t end) {
        largest = std::max(largest, (end - begin) * std::min<int64_t>(samples, 512));
        return s.centred.slice(begin, end);
      });
      CHECK(importance_points(*vae, counted, options).log_likelihood.to_vector() ==
            all.log_likelihood.to_vector());
      CHECK(largest <= 512);
      if (samples > 512)  // each point then is a part of its own
        CHECK(importance_points(*vae, s.centred.slice(0, 4), options).log_likelihood.to_vector() ==
              all.log_likelihood.reshape({9}).slice(0, 4).to_vector());
    }
    // The bound that metrics report is this, with q itself.
    for (int64_t samples : {1, 50, 700}) {
      const MeanOfPoints bound = importance_weighted_bound(*vae, s.centred, samples, 3).at(0);
      const ImportanceEstimate same =
          importance_log_likelihood(*vae, s.centred, {.samples = samples, .inflation = 1, .seed = 3}).at(0);
      CHECK(bound.mean == same.mean);
      CHECK(bound.standard_error == same.standard_error);
    }
  }
}
