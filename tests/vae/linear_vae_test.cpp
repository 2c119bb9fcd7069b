// The linear VAE's ELBO against sampling, against exact likelihoods and against the stationary
// point known in closed form (Lucas et al. 2019, section 4.2 and appendix C).
#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/tape.h"
#include "tensor/gemm.h"
#include "tests/error_of.h"
#include "tests/vae/linear_setting.h"

using namespace elbo;

namespace {

const double kLog2Pi = std::log(2 * std::acos(-1.0));

double largest(const Tensor& x) {
  double result = 0;
  for (double value : x.to_vector())
    result = std::isnan(value) ? INFINITY : std::max(result, std::abs(value));
  return result;
}

double normal_log_density(double x, double mean, double variance) {
  return -0.5 * (kLog2Pi + std::log(variance) + (x - mean) * (x - mean) / variance);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("the analytic ELBO is the average of log p(x|z) + log p(z) - log q(z|x) over samples of q") {
    LinearSetting s(4, 3, 2, 1);
    const LinearVaeWeights w = linear_vae_weights(s.vae);
    const double sigma2 = std::exp(w.log_sigma2);
    Estimate estimate;
    for (uint64_t sample = 0; sample < 20000; ++sample) {
      const Tensor eps = normal({4, 2}, DType::f64, {.seed = 8, .stream = kTestInput, .step = sample});
      double total = 0;
      for (int64_t p = 0; p < 4; ++p) {
        double z[2];
        for (int64_t i = 0; i < 2; ++i) {
          double mean = 0;
          for (int64_t j = 0; j < 3; ++j) mean += w.encoder.at(3 * i + j) * s.centred.at(3 * p + j);
          const double variance = std::exp(w.log_variance.at(i));
          z[i] = mean + std::sqrt(variance) * eps.at(2 * p + i);
          total += normal_log_density(z[i], 0, 1) - normal_log_density(z[i], mean, variance);
        }
        for (int64_t j = 0; j < 3; ++j)
          total += normal_log_density(s.centred.at(3 * p + j),
                                      w.decoder.at(2 * j) * z[0] + w.decoder.at(2 * j + 1) * z[1], sigma2);
      }
      estimate.add(total / 4);
    }
    const double analytic = s.vae.analytic_elbo(s.centred).item();
    MESSAGE("analytic ELBO " << analytic << ", sampled " << estimate.mean() << " +- "
                             << estimate.standard_error());
    CHECK(estimate.standard_error() < 0.02);
    CHECK(std::abs(estimate.mean() - analytic) < 4 * estimate.standard_error());
    CHECK(close(s.vae.analytic_elbo_from_covariance(covariance(s.data)).item(), analytic, 1e-12));
    CHECK(close(s.metrics().elbo, analytic, 1e-12));
  }

  TEST_CASE("the stochastic ELBO and its gradient are unbiased estimates of the analytic ones") {
    LinearSetting s(20, 4, 2, 2);
    const double analytic = s.differentiate();
    std::vector<Tensor> exact;
    for (const Parameter& parameter : s.vae.parameters().all()) exact.push_back(parameter.gradient.clone());
    Estimate elbo;
    std::vector<std::vector<Estimate>> gradient(exact.size());
    for (uint64_t step = 0; step < 4000; ++step) {
      s.vae.parameters().consume_gradients();
      Tape tape;
      const Variable estimate =
          s.vae.stochastic_elbo(s.centred, {.seed = 3, .stream = kLatentNoise, .step = step});
      tape.backward(estimate);
      elbo.add(estimate.item());
      for (size_t p = 0; p < exact.size(); ++p) {
        gradient[p].resize(static_cast<size_t>(exact[p].elements()));
        for (size_t i = 0; i < gradient[p].size(); ++i)
          gradient[p][i].add(s.vae.parameters().all()[p].gradient.at(static_cast<int64_t>(i)));
      }
    }
    MESSAGE("analytic ELBO " << analytic << ", stochastic " << elbo.mean() << " +- "
                             << elbo.standard_error());
    CHECK(elbo.standard_error() > 0);
    CHECK(elbo.standard_error() < 0.05);
    CHECK(std::abs(elbo.mean() - analytic) < 4 * elbo.standard_error());
    for (size_t p = 0; p + 1 < exact.size(); ++p) {  // all but the mean, which is not learned
      CAPTURE(s.vae.parameters().all()[p].name);
      for (size_t i = 0; i < gradient[p].size(); ++i) {
        const Estimate& g = gradient[p][i];
        CHECK(g.standard_error() < 0.1);
        CHECK(std::abs(g.mean() - exact[p].at(static_cast<int64_t>(i))) < 4.5 * g.standard_error());
      }
    }
  }

  TEST_CASE("the ELBO is never above the exact log-likelihood") {
    double closest = INFINITY;
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      const int64_t d = 2 + static_cast<int64_t>(seed % 5), k = 1 + static_cast<int64_t>(seed / 5) % d;
      LinearSetting s(15, d, k, seed, 0.2 + 0.1 * static_cast<double>(seed % 10));
      if (seed % 2) s.set_best_encoder();
      if (seed % 3) s.set_best_log_variance();
      const LinearVaeMetrics metrics = s.metrics();
      CHECK(metrics.elbo <= metrics.log_likelihood + 1e-9);
      closest = std::min(closest, metrics.log_likelihood - metrics.elbo);
      // With one unit the best q is the exact posterior, and nothing is lost.
      if (k == 1 && seed % 2 && seed % 3) CHECK(close(metrics.elbo, metrics.log_likelihood, 1e-11));
    }
    CHECK(closest < 1e-9);  // the bound is met, not merely kept
  }

