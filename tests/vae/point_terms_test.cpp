// The ELBO's terms of single points: means over them are the metrics, drawn alike; and against loops.
#include "vae/point_terms.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "vae/deep_metrics.h"

using namespace elbo;

TEST_SUITE("vae") {
  TEST_CASE("means over points are the metrics, with the same z, in every part of the data") {
    for (const Likelihood likelihood : kAllLikelihoods) {
      CAPTURE(name(likelihood));
      const auto vae = small_deep_vae(likelihood);
      const int64_t n = 2 * kPointsOfPart + 100;
      const Tensor x = data_for(likelihood, n, 4, 3);
      double kl = 0, log_likelihood = 0;
      for (int64_t begin = 0; begin < n; begin += kPointsOfPart) {
        const Tensor part = x.slice(begin, std::min(begin + kPointsOfPart, n));
        const Posterior q = vae->encode(part);
        for (const double value : point_kl(*vae, q).to_vector()) kl += value / n;
        const Tensor fit = point_log_likelihood(*vae, part, q, evaluation_key(*vae, 9, begin));
        for (const double value : fit.to_vector()) log_likelihood += value / n;
      }
      const DeepVaeMetrics metrics = evaluate_deep_vae(*vae, x, {.seed = 9, .progress = {}})[0];
      CHECK(kl == doctest::Approx(metrics.kl).epsilon(1e-12));
      CHECK(log_likelihood == doctest::Approx(metrics.expected_log_likelihood).epsilon(1e-12));
    }
  }

  TEST_CASE("the KL of a point is the sum over its units, and every draw has a z of its own") {
    const auto vae = small_deep_vae(Likelihood::gaussian);
    const Tensor x = data_for(Likelihood::gaussian, 6, 4, 3);
    const Posterior q = vae->encode(x);
    const VaeTwin twin(*vae);
    for (int64_t i = 0; i < 6; ++i) {
      const auto [mean, log_variance] = twin.encode(row(x, i));
      double kl = 0;
      for (size_t u = 0; u < 3; ++u) kl += VaeTwin::unit_kl(mean[u], log_variance[u]);
      CHECK(point_kl(*vae, q).at(i) == doctest::Approx(kl).epsilon(1e-12));
    }
    const RandomKey key = evaluation_key(*vae, 9, 0);
    const Numbers first = point_log_likelihood(*vae, x, q, key).to_vector(),
                  second = point_log_likelihood(*vae, x, q, key, 1).to_vector();
    for (size_t i = 0; i < 6; ++i) CHECK(first[i] != second[i]);
    CHECK(point_log_likelihood(*vae, x, q, key, 0).to_vector() == first);
    CHECK(mentions(error_of([&] { point_log_likelihood(*vae, x, q, key, kMostDraws); }), "no draw"));
  }

  TEST_CASE("the expectation of a linear decoder is what draws tend to") {
    DeepVae vae({.dimensions = 4,
                 .latent = 2,
                 .encoder_hidden = {},
                 .decoder_hidden = {},
                 .sigma2 = {0.3},
                 .dtype = DType::f64},
                1);
    randomise(vae, 0.5, 8);
    const Tensor x = data_for(Likelihood::gaussian, 5, 4, 3);
    const Posterior q = vae.encode(x);
    const Numbers exact =
        linear_point_log_likelihood(vae, vae.parameters().at("decoder.0.weight").value, x, q).to_vector();
    const int draws = 4000;
    Numbers mean(5), square(5);
    for (int draw = 0; draw < draws; ++draw) {
      const Numbers one = point_log_likelihood(vae, x, q, evaluation_key(vae, 9, 0), draw).to_vector();
      for (size_t i = 0; i < 5; ++i) {
        mean[i] += one[i] / draws;
        square[i] += one[i] * one[i] / draws;
      }
    }
    for (size_t i = 0; i < 5; ++i) {
      const double error = std::sqrt((square[i] - mean[i] * mean[i]) / draws);
      CHECK(std::abs(mean[i] - exact[i]) < 5 * error);
      CHECK(error < 0.05 * std::abs(exact[i]));
    }
  }
}
