// The entropies of linear VAEs, for which everything is known: at pPCA's optimum, beside it, and with a fixed
// sigma^2; and the likelihood from variances alone.
#include <doctest/doctest.h>

#include <numeric>

#include "tests/error_of.h"
#include "tests/vae/linear_setting.h"
#include "vae/streaming_likelihood.h"

using namespace elbo;

namespace {

/// The linear VAE that is optimal for this sigma^2: principal columns, the exact posterior.
LinearVaeWeights optimum(const DataMoments& data, const Eigen& eigen, int64_t latent, double sigma2) {
  const Ppca best = ppca_solution(data, eigen, latent, sigma2);
  LinearVaeWeights w{best.weight, ppca_posterior(best).projection, Tensor::empty({latent}, DType::f64),
                     data.mean, std::log(sigma2)};
  for (int64_t h = 0; h < latent; ++h)
    w.log_variance.data<double>()[h] = std::log(sigma2 / std::max(eigen.values.at(h), sigma2));
  return w;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("linear entropies: the gap is its parts at random weights, and closes at pPCA's optimum") {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      LinearSetting s(60, 7, 3, seed);
      const EntropyGauge random = s.metrics().entropies;
      CHECK(std::abs(random.gap) > 0.1);
      CHECK(close(random.gap, random.decoder_gap + random.prior_gap, 1e-9));
      s.differentiate();
      CHECK(close(random.encoder_slope, sum(Variable(s.gradient("log_variance"))).item(), 1e-10));
      CHECK(std::isnan(random.encoder_slope_standard_error));
      const Eigen eigen = principal_components(s.data);
      for (const int64_t latent : {1, 3, 5}) {
        const double sigma2 = ppca_mle_sigma2(eigen.values, latent);
        const LinearVaeMetrics m = evaluate_linear_vae(optimum(s.data, eigen, latent, sigma2), s.data);
        CHECK(close(m.elbo, m.log_likelihood, 1e-10));
        CHECK(close(m.entropies.sum, ppca_max_log_likelihood(eigen.values, latent), 1e-8));
        CHECK(std::abs(m.entropies.gap) < 1e-8);
        CHECK(std::abs(m.entropies.decoder_gap) < 1e-8);
        CHECK(std::abs(m.entropies.prior_gap) < 1e-8);
        CHECK(close(m.entropies.noise_ratio, 1, 1e-9));
        CHECK(std::abs(m.entropies.encoder_slope) < 1e-9);
        for (const double moment : m.entropies.second_moments) CHECK(close(moment, 1, 1e-9));
        CHECK(std::isnan(m.entropies.gap_standard_error));
      }
    }
  }

  TEST_CASE(
      "linear entropies: a fixed sigma0^2 leaves 1/2 sum over what is not captured of 1 - lambda / "
      "sigma0^2") {
    LinearSetting s(80, 8, 3, 2);
    const Eigen eigen = principal_components(s.data);
    for (const double sigma2 : {0.02, 0.2, 1.1, 2.0}) {  // with the last two, columns of three are zero
      double expected = 0;
      for (int64_t j = 0; j < 8; ++j)
        if (j >= 3 || eigen.values.at(j) < sigma2) expected += 0.5 * (1 - eigen.values.at(j) / sigma2);
      const EntropyGauge gauge = evaluate_linear_vae(optimum(s.data, eigen, 3, sigma2), s.data).entropies;
      CHECK(close(gauge.gap, expected, 1e-9));
      CHECK(close(entropy_gap_of_fixed_sigma2(eigen.values, 3, sigma2), expected, 1e-12));
      CHECK(close(gauge.decoder_gap, expected, 1e-9));
      CHECK(std::abs(gauge.prior_gap) < 1e-9);
      CHECK(std::abs(gauge.gap) > 0.01);
    }
  }

  TEST_CASE(
      "linear entropies: moving one variance by a factor t costs 1/2 (t - 1 - ln t), and opens the gap") {
    LinearSetting s(50, 6, 2, 3);
    const Eigen eigen = principal_components(s.data);
    const double sigma2 = ppca_mle_sigma2(eigen.values, 2);
    const LinearVaeWeights best = optimum(s.data, eigen, 2, sigma2);
    const LinearVaeMetrics at_best = evaluate_linear_vae(best, s.data);
    for (const double t : {0.2, 0.999, 1.001, 3.0}) {
      LinearVaeWeights w = best;
      w.log_variance = best.log_variance.clone();
      w.log_variance.data<double>()[1] += std::log(t);
      // tau^2 is in F as 1/2 ln tau^2 - tau^2 / (2 tau*^2): of that E has the logarithm.
      LinearVaeMetrics m = evaluate_linear_vae(w, s.data);
      CHECK(close(m.elbo - at_best.elbo, -0.5 * (t - 1 - std::log(t)), 1e-10));
      CHECK(close(m.entropies.gap, -0.5 * (t - 1), 1e-10));
      CHECK(close(m.entropies.encoder_slope, -0.5 * (t - 1), 1e-10));  // here all of the gap is its doing
      const double tau2 = std::exp(best.log_variance.at(1));           // what both variances see of it
      CHECK(close(m.entropies.prior_gap, -0.5 * tau2 * (t - 1), 1e-10));
      CHECK(close(m.entropies.decoder_gap, -0.5 * (1 - tau2) * (t - 1), 1e-10));
      LinearVaeWeights noisy = best;
      noisy.log_sigma2 += std::log(t);
      m = evaluate_linear_vae(noisy, s.data);
      CHECK(close(m.elbo - at_best.elbo, -3 * (1 / t - 1 + std::log(t)), 1e-10));
      CHECK(close(m.entropies.gap, 3 * (1 - 1 / t), 1e-10));
      double pushed = 0;  // what tau^2 sees of sigma^2
      for (int64_t h = 0; h < 2; ++h) pushed += 1 - std::exp(best.log_variance.at(h));
      CHECK(close(m.entropies.encoder_slope, 0.5 * pushed * (1 - 1 / t), 1e-10));
    }
  }