  TEST_CASE("at the pPCA solution the ELBO equals the maximal log-likelihood, and its gradient is 0") {
    for (int64_t k : {1, 3, 5}) {
      LinearSetting s(60, 6, k, 7);
      const Eigen eigen = principal_components(s.data);
      const Ppca best = ppca_solution(s.data, eigen, k, ppca_mle_sigma2(eigen.values, k));
      s.set("decoder.weight", best.weight);
      s.set("log_sigma2", Tensor::full({1}, std::log(best.sigma2), DType::f64));
      s.set_best_encoder();
      s.set_best_log_variance();
      const double maximum = ppca_max_log_likelihood(eigen.values, k);
      const LinearVaeMetrics metrics = s.metrics();
      CHECK(close(metrics.elbo, maximum, 1e-10));
      CHECK(close(metrics.log_likelihood, maximum, 1e-10));
      CHECK(close(metrics.sigma2, best.sigma2, 1e-12));
      CHECK(close(metrics.sigma2_tuned, best.sigma2, 1e-10));
      CHECK(metrics.active_units == k);
      CHECK(close(s.differentiate(), maximum, 1e-10));
      for (const char* name : {"decoder.weight", "encoder.weight", "log_variance", "log_sigma2"}) {
        CAPTURE(name);
        CHECK(largest(s.gradient(name)) < 1e-10);
      }
      // A decoder turned away from the eigenvectors has the same likelihood, but a factorised q cannot
      // follow.
      if (k == 1) continue;
      const Tensor turn = symmetric_eigen(matmul_tn(draw({k, k}, 1), draw({k, k}, 1)).value()).vectors;
      s.set("decoder.weight", matmul(best.weight, Transpose::no, turn, Transpose::no));
      s.set_best_encoder();
      s.set_best_log_variance();
      CHECK(close(s.metrics().log_likelihood, maximum, 1e-10));
      CHECK(s.metrics().elbo < maximum - 1e-3);
    }
  }

  TEST_CASE("each stationary formula zeroes its own gradient, whatever the other weights are") {
    for (uint64_t seed : {1, 2, 3}) {
      LinearSetting s(40, 5, 3, seed);
      s.differentiate();
      for (const char* name : {"decoder.weight", "encoder.weight", "log_variance", "log_sigma2"})
        CHECK(largest(s.gradient(name)) > 1e-2);
      // dW = (S V^T - W diag d - W V S V^T) / sigma^2.
      const Tensor w = s.value("decoder.weight"), v = s.value("encoder.weight");
      const Variable sv = matmul_nt(covariance(s.data), v);
      const Variable dw =
          (sv - Variable(w) * exp(s.value("log_variance")) - matmul(w, matmul(v, sv))) / s.sigma2();
      CHECK(largest((Variable(s.gradient("decoder.weight")) - dw).value()) < 1e-11);

      s.set_best_log_variance();
      s.differentiate();
      CHECK(largest(s.gradient("log_variance")) < 1e-12);
      s.set_best_encoder();
      s.differentiate();
      CHECK(largest(s.gradient("encoder.weight")) < 1e-12);
      const double best = s.metrics().elbo;
      s.set("encoder.weight", (Variable(s.value("encoder.weight")) * 1.01).value());
      CHECK(s.metrics().elbo < best);

      // sigma^2* = [ tr(W diag(d) W^T) + tr((I - W V) S (I - W V)^T) ] / D.
      const Variable keep = Variable(identity_matrix(5, DType::f64)) - matmul(w, v);
      const Variable noise = sum(square(w) * exp(s.value("log_variance")));
      const double tuned =
          (noise.item() + trace(matmul_nt(matmul(keep, covariance(s.data)), keep).value()).item()) / 5;
      CHECK(close(s.metrics().sigma2_tuned, tuned, 1e-12));
      s.set("log_sigma2", Tensor::full({1}, std::log(tuned), DType::f64));
      s.differentiate();
      CHECK(largest(s.gradient("log_sigma2")) < 1e-12);
    }
  }

  TEST_CASE("the ELBO of all data is the average over batches, however they are cut") {
    LinearSetting s(100, 5, 3, 4);
    const double whole = s.vae.analytic_elbo(s.centred).item();
    for (int64_t batch : {1, 7, 50, 99}) {
      double total = 0;
      for (int64_t begin = 0; begin < 100; begin += batch) {
        const int64_t end = std::min<int64_t>(begin + batch, 100);
        total += s.vae.analytic_elbo(s.centred.slice(begin, end)).item() * static_cast<double>(end - begin);
      }
      CHECK(close(total / 100, whole, 1e-12));
    }
    CHECK(covariance_form_is_cheaper(1000, 100, 10));
    CHECK_FALSE(covariance_form_is_cheaper(40, 100, 10));
  }

