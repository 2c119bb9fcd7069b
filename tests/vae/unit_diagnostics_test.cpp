// What each unit carries and is worth: against loops over points, integrals over the silenced unit, and the
// closed form of the linear VAE.
#include "vae/unit_diagnostics.h"

#include <doctest/doctest.h>

#include "tests/vae/deep_setting.h"

namespace elbo {
namespace {

/// q(z|x) so narrow that every z is its mean, to 13 digits.
void narrow(DeepVae& vae) {
  vae.parameters().at("encoder.log_variance.weight").value.fill(0);
  vae.parameters().at("encoder.log_variance.bias").value.fill(-60);
}

/// Mean of f over N(0, 1), for smooth f.
template <class F>
double over_normal(F f) {
  const int cells = 480;
  double total = 0;
  for (int i = 0; i <= cells; ++i) {
    const double z = -8 + 16.0 * i / cells;
    total += f(z) * std::exp(VaeTwin::log_normal(z, 0, 0));
  }
  return total * 16 / cells;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE(
      "unit diagnostics: moments, law and their error are those of loops over points, in several passes") {
    for (int64_t members : {0, 2}) {
      const auto vae = small_deep_vae(Likelihood::gaussian, members);
      const int64_t n = 1030;
      const Tensor x = data_for(Likelihood::gaussian, n, 4, 3);
      const auto metrics = evaluate_deep_vae(*vae, x);
      const auto gains = unit_gains(*vae, x.slice(0, 5), 0);
      for (int64_t m = 0; m < vae->models(); ++m) {
        const VaeTwin twin(*vae, m);
        const auto units =
            unit_diagnostics(metrics.at(static_cast<size_t>(m)), gains.at(static_cast<size_t>(m)));
        REQUIRE(units.size() == 3);
        for (size_t u = 0; u < 3; ++u) {
          Estimate mean, squares, variance, kl, below;
          for (int64_t i = 0; i < n; ++i) {
            const VaeTwin::Normal q = twin.encode(row(x, i));
            mean.add(q.mean[u]);
            squares.add(q.mean[u] * q.mean[u]);
            variance.add(std::exp(q.log_variance[u]));
            const double own = VaeTwin::unit_kl(q.mean[u], q.log_variance[u]);
            kl.add(own);
            below.add(own < kTableEpsilon ? 1 : 0);
          }
          Estimate law;
          for (int64_t i = 0; i < n; ++i) {
            const VaeTwin::Normal q = twin.encode(row(x, i));
            law.add(std::pow(q.mean[u] - mean.mean(), 2) + std::exp(q.log_variance[u]));
          }
          const UnitDiagnostics& unit = units[u];
          CHECK(unit.unit == static_cast<int64_t>(u));
          CHECK(close(unit.mean_of_mean, mean.mean(), 1e-12));
          CHECK(close(unit.variance_of_mean, squares.mean() - mean.mean() * mean.mean(), 1e-12));
          CHECK(close(unit.mean_variance, variance.mean(), 1e-12));
          CHECK(close(unit.law, law.mean(), 1e-12));
          CHECK(std::abs(unit.law_standard_error / law.standard_error() - 1) < 1e-9);
          CHECK(close(unit.kl, kl.mean(), 1e-12));
          CHECK(close(unit.share_below, below.mean(), 1e-12));
        }
      }
    }
    const auto vae = small_deep_vae(Likelihood::gaussian);
    CHECK(std::isnan(evaluate_deep_vae(*vae, draw({1, 4}, 3))[0].variance_law_standard_error[0]));
  }

  TEST_CASE("the law's cost is the KL that moving and scaling every unit saves, the decoder undoing both") {
    const auto vae = small_deep_vae(Likelihood::gaussian);
    const Tensor x = data_for(Likelihood::gaussian, 200, 4, 3);
    const auto measured = [&] { return evaluate_deep_vae(*vae, x, {.seed = 5, .progress = {}}).at(0); };
    const auto parameter = [&](const char* name) { return vae->parameters().at(name).value.span<double>(); };
    const DeepVaeMetrics before = measured();
    const std::vector<UnitDiagnostics> units =
        unit_diagnostics(before, unit_gains(*vae, x.slice(0, 5), 0).at(0));
    const auto mean_weight = parameter("encoder.mean.weight"), mean_bias = parameter("encoder.mean.bias"),
               variance_bias = parameter("encoder.log_variance.bias"),
               decoder_weight = parameter("decoder.0.weight"), decoder_bias = parameter("decoder.0.bias");
    const size_t k = units.size(), features = mean_weight.size() / k;
    double saved = 0;
    for (size_t u = 0; u < k; ++u) {
      CHECK(units[u].law_cost() > 1e-4);
      saved += units[u].law_cost();
      const double moved = units[u].mean_of_mean, scale = 1 / std::sqrt(units[u].law);
      for (size_t f = 0; f < features; ++f) mean_weight[u * features + f] *= scale;
      mean_bias[u] = scale * (mean_bias[u] - moved);
      variance_bias[u] += 2 * std::log(scale);
      for (size_t h = 0; h < decoder_bias.size(); ++h) {
        decoder_bias[h] += decoder_weight[h * k + u] * moved;
        decoder_weight[h * k + u] /= scale;
      }
    }
    const DeepVaeMetrics after = measured();
    CHECK(close(after.expected_log_likelihood, before.expected_log_likelihood, 1e-12));
    CHECK(close(before.kl - after.kl, saved, 1e-11));
    for (const UnitDiagnostics& unit : unit_diagnostics(after, unit_gains(*vae, x.slice(0, 5), 0).at(0))) {
      CHECK(close(unit.law, 1, 1e-12));
      CHECK(std::abs(unit.law_cost()) < 1e-12);
    }
  }

  TEST_CASE("unit gains: silencing a unit costs what the decoder loses without it, of every likelihood") {
    const int64_t n = 530;
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 2}) {
        CAPTURE(std::string(name(likelihood)));
        const auto vae = small_deep_vae(likelihood, members);
        narrow(*vae);
        const Tensor x = data_for(likelihood, n, 4, 3);
        const auto gains = unit_gains(*vae, x, 1);
        REQUIRE(static_cast<int64_t>(gains.size()) == vae->models());
        for (int64_t m = 0; m < vae->models(); ++m) {
          const VaeTwin twin(*vae, m);
          const UnitGains& own = gains[static_cast<size_t>(m)];
          CHECK(own.points == n);
          for (size_t u = 0; u < 3; ++u) {
            Estimate gain;
            for (int64_t i = 0; i < n; ++i) {
              const Numbers point = row(x, i), z = twin.encode(point).mean;
              Numbers silenced = z;
              silenced[u] = 0;
              gain.add(twin.log_likelihood(point, z) - twin.log_likelihood(point, silenced));
            }
            CHECK(close(own.zero[u].mean, gain.mean(), 1e-10));
            CHECK(close(own.zero[u].standard_error, gain.standard_error(), 1e-9));
          }
        }
      }
  }

