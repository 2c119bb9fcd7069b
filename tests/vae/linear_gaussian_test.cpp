// Linear Gaussian models: every closed form beside sums over fine grids of z, or many draws; and the numbers
// of Yacoby et al.
#include "vae/linear_gaussian.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/jtex.h"

namespace elbo {
namespace {

LinearGaussian some_model() {
  return {Tensor::from<double>({3, 2}, {0.9, 0.3, -0.4, 1.1, 0.5, -0.2}),
          Tensor::from<double>({3}, {0.3, 0.5, 0.2})};
}

double log_normal(double x, double variance) {
  return -0.5 * (x * x / variance + std::log(2 * std::numbers::pi * variance));
}

/// ln p(x, z).
double log_joint(const LinearGaussian& model, const Tensor& x, double z1, double z2) {
  double sum = log_normal(z1, 1) + log_normal(z2, 1);
  for (int64_t d = 0; d < model.noise.elements(); ++d)
    sum += log_normal(x.at(d) - model.weight.at(2 * d) * z1 - model.weight.at(2 * d + 1) * z2,
                      model.noise.at(d));
  return sum;
}

/// Sum over a grid of z of value(z1, z2), times the cells' area.
template <class F>
double integral(const F& value) {
  const double step = 0.05;
  double sum = 0;
  for (double a = -8; a <= 8; a += step)
    for (double b = -8; b <= 8; b += step) sum += value(a, b) * step * step;
  return sum;
}

/// KL of N(mean, diag variance) to p(z|x), as a sum over a grid.
double kl_by_grid(const LinearGaussian& model, const Tensor& x, double m1, double m2, double v1, double v2) {
  const double log_px =
      std::log(integral([&](double a, double b) { return std::exp(log_joint(model, x, a, b)); }));
  return integral([&](double a, double b) {
    const double log_q = log_normal(a - m1, v1) + log_normal(b - m2, v2);
    return std::exp(log_q) * (log_q - log_joint(model, x, a, b) + log_px);
  });
}

Tensor some_covariance() {
  return Tensor::from<double>({3, 3}, {1.5, 0.2, 0.3, 0.2, 1.1, -0.4, 0.3, -0.4, 0.8});
}

constexpr double kLogTwoPiE = 2.8378770664093453;

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("linear Gaussian: ln p(x) and the exact posterior are those of sums over z") {
    const LinearGaussian model = some_model();
    const LinearPosterior posterior = exact_posterior(model);
    const Tensor x = draw({3, 3}, 4), log_p = log_density(model, x);
    for (int64_t n = 0; n < 3; ++n) {
      const Tensor one = x.slice(n);
      const double px = integral([&](double a, double b) { return std::exp(log_joint(model, one, a, b)); });
      CHECK(close(log_p.at(n), std::log(px), 1e-10));
      const auto mean_of = [&](const auto& f) {
        return integral([&](double a, double b) { return f(a, b) * std::exp(log_joint(model, one, a, b)); }) /
               px;
      };
      double mean[2]{};
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t d = 0; d < 3; ++d) mean[i] += posterior.projection.at(3 * i + d) * one.at(d);
      CHECK(close(mean[0], mean_of([](double a, double) { return a; }), 1e-10));
      CHECK(close(mean[1], mean_of([](double, double b) { return b; }), 1e-10));
      CHECK(close(posterior.covariance.at(0),
                  mean_of([&](double a, double) { return std::pow(a - mean[0], 2); }), 1e-10));
      CHECK(close(posterior.covariance.at(1),
                  mean_of([&](double a, double b) { return (a - mean[0]) * (b - mean[1]); }), 1e-10));
      CHECK(close(posterior.covariance.at(3),
                  mean_of([&](double, double b) { return std::pow(b - mean[1], 2); }), 1e-10));
    }
  }

  TEST_CASE("linear Gaussian: the closest mean-field posterior, and how far any other is, by sums over z") {
    const LinearGaussian model = some_model();
    const LinearPosterior posterior = exact_posterior(model);
    const Tensor v = mean_field_variances(posterior), x = draw({2, 3}, 7);
    const double least = mean_field_gap(posterior);
    const Tensor means = matmul_nt(x, posterior.projection).value();
    for (int64_t n = 0; n < 2; ++n)
      CHECK(close(kl_by_grid(model, x.slice(n), means.at(2 * n), means.at(2 * n + 1), v.at(0), v.at(1)),
                  least, 1e-9));
    CHECK(least > 1e-3);
    const auto gap = [&](double dm1, double dm2, double f1, double f2) {
      const Tensor mean = means.clone(), variance = Tensor::empty({2, 2}, DType::f64);
      for (int64_t n = 0; n < 2; ++n) {
        mean.data<double>()[2 * n] += dm1, mean.data<double>()[2 * n + 1] += dm2;
        variance.data<double>()[2 * n] = v.at(0) * f1, variance.data<double>()[2 * n + 1] = v.at(1) * f2;
      }
      double by_grid = 0;
      for (int64_t n = 0; n < 2; ++n)
        by_grid += 0.5 * kl_by_grid(model, x.slice(n), mean.at(2 * n), mean.at(2 * n + 1), variance.at(2 * n),
                                    variance.at(2 * n + 1));
      const double ours = posterior_gap(posterior, x, mean, variance);
      CHECK(close(ours, by_grid, 1e-9));
      return ours;
    };
    CHECK(close(gap(0, 0, 1, 1), least, 1e-12));
    CHECK(gap(0.1, 0, 1, 1) > least + 1e-3);
    CHECK(gap(0, -0.2, 1, 1) > least + 1e-3);
    CHECK(gap(0, 0, 1.2, 1) > least + 1e-3);
    CHECK(gap(0.3, 0.2, 1, 0.7) > least + 1e-3);
  }