  TEST_CASE("f32 agrees with f64: first weights, ELBOs, gradients") {
    const Tensor x = correlated_data(40, 6, 8);
    const DataMoments data = data_moments(x);
    const Tensor centred = (Variable(x) - Variable(data.mean)).value();
    LinearVaeOptions options{
        .dimensions = 6, .latent = 3, .weights = {Initializer::Kind::normal, 0.4}, .members = 2};
    options.dtype = DType::f64;
    LinearVae wide(options, 3);
    options.dtype = DType::f32;
    LinearVae narrow(options, 3);
    const RandomKey key{.seed = 1, .stream = kLatentNoise};
    for (int form = 0; form < 3; ++form) {
      std::vector<std::vector<double>> results;
      for (LinearVae* vae : {&wide, &narrow}) {
        const DType dtype = vae->options().dtype;
        vae->parameters().consume_gradients();
        Tape tape;
        const Variable elbo = form == 0   ? vae->analytic_elbo(centred.to(dtype))
                              : form == 1 ? vae->analytic_elbo_from_covariance(covariance(data).to(dtype))
                                          : vae->stochastic_elbo(centred.to(dtype), key);
        REQUIRE(elbo.shape() == Shape{2});
        tape.backward(sum(elbo));
        std::vector<double> all = elbo.value().to_vector();
        const std::vector<double> gradients = vae->parameters().gradients().to_vector();
        all.insert(all.end(), gradients.begin(), gradients.end());
        results.push_back(all);
      }
      for (size_t i = 0; i < results[0].size(); ++i) CHECK(close(results[1][i], results[0][i], 2e-5));
    }
  }

  TEST_CASE("a model has the file's names, starts as told, and keeps sigma^2 when told to") {
    LinearVae vae({.dimensions = 5, .latent = 2, .sigma2 = 0.25, .learn_sigma2 = false, .members = 3}, 1);
    ParameterStore& store = vae.parameters();
    CHECK(store.at("decoder.weight").value.shape() == Shape{3, 5, 2});
    CHECK(store.at("encoder.weight").value.shape() == Shape{3, 2, 5});
    CHECK(store.at("log_variance").value.shape() == Shape{3, 2});
    CHECK(store.at("log_sigma2").value.shape() == Shape{3, 1});
    CHECK(store.all().size() == 4);
    CHECK(vae.mean().shape() == Shape{5});
    CHECK(store.count() == 3 * (10 + 10 + 2));
    CHECK(largest(store.at("decoder.weight").value) < 0.006);  // N(0, 0.001^2)
    CHECK(largest(store.at("decoder.weight").value) > 0);
    CHECK(largest(store.at("log_variance").value) == 0);
    vae.set_mean(Tensor::from<double>({5}, {1, 2, 3, 4, 5}));
    const LinearVaeWeights w = linear_vae_weights(vae, 2);
    CHECK(w.mean.to_vector() == std::vector<double>{1, 2, 3, 4, 5});
    CHECK(close(std::exp(w.log_sigma2), 0.25, 1e-6));
    CHECK(w.decoder.shape() == Shape{5, 2});
    CHECK(w.decoder.to_vector() == store.at("decoder.weight").value.slice(2).to_vector());
    LinearVae learning({.dimensions = 5, .latent = 2}, 1);
    CHECK(learning.parameters().count() == 10 + 10 + 2 + 1);
  }

  TEST_CASE("impossible models and data are told in one line") {
    const auto make = [](int64_t latent, double sigma2) {
      return error_of([&] { LinearVae({.dimensions = 5, .latent = latent, .sigma2 = sigma2}, 1); });
    };
    for (int64_t latent : {-1, 0, 6})
      CHECK(mentions(make(latent, 1),
                     "[linear vae] the latent dimension must be between 1 and the data's dimension 5"));
    for (double sigma2 : {0.0, -1.0, std::nan(""), static_cast<double>(INFINITY)})
      CHECK(mentions(make(2, sigma2), "[linear vae] sigma^2 must be positive and finite"));
    CHECK(make(5, 1).empty());
    LinearSetting s(20, 4, 2, 1);
    CHECK(error_of([&] {
            evaluate_linear_vae(linear_vae_weights(s.vae), data_moments(draw({9, 3}, 1)));
          }) == "[evaluate] the model is for 4 dimensions, the data have 3");
    CHECK(mentions(error_of([&] { s.vae.analytic_elbo(draw({9, 3}, 1)); }), "the data have 3 dimensions"));
    CHECK(mentions(error_of([&] {
                     s.vae.stochastic_elbo(draw({9, 3}, 1), {});
                   }),
                   "inner sizes differ: a (9, 3)"));
    CHECK(mentions(error_of([&] { s.vae.set_mean(draw({3}, 1)); }), "[copy_from]"));
  }
}
