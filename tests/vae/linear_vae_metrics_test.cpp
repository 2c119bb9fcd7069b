// What is reported of a linear VAE, against loops over the points and the identities that tie the numbers
// together.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "tests/vae/linear_setting.h"

using namespace elbo;

namespace {

const double kLog2Pi = std::log(2 * std::acos(-1.0));

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("the metrics' parts add up: row identity, tuned sigma^2, KL per unit") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      LinearSetting s(30, 5, 3, seed);
      const LinearVaeMetrics m = s.metrics();
      // ELBO(sigma^2) = -(D/2) ln(2 pi sigma^2) - D sigma^2* / (2 sigma^2) - KL.
      const auto row = [&](double sigma2) {
        return -2.5 * (kLog2Pi + std::log(sigma2)) - 5 * m.sigma2_tuned / (2 * sigma2) - m.kl;
      };
      CHECK(close(m.elbo, row(m.sigma2), 1e-12));
      CHECK(close(m.elbo_tuned, row(m.sigma2_tuned), 1e-12));
      CHECK(m.elbo_tuned > m.elbo);
      for (double factor : {0.9, 1.1}) CHECK(m.elbo_tuned > row(m.sigma2_tuned * factor));
      CHECK(close(std::accumulate(m.kl_per_dim.begin(), m.kl_per_dim.end(), 0.0), m.kl, 1e-13));
      CHECK(close(s.vae.analytic_elbo(s.centred).item(), m.elbo, 1e-12));
      s.set("log_sigma2", Tensor::full({1}, std::log(m.sigma2_tuned), DType::f64));
      CHECK(close(s.metrics().elbo, m.elbo_tuned, 1e-12));
    }
  }

  TEST_CASE("the metrics are those of a loop over points, also when the model's mean is not the data's") {
    LinearSetting s(25, 4, 2, 3);
    s.vae.set_mean((Variable(s.data.mean) - 3.0).value());
    s.value("encoder.weight").slice(1).fill(0.02);  // a unit that hardly moves with x
    const LinearVaeWeights w = linear_vae_weights(s.vae);
    const LinearVaeMetrics m = s.metrics();
    double error = 0;
    std::vector<double> kl(2, 0.0);
    Estimate code[2];
    for (int64_t p = 0; p < 25; ++p) {
      double z[2] = {};
      for (int64_t i = 0; i < 2; ++i) {
        for (int64_t j = 0; j < 4; ++j) z[i] += w.encoder.at(4 * i + j) * (s.x.at(4 * p + j) - w.mean.at(j));
        const double variance = std::exp(w.log_variance.at(i));
        kl[static_cast<size_t>(i)] += 0.5 * (z[i] * z[i] + variance - 1 - std::log(variance)) / 25;
        code[i].add(z[i]);
      }
      for (int64_t j = 0; j < 4; ++j)
        error += std::pow(
            s.x.at(4 * p + j) - w.mean.at(j) - w.decoder.at(2 * j) * z[0] - w.decoder.at(2 * j + 1) * z[1],
            2);
    }
    CHECK(close(m.mse, error / 100, 1e-12));
    for (size_t i = 0; i < 2; ++i) CHECK(close(m.kl_per_dim[i], kl[i], 1e-12));
    int64_t active = 0;
    for (const Estimate& c : code) active += c.squares / 25 - c.mean() * c.mean() > 0.01 ? 1 : 0;
    CHECK(active == 1);
    CHECK(m.active_units == active);
    CHECK(close(m.sigma2, s.sigma2(), 1e-15));
    const Tensor shifted = (Variable(s.x) - Variable(w.mean)).value();
    CHECK(close(s.vae.analytic_elbo(shifted).item(), m.elbo, 1e-12));
  }

  TEST_CASE("collapse counts units whose KL is small for nearly all points") {
    LinearSetting s(9001, 3, 3, 5);  // more rows than are taken at a time
    s.set("encoder.weight", Tensor::from<double>({3, 3}, {1e-4, 0, 0, 0, 0.06, 0, 0.7, 0, 0.4}));
    s.set("log_variance", Tensor::from<double>({3}, {0.001, 0.1, -0.4}));
    const LinearVaeWeights w = linear_vae_weights(s.vae);
    const std::vector<double> epsilons{1e-8, 0.004, 0.01, 0.03, 10, 1000};
    for (double delta : {0.0, 0.01, 0.3}) {
      const std::vector<double> percent = linear_vae_collapse_percent(w, s.x, epsilons, delta);
      REQUIRE(percent.size() == epsilons.size());
      for (size_t e = 0; e < epsilons.size(); ++e) {
        double collapsed = 0;
        for (int64_t i = 0; i < 3; ++i) {
          double below = 0;
          for (int64_t p = 0; p < 9001; ++p) {
            double mean = 0;
            for (int64_t j = 0; j < 3; ++j)
              mean += w.encoder.at(3 * i + j) * (s.x.at(3 * p + j) - w.mean.at(j));
            const double variance = std::exp(w.log_variance.at(i));
            if (0.5 * (mean * mean + variance - 1 - std::log(variance)) < epsilons[e]) ++below;
          }
          if (below >= (1 - delta) * 9001) ++collapsed;
        }
        CHECK(percent[e] == doctest::Approx(100 * collapsed / 3));
      }
      CHECK(percent.front() == 0);
      CHECK(percent.back() == 100);
      CHECK(std::is_sorted(percent.begin(), percent.end()));
    }
    const std::vector<double> strict = linear_vae_collapse_percent(w, s.x, epsilons, 0.0),
                              loose = linear_vae_collapse_percent(w, s.x, epsilons, 0.3);
    CHECK(strict != loose);
  }
}