  TEST_CASE("linear Gaussian: divergence, information and the aggregated posterior are those of many draws") {
    const LinearGaussian model = some_model();
    const Tensor covariance = some_covariance(), root = cholesky(covariance);
    const int64_t draws = 40000;
    const Tensor x = matmul_nt(draw({draws, 3}, 1), root).value(), log_p = log_density(model, x);
    Estimate log_model, log_data;
    const LinearGaussian data{root, Tensor::full({3}, 1e-12, DType::f64)};  // N(0, covariance)
    const Tensor own = log_density(data, x);
    for (int64_t n = 0; n < draws; ++n) {
      log_model.add(log_p.at(n));
      log_data.add(own.at(n) - log_p.at(n));
    }
    const OptimalLoss loss = optimal_loss(model, covariance);
    CHECK(std::abs(mean_log_density(model, covariance) - log_model.mean()) < 5 * log_model.standard_error());
    CHECK(std::abs(loss.likelihood - log_data.mean()) < 5 * log_data.standard_error());
    CHECK(loss.posterior == mean_field_gap(exact_posterior(model)));
    CHECK(std::abs(optimal_loss(model, data_covariance(model)).likelihood) < 1e-12);

    // ln p(x|z) - ln p(x) over draws of the model.
    Estimate information;
    const Tensor z = draw({draws, 2}, 2), noise = draw({draws, 3}, 3);
    const Tensor made = (matmul_nt(z, model.weight) + Variable(noise) * sqrt(Variable(model.noise))).value();
    const Tensor log_made = log_density(model, made);
    for (int64_t n = 0; n < draws; ++n) {
      double given_z = 0;
      for (int64_t d = 0; d < 3; ++d)
        given_z += log_normal(noise.at(3 * n + d) * std::sqrt(model.noise.at(d)), model.noise.at(d));
      information.add(given_z - log_made.at(n));
    }
    CHECK(std::abs(mutual_information(model) - information.mean()) < 5 * information.standard_error());

    const LinearPosterior posterior = exact_posterior(model);
    const Tensor root_of_posterior = cholesky(posterior.covariance);
    const Tensor means = matmul_nt(x, posterior.projection).value();
    const Tensor exact = (matmul_nt(draw({draws, 2}, 4), root_of_posterior) + means).value();
    const Tensor mean_field =
        (Variable(draw({draws, 2}, 5)) * sqrt(Variable(mean_field_variances(posterior))) + means).value();
    for (const bool is_mean_field : {false, true}) {
      const Tensor ours = aggregated_covariance(posterior, covariance, is_mean_field);
      const Tensor& drawn = is_mean_field ? mean_field : exact;
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t j = 0; j < 2; ++j) {
          Estimate product;
          for (int64_t n = 0; n < draws; ++n) product.add(drawn.at(2 * n + i) * drawn.at(2 * n + j));
          CHECK(std::abs(ours.at(2 * i + j) - product.mean()) < 5 * product.standard_error());
        }
    }
    // Of the model's own data it is the prior (Eq. 9).
    const Tensor prior = aggregated_covariance(posterior, data_covariance(model), false);
    for (int64_t i = 0; i < 4; ++i) CHECK(close(prior.at(i), i % 3 == 0 ? 1 : 0, 1e-12));
  }

  TEST_CASE("linear Gaussian: in one dimension every theta fits, and tells what Eq. 15 says without its -4") {
    const double sigma2 = 0.7;
    for (const double theta : {0.0, 0.2, -0.6, 0.83}) {
      const LinearGaussian model{Tensor::full({1, 1}, theta, DType::f64),
                                 Tensor::full({1}, sigma2 - theta * theta, DType::f64)};
      const OptimalLoss loss = optimal_loss(model, Tensor::full({1, 1}, sigma2, DType::f64));
      CHECK(std::abs(loss.likelihood) < 1e-12);
      CHECK(std::abs(loss.posterior) < 1e-12);
      CHECK(close(mutual_information(model), 0.5 * std::log(sigma2 / (sigma2 - theta * theta)), 1e-12));
      const LinearPosterior posterior = exact_posterior(model);  // Eq. 16
      CHECK(close(posterior.projection.item(), theta / sigma2, 1e-12));
      CHECK(close(posterior.covariance.item(), (sigma2 - theta * theta) / sigma2, 1e-12));
    }
  }

  TEST_CASE("LinearJTEx: the paper's 0.532 and 0.196, and where they come from") {
    const Tensor a = Tensor::from<double>({2, 2}, {0.75, 0.25, 1.5, -1});
    const std::vector<double> floor{0.006, 0.006};
    const LinearGaussian truth = jtex_model(a, floor, 0.01);
    const Tensor covariance = data_covariance(truth);
    const double expected[]{0.635, 0.875, 0.875, 3.26};  // A A^T + sigma_e^2 I
    for (int64_t i = 0; i < 4; ++i) CHECK(close(covariance.at(i), expected[i], 1e-12));
    const OptimalLoss at_truth = optimal_loss(truth, covariance);
    CHECK(std::abs(at_truth.likelihood) < 1e-12);
    CHECK(std::abs(at_truth.total() - 0.532) < 5e-4);
    CHECK(close(mean_log_density(truth, covariance),
                -kLogTwoPiE - 0.5 * std::log(0.635 * 3.26 - 0.875 * 0.875), 1e-12));

    const JtexOptimum optimum = jtex_optimum(covariance, floor, 0.01, 6, 3);
    CHECK(std::abs(optimum.loss.total() - 0.196) < 5e-4);
    CHECK(optimum.losses.size() == 6);
    for (const double loss : optimum.losses) CHECK(std::abs(loss - optimum.loss.total()) < 1e-9);
    // A minimum: no A nearby has less, in any of many directions.
    for (uint64_t seed = 0; seed < 30; ++seed) {
      const Tensor moved = (Variable(optimum.factor) + 1e-3 * Variable(draw({2, 2}, 50 + seed))).value();
      CHECK(optimal_loss(jtex_model(moved, floor, 0.01), covariance).total() > optimum.loss.total() - 1e-12);
    }
    // Only A A^T matters.
    const Tensor turn = Tensor::from<double>({2, 2}, {0.6, -0.8, 0.8, 0.6});
    const Tensor turned = matmul(a, turn).value();
    CHECK(close(optimal_loss(jtex_model(turned, floor, 0.01), covariance).total(), at_truth.total(), 1e-9));
  }

  TEST_CASE(
      "LinearJTEx over B: the data are the same, and the posterior term is least where B11 alone is large") {
    const Tensor a = Tensor::from<double>({2, 2}, {0.75, 0.25, 1.5, -1});
    const Tensor covariance = data_covariance(jtex_model(a, {0.006, 0.006}, 0.01));
    const auto at = [&](double b11, double b22) { return jtex_model(a, {b11, b22}, 0.01); };
    const LinearGaussian corner = at(0.0099, 0);
    const double least = mean_field_gap(exact_posterior(corner)), told = mutual_information(corner);
    for (const double b11 : {0.0, 0.002, 0.006, 0.0099})
      for (const double b22 : {0.0, 0.002, 0.006, 0.0099}) {
        const LinearGaussian model = at(b11, b22);
        CHECK(std::abs(optimal_loss(model, covariance).likelihood) < 1e-9);
        CHECK(mean_field_gap(exact_posterior(model)) >= least);
        // Eq. 22.
        CHECK(close(
            mutual_information(model),
            0.5 * (std::log(0.635 * 3.26 - 0.875 * 0.875) - std::log(0.01 - b11) - std::log(0.01 - b22)),
            1e-9));
      }
    CHECK(told > mutual_information(at(0, 0)) + 1);
    CHECK(told < mutual_information(at(0.0099, 0.0099)) - 1);
  }

  TEST_CASE("linear Gaussian: bad input is refused") {
    const LinearGaussian model = some_model();
    CHECK(mentions(error_of([&] {
                     data_covariance({model.weight, Tensor::full({2}, 1, DType::f64)});
                   }),
                   "[linear_gaussian] weights (D, k)"));
    CHECK(mentions(error_of([&] {
                     data_covariance({model.weight, Tensor::zeros({3}, DType::f64)});
                   }),
                   "must be positive"));
    CHECK(mentions(error_of([&] { log_density(model, draw({4, 2}, 1)); }), "x must be (N, 3)"));
    CHECK(mentions(error_of([&] { optimal_loss(model, draw({2, 2}, 1)); }), "a covariance (3, 3)"));
    CHECK(mentions(error_of([] {
                     jtex_model(Tensor::zeros({2, 2}, DType::f64), {0.01, 0}, 0.01);
                   }),
                   "B must be"));
    CHECK(mentions(error_of([] {
                     jtex_model(Tensor::zeros({3, 3}, DType::f64), {0, 0}, 0.01);
                   }),
                   "A must be (2, 2)"));
    CHECK(mentions(error_of([&] {
                     posterior_gap(exact_posterior(model), draw({4, 3}, 1), draw({4, 2}, 1), draw({3, 2}, 1));
                   }),
                   "x (N, 3) and mean and variance (N, 2)"));
  }
}

}  // namespace elbo