  TEST_CASE("unit gains: a unit drawn from the prior costs the integral over it") {
    const auto vae = small_deep_vae(Likelihood::gaussian, 2);
    narrow(*vae);
    const Tensor x = draw({20, 4}, 3);
    std::vector<std::vector<Estimate>> found(2, std::vector<Estimate>(3));
    for (uint64_t seed = 0; seed < 400; ++seed) {
      const auto gains = unit_gains(*vae, x, seed);
      for (size_t m = 0; m < 2; ++m)
        for (size_t u = 0; u < 3; ++u) found[m][u].add(gains[m].prior[u].mean);
    }
    for (size_t m = 0; m < 2; ++m) {
      const VaeTwin twin(*vae, static_cast<int64_t>(m));
      for (size_t u = 0; u < 3; ++u) {
        double exact = 0;
        for (int64_t i = 0; i < x.size(0); ++i) {
          const Numbers point = row(x, i), z = twin.encode(point).mean;
          exact += over_normal([&](double other) {
            Numbers changed = z;
            changed[u] = other;
            return twin.log_likelihood(point, z) - twin.log_likelihood(point, changed);
          });
        }
        exact /= static_cast<double>(x.size(0));
        CHECK(found[m][u].standard_error() < 0.1 * std::abs(exact));
        CHECK(std::abs(found[m][u].mean() - exact) < 4.5 * found[m][u].standard_error());
      }
    }
  }

