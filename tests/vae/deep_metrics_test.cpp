// What is reported of a deep VAE: against loops over points, integrals in one dimension and the linear VAE's
// closed forms.
#include "vae/deep_metrics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/error_of.h"
#include "tests/thread_count.h"
#include "tests/vae/deep_setting.h"

using namespace elbo;

namespace {

const double kLog2Pi = std::log(2 * std::acos(-1.0));

/// k = 3: one unit that lives, one that hardly moves with x, one between.
std::unique_ptr<DeepVae> example(Likelihood likelihood, int64_t members = 0, DType dtype = DType::f64) {
  auto vae = small_deep_vae(likelihood, members, dtype);
  const double size[] = {1, 0.01, 0.1};
  for (const char* head : {"encoder.mean", "encoder.log_variance"})
    for (const char* part : {".weight", ".bias"}) {
      const Tensor value = vae->parameters().at(std::string(head) + part).value;
      const int64_t rows = vae->models() * 3, columns = value.elements() / rows;
      for (int64_t i = 0; i < rows; ++i) {
        const Tensor own = value.reshape({rows, columns}).slice(i);
        own.copy_from((Variable(own) * size[i % 3]).value());
      }
    }
  return vae;
}

/// Makes q(z|x) so narrow that every z is its mean, to 13 digits.
void narrow(DeepVae& vae) {
  vae.parameters().at("encoder.log_variance.weight").value.fill(0);
  vae.parameters().at("encoder.log_variance.bias").value.fill(-60);
}

/// A model without hidden layers, x -> N(scale x + shift, e^log_variance) for each of k = D units.
DeepVaeOptions plain_options(int64_t dimensions, int64_t members = 0, DType dtype = DType::f64) {
  return {.dimensions = dimensions,
          .latent = dimensions,
          .encoder_hidden = {},
          .decoder_hidden = {},
          .dtype = dtype,
          .members = members};
}
void set_diagonal_encoder(DeepVae& vae, const Numbers& scale, const Numbers& log_variance) {
  const auto value = [&](const char* name) { return vae.parameters().at(name).value; };
  const auto k = static_cast<int64_t>(scale.size());
  value("encoder.mean.weight").fill(0);
  for (int64_t i = 0; i < k; ++i)
    value("encoder.mean.weight").view_at(i * k + i, {1}).fill(scale[static_cast<size_t>(i)]);
  value("encoder.log_variance.weight").fill(0);
  value("encoder.log_variance.bias")
      .copy_from(Tensor::from<double>({k}, log_variance).to(vae.options().dtype));
}

/// Integral of f over the line, for smooth f that is negligible beyond +-12.
double integral(const std::function<double(double)>& f) {
  const int cells = 1200;
  double total = 0;
  for (int i = 0; i <= cells; ++i) total += f(-12 + 24.0 * i / cells);
  return total * 24 / cells;
}

MetricsOptions sampled(uint64_t seed, int64_t samples) {
  return {.seed = seed, .samples = samples, .progress = nullptr};
}

std::vector<double> numbers(const DeepVaeMetrics& m) {
  std::vector<double> all{m.elbo,
                          m.expected_log_likelihood,
                          m.kl,
                          m.mse,
                          m.sigma2_tuned,
                          static_cast<double>(m.active_units),
                          m.sigma2,
                          m.elbo_tuned,
                          m.row_identity_gap,
                          m.elbo_standard_error};
  for (const std::vector<double>* list : {&m.kl_per_dim, &m.collapse_percent, &m.variance_law})
    all.insert(all.end(), list->begin(), list->end());
  for (double& value : all)
    if (std::isnan(value)) value = -12345;  // so that NaN compares equal
  return all;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("deep metrics: the metrics are those of loops over points, through several passes") {
    const int64_t n = 1030, k = 3, d = 4;
    const std::vector<double>& epsilons = collapse_epsilons();
    REQUIRE(epsilons.size() == 21);
    for (size_t e = 0; e < epsilons.size(); ++e)
      CHECK(close(epsilons[e] / std::pow(10, -4 + 0.25 * static_cast<double>(e)), 1, 1e-12));
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 2})
        for (bool is_narrow : {false, true}) {
          CAPTURE(std::string(name(likelihood)));
          CAPTURE(members);
          CAPTURE(is_narrow);
          const auto vae = example(likelihood, members);
          if (is_narrow) narrow(*vae);
          const Tensor x = data_for(likelihood, n, d, 3);
          const auto all = evaluate_deep_vae(*vae, x, sampled(4, 2));
          REQUIRE(static_cast<int64_t>(all.size()) == vae->models());
          for (int64_t m = 0; m < vae->models(); ++m) {
            const VaeTwin twin(*vae, m);
            const DeepVaeMetrics& metrics = all[static_cast<size_t>(m)];
            Numbers kl(k), variance(k);
            std::vector<Numbers> unit_kl(k), mean(k);
            Estimate elbo;
            double log_likelihood = 0, error = 0;
            for (int64_t i = 0; i < n; ++i) {
              const Numbers point = row(x, i);
              const VaeTwin::Normal q = twin.encode(point);
              for (size_t u = 0; u < k; ++u) {
                const double own = VaeTwin::unit_kl(q.mean[u], q.log_variance[u]);
                kl[u] += own / n;
                unit_kl[u].push_back(own);
                mean[u].push_back(q.mean[u]);
                variance[u] += std::exp(q.log_variance[u]) / n;
              }
              error += twin.squared_error(point, q.mean) / n;
              log_likelihood += twin.log_likelihood(point, q.mean) / n;
              double own = twin.log_likelihood(point, q.mean);
              for (size_t u = 0; u < k; ++u) own -= unit_kl[u].back();
              elbo.add(own);
            }
            const double total = std::accumulate(kl.begin(), kl.end(), 0.0);
            CHECK(close(metrics.kl, total, 1e-12));
            CHECK(close(metrics.mse, error / d, 1e-12));
            int64_t active = 0;
            REQUIRE(metrics.kl_per_dim.size() == k);
            REQUIRE(metrics.variance_law.size() == k);
            for (size_t u = 0; u < k; ++u) {
              CHECK(close(metrics.kl_per_dim[u], kl[u], 1e-12));
              const double centre = std::accumulate(mean[u].begin(), mean[u].end(), 0.0) / n;
              double spread = 0;
              for (double own : mean[u]) spread += (own - centre) * (own - centre) / n;
              CHECK(close(metrics.variance_law[u], spread + variance[u], 1e-12));
              active += spread > 0.01 ? 1 : 0;
            }
            CHECK(metrics.active_units == active);
            CHECK(active > 0);
            CHECK(active < 3);
            REQUIRE(metrics.collapse_percent.size() == epsilons.size());
            for (size_t e = 0; e < epsilons.size(); ++e) {
              int64_t collapsed = 0;
              for (size_t u = 0; u < k; ++u)
                collapsed += 100 * std::count_if(unit_kl[u].begin(), unit_kl[u].end(),
                                                 [&](double own) { return own < epsilons[e]; }) >=
                                     99 * n
                                 ? 1
                                 : 0;
              CHECK(close(metrics.collapse_percent[e], 100.0 * static_cast<double>(collapsed) / k, 1e-13));
            }
            CHECK(metrics.table_collapse_percent() == metrics.collapse_percent[8]);
            CHECK(close(metrics.elbo, metrics.expected_log_likelihood - metrics.kl, 1e-13));
            CHECK(metrics.samples == 2);
            CHECK(metrics.elbo_standard_error > 0);
            if (likelihood == Likelihood::gaussian) {
              CHECK(close(metrics.sigma2, 0.6, 1e-14));
              CHECK(std::abs(metrics.row_identity_gap) < 1e-11);
              CHECK(close(metrics.elbo_tuned,
                          -0.5 * d * (kLog2Pi + std::log(metrics.sigma2_tuned) + 1) - metrics.kl, 1e-12));
              CHECK(metrics.elbo_tuned > metrics.elbo);
            } else {
              for (double none : {metrics.sigma2, metrics.elbo_tuned, metrics.row_identity_gap})
                CHECK(std::isnan(none));
            }
            if (!is_narrow) continue;
            CHECK(close(metrics.expected_log_likelihood, log_likelihood, 1e-10));
            CHECK(close(metrics.elbo_standard_error, elbo.standard_error(), 1e-9));
            CHECK(close(metrics.sigma2_tuned, error / d, 1e-10));
          }
        }
  }

  TEST_CASE("deep metrics: of a linear VAE they are the closed forms, the sampled ones within their error") {
    LinearSetting s(60, 5, 3, 5, 0.4);
    const auto vae = as_deep(s);
    const LinearVaeMetrics exact = s.metrics();
    Estimate log_likelihood, tuned;
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const DeepVaeMetrics own = evaluate_deep_vae(*vae, s.centred, sampled(seed, 8))[0];
      CHECK(close(own.kl, exact.kl, 1e-12));
      CHECK(close(own.mse, exact.mse, 1e-12));
      CHECK(own.active_units == exact.active_units);
      for (size_t u = 0; u < 3; ++u) CHECK(close(own.kl_per_dim[u], exact.kl_per_dim[u], 1e-12));
      CHECK(std::abs(own.row_identity_gap) < 1e-11);
      log_likelihood.add(own.expected_log_likelihood);
      tuned.add(own.sigma2_tuned);
    }
    CHECK(log_likelihood.standard_error() < 0.05);
    CHECK(log_likelihood.standard_error() > 0);
    CHECK(std::abs(log_likelihood.mean() - (exact.elbo + exact.kl)) < 4 * log_likelihood.standard_error());
    CHECK(tuned.standard_error() < 0.02);
    CHECK(std::abs(tuned.mean() - exact.sigma2_tuned) < 4 * tuned.standard_error());
    // At the tuned sigma^2, with the same z, the ELBO is the tuned one.
    const DeepVaeMetrics before = evaluate_deep_vae(*vae, s.centred, sampled(0, 8))[0];
    vae->parameters().at("log_sigma2").value.fill(std::log(before.sigma2_tuned));
    const DeepVaeMetrics after = evaluate_deep_vae(*vae, s.centred, sampled(0, 8))[0];
    CHECK(close(after.elbo, before.elbo_tuned, 1e-12));
    CHECK(close(after.elbo_tuned, after.elbo, 1e-12));
    CHECK(close(after.sigma2, before.sigma2_tuned, 1e-14));
  }

  TEST_CASE("deep metrics: likelihood and importance-weighted bound are integrals over z") {
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 2}) {
        CAPTURE(std::string(name(likelihood)));
        CAPTURE(members);
        DeepVae vae({.dimensions = 3,
                     .latent = 1,
                     .encoder_hidden = {},
                     .decoder_hidden = {4},
                     .decoder_activation = Activation::tanh,
                     .likelihood = likelihood,
                     .sigma2 = {0.8},
                     .dtype = DType::f64,
                     .members = members},
                    1);
        randomise(vae, 0.5, 40);
        for (const char* name : {"encoder.mean.weight", "encoder.log_variance.weight"}) {
          const Tensor value = vae.parameters().at(name).value;
          value.copy_from((Variable(value) * 0.3).value());
        }
        const int64_t n = 12;
        const Tensor x = data_for(likelihood, n, 3, 3);
        const uint64_t seeds = 20;
        std::vector<Estimate> likely(2), error(2), one(2), few(2), many(2);
        for (uint64_t seed = 0; seed < seeds; ++seed) {
          const auto metrics = evaluate_deep_vae(vae, x, sampled(seed, 30));
          const auto one_each = importance_weighted_bound(vae, x, 1, seed + 100),
                     few_each = importance_weighted_bound(vae, x, 8, seed),
                     many_each = importance_weighted_bound(vae, x, 700, seed);
          for (size_t m = 0; m < metrics.size(); ++m) {
            likely[m].add(metrics[m].expected_log_likelihood);
            error[m].add(metrics[m].sigma2_tuned);
            one[m].add(one_each.at(m).mean);
            few[m].add(few_each.at(m).mean);
            many[m].add(many_each.at(m).mean);
          }
        }
        for (size_t m = 0; m < static_cast<size_t>(vae.models()); ++m) {
          const VaeTwin twin(vae, static_cast<int64_t>(m));
          double expected = 0, expected_error = 0, kl = 0, exact = 0;
          for (int64_t i = 0; i < n; ++i) {
            const Numbers point = row(x, i);
            const VaeTwin::Normal q = twin.encode(point);
            kl += VaeTwin::unit_kl(q.mean[0], q.log_variance[0]) / n;
            const auto density = [&](double z) {
              return std::exp(VaeTwin::log_normal(z, q.mean[0], q.log_variance[0]));
            };
            CHECK(close(integral(density), 1, 1e-10));  // the grid is wide and fine enough
            expected += integral([&](double z) { return density(z) * twin.log_likelihood(point, {z}); }) / n;
            expected_error +=
                integral([&](double z) { return density(z) * twin.squared_error(point, {z}); }) / n;
            exact += std::log(integral([&](double z) {
                       return std::exp(VaeTwin::log_normal(z, 0, 0) + twin.log_likelihood(point, {z}));
                     })) /
                     n;
          }
          const auto agrees = [](const Estimate& estimate, double value) {
            return std::abs(estimate.mean() - value) < 4.5 * estimate.standard_error();
          };
          CHECK(likely[m].standard_error() < 0.02);
          CHECK(agrees(likely[m], expected));
          CHECK(agrees(error[m], expected_error / 3));
          CHECK(agrees(one[m], expected - kl));  // with one sample it is the ELBO
          CHECK(few[m].mean() > one[m].mean() + 2 * one[m].standard_error());
          CHECK(few[m].mean() < exact + 3 * few[m].standard_error());
          CHECK(many[m].standard_error() < 3e-3);
          CHECK(std::abs(many[m].mean() - exact) < 4 * many[m].standard_error() + 2e-3);
        }
      }
  }

  TEST_CASE("importance-weighted bound: rises to a linear model's exact likelihood, and never above it") {
    LinearSetting s(20, 4, 2, 6);
    // A posterior beside the best one and wider, so that no weight is huge.
    s.set_best_encoder();
    s.set("encoder.weight", (Variable(s.value("encoder.weight")) * 0.8).value());
    s.set_best_log_variance();
    s.set("log_variance", (Variable(s.value("log_variance")) + 0.9).value());
    const auto vae = as_deep(s);
    const LinearVaeMetrics exact = s.metrics();
    double before = -INFINITY, before_error = 0;
    for (int64_t samples : {1, 3, 10, 100, 1000, 8000}) {
      Estimate bound;
      for (uint64_t seed = 0; seed < (samples < 1000 ? 100u : 8u); ++seed)
        bound.add(importance_weighted_bound(*vae, s.centred, samples, seed).at(0).mean);
      MESSAGE("K = " << samples << ": " << bound.mean() << " +- " << bound.standard_error());
      if (samples == 1) CHECK(std::abs(bound.mean() - exact.elbo) < 4.5 * bound.standard_error());
      if (samples <= 10) CHECK(bound.mean() > before);
      CHECK(bound.mean() > before - 3 * (bound.standard_error() + before_error));
      CHECK(bound.mean() < exact.log_likelihood + 4.5 * bound.standard_error());
      before = bound.mean();
      before_error = bound.standard_error();
    }
    CHECK(exact.log_likelihood - exact.elbo > 0.5);  // there was a way to go
    CHECK(std::abs(before - exact.log_likelihood) < 4e-3);
    // Where q is the exact posterior every weight is p(x) itself, and there is no noise left.
    const Eigen eigen = principal_components(s.data);
    const Ppca best = ppca_solution(s.data, eigen, 2, ppca_mle_sigma2(eigen.values, 2));
    s.set("decoder.weight", best.weight);
    s.set("log_sigma2", Tensor::full({1}, std::log(best.sigma2), DType::f64));
    s.set_best_encoder();
    s.set_best_log_variance();
    const auto at_best = as_deep(s);
    Estimate likelihood;
    for (int64_t i = 0; i < s.centred.size(0); ++i) {
      const MeanOfPoints own = importance_weighted_bound(*at_best, s.centred.slice(i, i + 1), 1, 1).at(0);
      CHECK(std::isnan(own.standard_error));
      likelihood.add(own.mean);
    }
    for (int64_t samples : {1, 7, 600}) {
      const MeanOfPoints bound = importance_weighted_bound(*at_best, s.centred, samples, 1).at(0);
      CHECK(close(bound.mean, ppca_max_log_likelihood(eigen.values, 2), 1e-10));
      CHECK(close(bound.standard_error, likelihood.standard_error(), 1e-9));
    }
    CHECK(error_of([&] { importance_weighted_bound(*vae, s.centred, 0, 1); }) ==
          "[importance] at least one sample is needed, got 0");
  }

  TEST_CASE(
      "mutual information: of one dimension it is an integral, of a grid in two the sum over its axes") {
    const int64_t b = 120;
    Tensor x = Tensor::empty({b, 1}, DType::f64);
    fill_normal(x, {.seed = 3, .stream = kTestInput});
    // I = -integral q ln q - E h(q(z|x)), q the mixture of the B posteriors.
    const auto exact = [](const Numbers& means, const Numbers& log_variances) {
      const auto count = static_cast<double>(means.size());
      const double of_all = -integral([&](double z) {
        double q = 0;
        for (size_t i = 0; i < means.size(); ++i)
          q += std::exp(VaeTwin::log_normal(z, means[i], log_variances[i])) / count;
        return q > 0 ? q * std::log(q) : 0;
      });
      double of_each = 0;
      for (double log_variance : log_variances) of_each += 0.5 * (kLog2Pi + 1 + log_variance) / count;
      return of_all - of_each;
    };
    struct Encoder {
      double scale, log_variance, log_variance_scale;
    };
    for (const Encoder& e : {Encoder{0.3, -0.2, 0}, {1.5, -1, 0.4}, {2, -5, 0}, {0, -1, 0.8}}) {
      CAPTURE(e.scale);
      DeepVae vae(plain_options(1), 1);
      set_diagonal_encoder(vae, {e.scale}, {e.log_variance});
      vae.parameters().at("encoder.mean.bias").value.fill(0.4);
      vae.parameters().at("encoder.log_variance.weight").value.fill(e.log_variance_scale);
      Numbers means, log_variances;
      for (double value : x.to_vector()) {
        means.push_back(e.scale * value + 0.4);
        log_variances.push_back(e.log_variance_scale * value + e.log_variance);
      }
      Estimate information;
      for (uint64_t seed = 0; seed < 300; ++seed) {
        const double own = mutual_information(vae, x, seed).at(0);
        CHECK(own <= std::log(b) + 1e-12);
        information.add(own);
      }
      const double expected = exact(means, log_variances);
      MESSAGE("I = " << expected << ", estimated " << information.mean() << " +- "
                     << information.standard_error());
      CHECK(information.standard_error() < 0.02);
      CHECK(std::abs(information.mean() - expected) < 4.5 * information.standard_error());
      CHECK(information.mean() < evaluate_deep_vae(vae, x)[0].kl);
    }
    // A grid of points: q(z) is a product, and so is the information a sum.
    const Numbers first{-1, 0.3, 2, 2.2}, second{-0.5, 0.1, 0.8};
    Numbers grid;
    for (double a : first)
      for (double c : second) grid.insert(grid.end(), {a, c});
    const Tensor points = Tensor::from<double>({12, 2}, grid);
    DeepVae vae(plain_options(2), 1);
    set_diagonal_encoder(vae, {1, 1}, {-1.5, -0.7});
    Estimate information;
    for (uint64_t seed = 0; seed < 2000; ++seed) information.add(mutual_information(vae, points, seed).at(0));
    CHECK(information.standard_error() < 0.01);
    CHECK(std::abs(information.mean() - exact(first, {-1.5, -1.5, -1.5, -1.5}) -
                   exact(second, {-0.7, -0.7, -0.7})) < 4 * information.standard_error());
    // Posteriors far apart tell which point it was; equal ones tell nothing. Members, each its own.
    DeepVae both(plain_options(1, 3), 1);
    const Numbers scales{1e4, 0, 1.5};
    for (int64_t m = 0; m < 3; ++m)
      both.parameters().at("encoder.mean.weight").value.slice(m).fill(scales[static_cast<size_t>(m)]);
    both.parameters().at("encoder.log_variance.weight").value.fill(0);
    both.parameters().at("encoder.log_variance.bias").value.fill(-8);
    const Numbers each = mutual_information(both, x, 1);
    REQUIRE(each.size() == 3);
    CHECK(close(each[0], std::log(b), 1e-9));
    CHECK(std::abs(each[1]) < 1e-9);
    CHECK(each[2] > 1);
    CHECK(each[2] == mutual_information(*member_alone(both, 2), x, 1)[0]);
  }

  TEST_CASE("mutual information of many points takes memory for some of their pairs at a time") {
    const int64_t n = 4000;
    Numbers places;
    for (int64_t i = 0; i < n; ++i) places.push_back(static_cast<double>(i) / static_cast<double>(n));
    const Tensor x = Tensor::from<double>({n, 1}, places);
    DeepVae vae(plain_options(1), 1);
    // Posteriors so narrow that each tells its point, wherever in a block of rows it is; then one for all.
    for (const double scale : {1e4, 0.0}) {
      set_diagonal_encoder(vae, {scale}, {-8});
      reset_peak_memory();
      const size_t before = memory_counters().live;
      const double information = mutual_information(vae, x, 1).at(0);
      CHECK(close(information, scale > 0 ? std::log(static_cast<double>(n)) : 0, 1e-9));
      CHECK(memory_counters().peak - before <
            size_t{100} << 20);  // all pairs at once would be 122 MiB, several times
    }
  }

  TEST_CASE("collapse: a unit counts when its KL is small for 99 of 100 points, through several passes") {
    for (int64_t n : {100, 1030, 1100, 99}) {
      CAPTURE(n);
      const int64_t allowed = n / 100;
      // KL is x^2 / 2: 0 for nearly all points, 0.5 * 0.16 = 0.08 for as many as may be, and for one more.
      Tensor x = Tensor::zeros({n, 3}, DType::f64);
      for (int64_t i = 0; i <= allowed; ++i) {
        const int64_t at = (i * n / (allowed + 1) + n - 1) % n;  // all over the passes
        if (i < allowed) x.data<double>()[3 * at] = 0.4;
        x.data<double>()[3 * at + 1] = 0.4;
        x.data<double>()[3 * at + 2] = -20;
      }
      DeepVae vae(plain_options(3), 1);
      set_diagonal_encoder(vae, {1, 1, 1}, {0, 0, 0});
      const DeepVaeMetrics metrics = evaluate_deep_vae(vae, x)[0];
      for (size_t e = 0; e < collapse_epsilons().size(); ++e) {
        const double expected = collapse_epsilons()[e] < 0.08 ? 100.0 / 3 : 200.0 / 3;
        CHECK(close(metrics.collapse_percent[e], expected, 1e-13));
      }
      CHECK(close(metrics.table_collapse_percent(), 100.0 / 3, 1e-13));
    }
  }

  TEST_CASE("collapse: a unit that is the prior is collapsed at every epsilon, and no KL is below zero") {
    // One point; unit i has mean 0 and the log variance i.
    Numbers log_variances{0};
    for (int i = -720; i <= 80; ++i)
      for (double sign : {-1.0, 1.0}) log_variances.push_back(sign * std::pow(10, i / 40.0));
    const auto k = static_cast<int64_t>(log_variances.size());
    for (DType dtype : {DType::f32, DType::f64}) {
      DeepVae vae({.dimensions = 1, .latent = k, .encoder_hidden = {}, .decoder_hidden = {}, .dtype = dtype},
                  1);
      const auto value = [&](const char* name) { return vae.parameters().at(name).value; };
      value("encoder.log_variance.bias").copy_from(Tensor::from<double>({k}, log_variances).to(dtype));
      const DeepVaeMetrics metrics = evaluate_deep_vae(vae, Tensor::zeros({1, 1}, dtype))[0];
      CHECK(metrics.kl_per_dim[0] == 0);
      const double rounding = dtype == DType::f32 ? 1e-6 : 1e-14;
      for (int64_t i = 0; i < k; ++i) {
        const auto u = static_cast<size_t>(i);
        CAPTURE(log_variances[u]);
        CHECK(metrics.kl_per_dim[u] >= 0);
        // The KL as a series, or as it is where nothing cancels; what rounds is e^lv - 1.
        const double lv = value("encoder.log_variance.bias").at(i);
        if (lv > 80) continue;
        double series = 0, term = lv / 2;
        for (int power = 2; power < 20; ++power) series += term *= lv / power;
        const double expected = std::abs(lv) < 1 ? series : VaeTwin::unit_kl(0, lv);
        CHECK(std::abs(metrics.kl_per_dim[u] - expected) <= rounding * std::max(std::abs(lv), expected));
      }
    }
    DeepVae prior(plain_options(2), 1);
    set_diagonal_encoder(prior, {0, 3}, {0, 0});
    const DeepVaeMetrics metrics = evaluate_deep_vae(prior, draw({200, 2}, 1))[0];
    for (double percent : metrics.collapse_percent) CHECK(percent >= 50);
    CHECK(metrics.table_collapse_percent() == 50);
    CHECK(metrics.variance_law[0] == 1);
    CHECK(metrics.active_units == 1);
  }

  TEST_CASE("deep metrics: means far from 0 do not hide how little they vary") {
    // Units of x + 30 000 and of 1e-3 x + 1000, with the variances of x and 1e-6 as much, in single
    // precision.
    const auto vae = std::make_unique<DeepVae>(plain_options(2, 0, DType::f32), 1);
    set_diagonal_encoder(*vae, {1, 1e-3}, {0, 0});
    vae->parameters().at("encoder.mean.bias").value.copy_from(Tensor::from<float>({2}, {3e4f, 1e3f}));
    const int64_t n = 1500;
    const Tensor x = normal({n, 2}, DType::f32, {.seed = 3, .stream = kTestInput});
    double mean[2] = {}, square[2] = {};
    std::vector<double> means[2];
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < 2; ++j) {
        const float own =
            (j == 0 ? 1.0f : 1e-3f) * static_cast<float>(x.at(2 * i + j)) + (j == 0 ? 3e4f : 1e3f);
        means[j].push_back(own);
        mean[j] += own / static_cast<double>(n);
      }
    const DeepVaeMetrics found = evaluate_deep_vae(*vae, x)[0];
    for (size_t j = 0; j < 2; ++j) {
      for (const double own : means[j])
        square[j] += (own - mean[j]) * (own - mean[j]) / static_cast<double>(n);
      CHECK(close(found.variance_of_mean[j], square[j], 1e-2));  // products may be rounded once or twice
    }
    const DeepVaeMetrics same = evaluate_deep_vae(*vae, Tensor::zeros({n, 2}, DType::f32))[0];
    CHECK(same.active_units == 0);
    for (const double variance : same.variance_of_mean) {
      CHECK(variance >= 0);
      CHECK(variance < 1e-6);
    }
  }

  TEST_CASE("deep metrics: passes add up, and each has noise of its own") {
    const int64_t n = 1030;
    for (Likelihood likelihood : kAllLikelihoods) {
      const auto vae = example(likelihood);
      const Tensor x = data_for(likelihood, n, 4, 3);
      const std::pair<int64_t, int64_t> pieces[] = {{0, 512}, {512, 1024}, {1024, 1030}};
      const DeepVaeMetrics whole = evaluate_deep_vae(*vae, x)[0];
      double kl = 0, mse = 0;
      for (auto [begin, end] : pieces) {
        const DeepVaeMetrics piece = evaluate_deep_vae(*vae, x.slice(begin, end))[0];
        const double share = static_cast<double>(end - begin) / n;
        kl += share * piece.kl;
        mse += share * piece.mse;
      }
      CHECK(close(whole.kl, kl, 1e-12));
      CHECK(close(whole.mse, mse, 1e-12));
      // Twice the same points: what is sampled is not twice the same.
      Tensor twice = Tensor::empty({1024, 4}, DType::f64);
      for (int64_t half : {0, 1}) twice.slice(half * 512, half * 512 + 512).copy_from(x.slice(0, 512));
      const DeepVaeMetrics once = evaluate_deep_vae(*vae, x.slice(0, 512))[0],
                           both = evaluate_deep_vae(*vae, twice)[0];
      CHECK(close(both.kl, once.kl, 1e-13));
      CHECK(std::abs(both.expected_log_likelihood - once.expected_log_likelihood) > 1e-6);
      CHECK(std::abs(evaluate_deep_vae(*vae, x, sampled(1, 1))[0].expected_log_likelihood -
                     whole.expected_log_likelihood) > 1e-6);
      CHECK(std::abs(importance_weighted_bound(*vae, twice, 1, 0)[0].mean -
                     importance_weighted_bound(*vae, twice.slice(0, 512), 1, 0)[0].mean) > 1e-6);
    }
    // The caller may stop it between passes.
    const auto vae = example(Likelihood::gaussian);
    std::vector<int64_t> seen;
    const auto count = [&](int64_t done, int64_t points) {
      CHECK(points == n);
      seen.push_back(done);
      return true;
    };
    const Tensor x = draw({n, 4}, 3);
    CHECK(evaluate_deep_vae(*vae, x, {.seed = 0, .samples = 1, .progress = count}).size() == 1);
    CHECK(seen == std::vector<int64_t>{512, 1024, 1030});
    CHECK(
        evaluate_deep_vae(
            *vae, x, {.seed = 0, .samples = 1, .progress = [](int64_t done, int64_t) { return done < 1024; }})
            .empty());
  }

  TEST_CASE(
      "deep metrics: points made on demand give what a tensor of them gives, and are never all asked for") {
    const int64_t n = 1100;
    for (int64_t members : {0, 2}) {
      const auto vae = example(Likelihood::gaussian, members, DType::f32);
      const Tensor x = draw({n, 4}, 3);  // f64, which the model is given as f32
      int64_t most = 0;
      const Points on_demand(n, [&](int64_t begin, int64_t end) {
        most = std::max(most, end - begin);
        return x.slice(begin, end).clone();
      });
      const auto whole = evaluate_deep_vae(*vae, x.to(DType::f32), sampled(5, 2)),
                 parts = evaluate_deep_vae(*vae, on_demand, sampled(5, 2));
      for (size_t m = 0; m < whole.size(); ++m) CHECK(numbers(whole[m]) == numbers(parts[m]));
      CHECK(importance_weighted_bound(*vae, x, 3, 1) == importance_weighted_bound(*vae, on_demand, 3, 1));
      CHECK(mutual_information(*vae, x, 1) == mutual_information(*vae, on_demand, 1));
      CHECK(most == 512);

      const Codes codes = encode_all(*vae, on_demand);
      const Posterior q = vae->encode(x.to(DType::f32));
      CHECK(codes.mean.shape() == q.mean.shape());
      CHECK(codes.log_variance.shape() == q.log_variance.shape());
      const std::vector<double> mean = codes.mean.to_vector(), log_variance = codes.log_variance.to_vector(),
                                expected = q.mean.value().to_vector(),
                                expected_log = q.log_variance.value().to_vector();
      double worst = 0;
      for (size_t i = 0; i < mean.size(); ++i)
        worst = std::max(
            {worst, std::abs(mean[i] - expected.at(i)), std::abs(log_variance[i] - expected_log.at(i))});
      CHECK(worst < 1e-5);
    }
  }

  TEST_CASE("deep metrics: a member's are those of the model alone on fewer threads, bit for bit") {
    for (DType dtype : {DType::f32, DType::f64})
      for (Likelihood likelihood : kAllLikelihoods) {
        CAPTURE(std::string(name(likelihood)));
        const auto vae = example(likelihood, 3, dtype);
        const Tensor x = data_for(likelihood, 600, 4, 3).to(dtype);
        const ThreadCount two(2);
        const auto together = evaluate_deep_vae(*vae, x, sampled(5, 3));
        const auto bounds = importance_weighted_bound(*vae, x.slice(0, 200), 5, 6);
        const Numbers information = mutual_information(*vae, x.slice(0, 100), 6);
        CHECK(numbers(together[0]) != numbers(together[1]));
        for (int64_t m = 0; m < 3; ++m) {
          CAPTURE(m);
          const auto at = static_cast<size_t>(m);
          const ThreadCount one(1);
          const auto alone = member_alone(*vae, m);
          CHECK(numbers(evaluate_deep_vae(*alone, x, sampled(5, 3))[0]) == numbers(together[at]));
          CHECK(importance_weighted_bound(*alone, x.slice(0, 200), 5, 6)[0] == bounds[at]);
          CHECK(mutual_information(*alone, x.slice(0, 100), 6)[0] == information[at]);
        }
      }
  }
}
