// The aggregated posterior beside the prior: models whose q(z) is known, and draws of a model beside the
// density that it has in closed form.
#include "vae/aggregate_posterior.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "tests/vae/parts_models.h"
#include "vae/deep_metrics.h"

using namespace elbo;

namespace {

/// q(z|x) = N(scale x + shift, variance I), k = D.
struct Diagonal {
  DeepVae vae;
  Diagonal(int64_t dimensions, double scale, double shift, double variance)
      : vae({.dimensions = dimensions,
             .latent = dimensions,
             .encoder_hidden = {},
             .decoder_hidden = {},
             .dtype = DType::f64},
            1) {
    const auto value = [&](const char* name) { return vae.parameters().at(name).value; };
    value("encoder.mean.weight")
        .copy_from((Variable(identity_matrix(dimensions, DType::f64)) * scale).value());
    value("encoder.mean.bias").fill(shift);
    value("encoder.log_variance.weight").fill(0);
    value("encoder.log_variance.bias").fill(std::log(variance));
  }
};

/// Points in two heaps.
Tensor heaps(int64_t n, int64_t dimensions, uint64_t seed) {
  Tensor x = draw({n, dimensions}, seed).clone();
  for (double& value : x.span<double>()) value = value * 0.2 + (value > 0 ? 1 : -1);
  return x;
}

AggregatePosterior of(const Vae& vae, const Tensor& x, uint64_t seed = 0) {
  return aggregate_posterior(vae, x, {.seed = seed}).at(0);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE(
      "aggregate posterior: q(z) that is the prior passes, and one that is not is told by what it lacks") {
    const int64_t n = 400;
    const Tensor x = draw({n, 2}, 3);
    // Of Gaussian data: scale^2 + variance is the variance of q(z).
    const AggregatePosterior good = of(Diagonal(2, 0.8, 0, 0.36).vae, x);
    CHECK(good.points == n);
    CHECK(good.z.points == n);
    CHECK(good.z.p_value > 0.01);
    CHECK(good.means.p_value > 0.01);
    CHECK(good.mmd.p_value > 0.01);
    CHECK(good.knn.mean < 1);
    CHECK(good.mean_distance < 0.15);
    CHECK(good.covariance_distance < 0.3);
    // The closed forms, from the moments of these very points.
    const Variable middle = mean(Variable(x), {0}, true), off = Variable(x) - middle;
    const Tensor covariance = (matmul_tn(off, off) / static_cast<double>(n)).value();
    const auto expected_of = [&](double scale, double shift, double variance) {
      double mean_distance = 0, distance = 0;
      for (int64_t i = 0; i < 2; ++i) {
        mean_distance += std::pow(scale * middle.value().at(i) + shift, 2);
        for (int64_t j = 0; j < 2; ++j)
          distance += std::pow(scale * scale * covariance.at(2 * i + j) + (i == j ? variance - 1 : 0), 2);
      }
      return std::pair(std::sqrt(mean_distance), std::sqrt(distance));
    };
    for (auto [scale, shift, variance] :
         {std::array{0.8, 0.0, 0.36}, std::array{0.3, 0.7, 0.05}, std::array{-2.0, 0.1, 3.0}}) {
      const AggregatePosterior found = of(Diagonal(2, scale, shift, variance).vae, x);
      const auto [mean_distance, covariance_distance] = expected_of(scale, shift, variance);
      CHECK(close(found.mean_distance, mean_distance, 1e-12));
      CHECK(close(found.covariance_distance, covariance_distance, 1e-12));
    }
    // Too narrow and beside the prior: still Gaussian.
    const AggregatePosterior narrow = of(Diagonal(2, 0.3, 0.7, 0.05).vae, x);
    CHECK(narrow.z.p_value > 0.01);
    CHECK(narrow.mmd.p_value == 1.0 / 200);
    CHECK(narrow.knn.mean > 5);
    // Mean and covariance of the prior, but in heaps.
    const AggregatePosterior apart = of(Diagonal(2, 0.9, 0, 0.02).vae, heaps(n, 2, 4));
    CHECK(apart.z.p_value < 1e-6);
    CHECK(apart.means.p_value < 1e-6);
    CHECK(apart.mmd.p_value < 0.05);
    CHECK(apart.knn.mean > 2);
    // A collapsed posterior is the prior, and its means are no points of a Gaussian.
    const AggregatePosterior collapsed = of(Diagonal(2, 0, 0, 1).vae, x);
    CHECK(collapsed.z.p_value > 0.01);
    CHECK(std::isnan(collapsed.means.statistic));
    // Its z are draws of the prior's law, and not the same draws.
    int64_t closest = 0;
    for (uint64_t seed = 0; seed < 6; ++seed) {
      const AggregatePosterior again = of(Diagonal(2, 0, 0, 1).vae, x.slice(0, 100), seed);
      closest += again.mmd.p_value == 1 ? 1 : 0;
      CHECK(again.knn.mean > -3);
    }
    CHECK(closest < 3);
    CHECK(collapsed.mean_distance == 0);
    CHECK(collapsed.covariance_distance < 1e-12);
    CHECK(error_of([&] { of(Diagonal(2, 1, 0, 1).vae, x.slice(0, 1)); }) ==
          "[aggregate_posterior] needs two points or more, got 1");
  }

  TEST_CASE(
      "aggregate posterior: a learned prior is the unit of everything, and a member has its own numbers") {
    const auto all = parts_models::wide_prior(2);
    const Tensor x = parts_models::data({2, 150, parts_models::kDimensions});
    const AggregateOptions options{.seed = 5, .knn = {.points = 50, .repetitions = 20}};
    const auto found = aggregate_posterior(*all, x, options);
    REQUIRE(found.size() == 2);
    const Codes codes = encode_all(*all, x);
    const Tensor prior = all->prior_log_variance().value();
    for (int64_t m = 0; m < 2; ++m) {
      double squares = 0;
      for (int64_t i = 0; i < 2; ++i) {
        double middle = 0;
        for (int64_t p = 0; p < 150; ++p) middle += codes.mean.slice(m).at(2 * p + i) / 150;
        squares += middle * middle / std::exp(prior.at(2 * m + i));
      }
      CHECK(close(found[static_cast<size_t>(m)].mean_distance, std::sqrt(squares), 1e-12));
    }
    const auto alone = parts_models::make(parts_models::models()[0], 1, 1);
    for (const Parameter* parameter : all->parameters().trained())
      alone->parameters().at(parameter->name).value.copy_from(parameter->value.slice(1, 2));
    const AggregatePosterior own =
        aggregate_posterior(*alone, x.slice(1).reshape({1, 150, parts_models::kDimensions}), options)[0];
    CHECK(own.z.statistic == found[1].z.statistic);
    CHECK(own.means.statistic == found[1].means.statistic);
    CHECK(own.covariance_distance == found[1].covariance_distance);
    CHECK(own.mmd.squared == found[1].mmd.squared);
    CHECK(own.knn.mean == found[1].knn.mean);
    CHECK(own.z.statistic != found[0].z.statistic);
  }

  TEST_CASE("draws of a model have the mean and the covariance that a linear one has in closed form") {
    for (int64_t members : {0, 2}) {
      const auto vae =
          parts_models::make(parts_models::models()[2], members);  // linear, with a learned prior
      for (const char* name : {"prior.log_variance", "log_sigma2"}) {
        const Tensor value = vae->parameters().at(name).value;
        value.copy_from((Variable(draw(value.shape(), 6)) * 0.8).value());
      }
      const int64_t n = 40000, d = parts_models::kDimensions;
      const Tensor drawn = draw_points(*vae, n, 3);
      REQUIRE(drawn.shape() == (members > 0 ? Shape{members, n, d} : Shape{n, d}));
      for (int64_t m = 0; m < vae->models(); ++m) {
        const auto own = [&](const char* name) {
          const Tensor value = vae->parameters().at(name).value;
          return members > 0 ? value.slice(m) : value;
        };
        const Variable w = own("decoder.weight"), scaled = w * exp(0.5 * Variable(own("prior.log_variance")));
        const Tensor expected = (matmul_nt(scaled, scaled) +
                                 Variable(identity_matrix(d, DType::f64)) * exp(Variable(own("log_sigma2"))))
                                    .value();
        const Variable x = members > 0 ? drawn.slice(m) : drawn;
        const Tensor got = (matmul_tn(x, x) / static_cast<double>(n)).value();
        for (int64_t i = 0; i < d * d; ++i) {
          const double spread = std::sqrt(2 * expected.at(i / d * d + i / d) *
                                          expected.at(i % d * d + i % d) / static_cast<double>(n));
          CHECK(std::abs(got.at(i) - expected.at(i)) < 5 * spread);
        }
      }
    }
    // Bits, as often 1 as the decoder says.
    const auto bits = small_deep_vae(Likelihood::bernoulli);
    bits->parameters().at("decoder.1.weight").value.fill(0);
    const Tensor logits = bits->parameters().at("decoder.1.bias").value, x = draw_points(*bits, 20000, 4);
    for (int64_t j = 0; j < 4; ++j) {
      double ones = 0;
      for (int64_t i = 0; i < 20000; ++i) {
        const double bit = x.at(4 * i + j);
        if (bit != 0 && bit != 1) FAIL_CHECK(bit);
        ones += bit / 20000;
      }
      CHECK(std::abs(ones - 1 / (1 + std::exp(-logits.at(j)))) < 5 * 0.5 / std::sqrt(20000.0));
    }
    // Each z its own sigma.
    const auto spread = small_deep_vae(Likelihood::diagonal_gaussian);
    const Tensor of_diagonal = draw_points(*spread, 30, 4);
    CHECK(of_diagonal.shape() == Shape{30, 4});
    CHECK(draw_points(*spread, 30, 4).to_vector() == of_diagonal.to_vector());
    CHECK(draw_points(*spread, 30, 5).to_vector() != of_diagonal.to_vector());
  }
}