  TEST_CASE("unit diagnostics: at a linear VAE's optimum KL is ln(r)/2, the gains (r - 1)/2 and r - 1") {
    LinearSetting s(400, 6, 3, 5);
    const Eigen eigen = principal_components(s.data);
    // A sigma^2 between the second and the third eigenvalue: the third unit is worth nothing.
    const double sigma2 = std::sqrt(eigen.values.at(1) * eigen.values.at(2));
    const Ppca best = ppca_solution(s.data, eigen, 3, sigma2);
    s.set("decoder.weight", best.weight);
    s.set("log_sigma2", Tensor::full({1}, std::log(sigma2), DType::f64));
    s.set_best_encoder();
    s.set_best_log_variance();
    const auto vae = as_deep(s);
    const DeepVaeMetrics metrics = evaluate_deep_vae(*vae, s.centred)[0];
    std::vector<Estimate> zero(3), prior(3);
    for (uint64_t seed = 0; seed < 100; ++seed) {
      const UnitGains gains = unit_gains(*vae, s.centred, seed)[0];
      for (size_t u = 0; u < 3; ++u) {
        zero[u].add(gains.zero[u].mean);
        prior[u].add(gains.prior[u].mean);
      }
    }
    const auto units = unit_diagnostics(metrics, unit_gains(*vae, s.centred, 1)[0]);
    for (size_t u = 0; u < 3; ++u) {
      CAPTURE(u);
      const double r = std::max(eigen.values.at(static_cast<int64_t>(u)) / sigma2, 1.0);
      CHECK(close(units[u].law, 1, 1e-12));
      CHECK(close(units[u].mean_variance, 1 / r, 1e-12));
      CHECK(close(units[u].kl, 0.5 * std::log(r), 1e-12));
      CHECK(std::abs(zero[u].mean() - (r - 1) / 2) <= 4.5 * zero[u].standard_error() + 1e-12);
      CHECK(std::abs(prior[u].mean() - (r - 1)) <= 4.5 * prior[u].standard_error() + 1e-12);
      CHECK(units[u].by_variance() == (u < 2));
      CHECK(units[u].by_kl() == (u < 2));
      CHECK(units[u].by_half_variance() == (r > 2));
    }
    // r = 1.25 and more: the first is worth its KL beyond doubt, the collapsed one has no doubt either.
    CHECK(units[0].by_gain());
    CHECK(!units[2].by_gain());
    CHECK(units[2].gain.mean == 0);
    CHECK(units[2].criteria_agree());
  }

  TEST_CASE("unit diagnostics: each criterion has its own threshold, and they agree where all say the same") {
    UnitDiagnostics unit{.variance_of_mean = 0.9, .kl = 2, .share_below = 0, .gain = {3, 0.4}};
    CHECK(unit.by_gain());
    CHECK(unit.criteria_agree());
    unit.gain.standard_error = 0.6;
    CHECK(!unit.by_gain());
    CHECK(!unit.criteria_agree());
    unit = {.variance_of_mean = 0.3, .kl = 0.005, .share_below = 0.991, .gain = {0.004, 0.001}};
    CHECK(unit.by_variance());
    CHECK(!unit.by_half_variance());
    CHECK(!unit.by_kl());
    CHECK(!unit.criteria_agree());
    unit.variance_of_mean = 0.009;
    CHECK(unit.criteria_agree());
    unit.share_below = 0.989;
    CHECK(unit.by_kl());
    CHECK(!unit.criteria_agree());
  }

  TEST_CASE(
      "unit gains: a member's are those of the model alone, and many units are looked at on fewer points") {
    const auto vae = small_deep_vae(Likelihood::bernoulli, 3, DType::f32);
    const Tensor x = data_for(Likelihood::bernoulli, 600, 4, 3).to(DType::f32);
    const auto together = unit_gains(*vae, x, 5);
    for (int64_t m = 0; m < 3; ++m) {
      const UnitGains alone = unit_gains(*member_alone(*vae, m), x, 5)[0];
      CHECK(alone.zero == together[static_cast<size_t>(m)].zero);
      CHECK(alone.prior == together[static_cast<size_t>(m)].prior);
    }
    CHECK(points_for_gains(2) == 256);
    CHECK(points_for_gains(200) == 163);
    CHECK(points_for_gains(5000) == 32);
  }
}

}  // namespace elbo