  TEST_CASE(
      "streaming likelihood: variances alone give pPCA's likelihood of every smaller latent dimension") {
    LinearSetting s(90, 9, 3, 4);
    const Eigen eigen = principal_components(s.data);
    for (const int64_t latent : {1, 5, 8}) {
      const double sigma2 = ppca_mle_sigma2(eigen.values, latent);
      const LinearVaeWeights w = optimum(s.data, eigen, latent, sigma2);
      std::vector<double> log_variances = w.log_variance.to_vector();
      std::reverse(log_variances.begin(), log_variances.end());  // units come in no order
      const LinearVaeMetrics m = evaluate_linear_vae(w, s.data);
      CHECK(close(streaming_log_likelihood(9, w.log_sigma2, log_variances), m.log_likelihood, 1e-10));
      const std::vector<double> all = streaming_log_likelihoods(9, w.log_sigma2, log_variances);
      REQUIRE(static_cast<int64_t>(all.size()) == latent);
      for (int64_t k = 1; k <= latent; ++k)
        CHECK(close(all[static_cast<size_t>(k - 1)], ppca_max_log_likelihood(eigen.values, k), 1e-10));
      const std::vector<double> of_decoder = log_variances_of_decoder(w.decoder, w.log_sigma2);
      for (size_t h = 0; h < of_decoder.size(); ++h)
        CHECK(close(of_decoder[h], w.log_variance.at(static_cast<int64_t>(h)), 1e-10));
    }
    // As many units as dimensions: nothing is left over for the last.
    CHECK(streaming_log_likelihoods(2, -1, std::vector<double>{-1, -2}).size() == 1);
    CHECK(mentions(error_of([] {
                     streaming_log_likelihoods(2, 0, std::vector<double>{0, 0, 0});
                   }),
                   "3 variances of a latent space in 2 dimensions"));
  }

  TEST_CASE("streaming likelihood: the latent dimension that it chooses is that of the data") {
    // Eigenvalues 9, 5, 3 above a noise of 1 in 12 dimensions, seen through 8 units.
    std::vector<double> eigenvalues{9, 5, 3};
    eigenvalues.resize(12, 1);
    for (size_t j = 3; j < 12; ++j)
      eigenvalues[j] += 0.02 * (7.0 - static_cast<double>(j));  // as samples have it
    const Tensor values = Tensor::from<double>({12}, eigenvalues);
    const double sigma2 = ppca_mle_sigma2(values, 8);
    std::vector<double> log_variances;
    for (size_t h = 0; h < 8; ++h) log_variances.push_back(std::log(sigma2 / eigenvalues[h]));
    const std::vector<double> all = streaming_log_likelihoods(12, std::log(sigma2), log_variances);
    CHECK(std::is_sorted(all.begin(), all.end()));  // the likelihood itself always asks for more
    CHECK(choose_latent(all, 12, 1000) == 3);
    CHECK(choose_latent(all, 12, 10) == 1);
    // N L - (p / 2) ln N, by hand for the winner and its neighbours.
    const auto value = [&](int64_t k) {
      return 1000 * ppca_max_log_likelihood(values, k) -
             0.5 * static_cast<double>(12 * k - k * (k - 1) / 2 + 13) * std::log(1000.0);
    };
    CHECK(value(3) > value(2));
    CHECK(value(3) > value(4));
    // Where one more dimension begins to pay: twice the gain in likelihood against the price of its numbers.
    const std::vector<double> two{-10, -9.9};
    const double price = 0.5 * 11;  // D - 1 more numbers of W
    const auto pays = [&](double n) { return n * 0.1 > price * std::log(n); };
    int64_t turn = 2;
    while (!pays(static_cast<double>(turn)) || !pays(static_cast<double>(turn + 1))) ++turn;
    CHECK(choose_latent(two, 12, turn) == 2);
    CHECK(choose_latent(two, 12, turn - 1) == 1);
    CHECK(mentions(error_of([] { choose_latent({}, 2, 5); }), "[streaming]"));
  }
}
