// The three entropies against integrals, loops over single numbers and the published special cases; the gap
// to the ELBO against its identity at any parameters; and what moving a variance does to it.
#include "vae/entropies.h"

#include <doctest/doctest.h>

#include <functional>

#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "vae/entropy_gauge.h"

using namespace elbo;

namespace {

const double kPi = std::acos(-1.0), kLog2Pi = std::log(2 * kPi), kLog2PiE = kLog2Pi + 1;

enum class Noise { shared, of_dimension, of_z };

/// Random numbers in place of what a VAE makes of some points. `members` 0 and `samples` 0: no such axis.
GaussianPass random_pass(int64_t members, int64_t samples, int64_t n, int64_t d, int64_t k, Noise noise,
                         bool learned_prior, bool global_tau, uint64_t seed) {
  const auto shaped = [&](std::initializer_list<int64_t> sizes) {
    Shape shape = members > 0 ? Shape{members} : Shape{};
    for (const int64_t size : sizes)
      if (size > 0) shape.push_back(size);
    return shape;
  };
  return {.x = draw({n, d}, seed),
          .posterior_mean = draw(shaped({n, k}), seed + 1),
          .posterior_log_variance = draw(global_tau ? shaped({k}) : shaped({n, k}), seed + 2),
          .prior_log_variance = learned_prior ? draw(shaped({k}), seed + 3) : Tensor(),
          .mean = draw(shaped({samples, n, d}), seed + 4),
          .log_variance = draw(noise == Noise::shared         ? shaped({1})
                               : noise == Noise::of_dimension ? shaped({d})
                                                              : shaped({samples, n, d}),
                               seed + 5),
          .z = draw(shaped({samples, n, k}), seed + 6)};
}

/// ELBO, E, r, m2 and the encoder's slope of one member of a pass, and the variances of its gap and of E by
/// the draws of z, by loops over single numbers.
struct GaugeTwin {
  double elbo = 0, entropies = 0, r = 0, gap = 0, gap_variance = 0, entropies_variance = 0;
  Numbers m2;
  Estimate slope;  // over points

  GaugeTwin(const GaussianPass& p, int64_t member, int64_t members) {
    const int64_t n = p.x.size(-2), d = p.x.size(-1), k = p.posterior_mean.size(-1),
                  m = std::max<int64_t>(members, 1);
    const int64_t samples = p.mean.elements() / (m * n * d);
    const auto count = static_cast<double>(n);
    m2.resize(static_cast<size_t>(k));
    const auto own = [&](const Tensor& x, int64_t i) { return x.at(member * (x.elements() / m) + i); };
    const auto log_alpha2 = [&](int64_t h) {
      return p.prior_log_variance.defined() ? own(p.prior_log_variance, h) : 0;
    };
    const auto log_tau2 = [&](int64_t i, int64_t h) {
      const bool global = p.posterior_log_variance.elements() == m * k;
      return own(p.posterior_log_variance, global ? h : i * k + h);
    };
    for (int64_t i = 0; i < n; ++i) {
      double of_point = 0, entropy = 0, of_prior = 0;
      for (int64_t h = 0; h < k; ++h) {
        const double nu = own(p.posterior_mean, i * k + h), tau2 = std::exp(log_tau2(i, h));
        // E_q ln p(z) - E_q ln q(z) for normals.
        const double second = (nu * nu + tau2) / std::exp(log_alpha2(h));
        of_point += -0.5 * (kLog2Pi + log_alpha2(h) + second) + 0.5 * (kLog2PiE + log_tau2(i, h));
        entropy += 0.5 * (log_tau2(i, h) - log_alpha2(h));
        of_prior += 0.5 * (1 - tau2 / std::exp(log_alpha2(h)));
        m2[static_cast<size_t>(h)] += second / count;
      }
      Estimate gaps, decoders;  // of the point's draws
      Numbers likelihoods, noises;
      for (int64_t s = 0; s < samples; ++s) {
        double gap_of_draw = 0, decoder_of_draw = 0, likelihood = 0, noise = 0;
        for (int64_t j = 0; j < d; ++j) {
          const int64_t at = (s * n + i) * d + j, given = p.log_variance.elements() / m;
          const double log_sigma2 = own(p.log_variance, given == 1 ? 0 : given == d ? j : at);
          const double mu = own(p.mean, at), x = p.x.at(i * d + j), draws = static_cast<double>(samples);
          of_point += VaeTwin::log_normal(x, mu, log_sigma2) / draws;
          entropy -= 0.5 * (kLog2PiE + log_sigma2) / draws;
          r += (x - mu) * (x - mu) / std::exp(log_sigma2) / (draws * count * static_cast<double>(d));
          gap_of_draw += 0.5 * (1 - (x - mu) * (x - mu) / std::exp(log_sigma2));
          decoder_of_draw += 0.5 * (kLog2PiE + log_sigma2);
          likelihood += VaeTwin::log_normal(x, mu, log_sigma2);
        }
        for (int64_t h = 0; h < k; ++h) {
          const double nu = own(p.posterior_mean, i * k + h);
          noise += std::pow(own(p.z, (s * n + i) * k + h) - nu, 2) / std::exp(log_tau2(i, h));
        }
        likelihoods.push_back(likelihood);
        noises.push_back(noise);
        gaps.add(gap_of_draw);
        decoders.add(decoder_of_draw);
      }
      // All pairs of draws: a covariance without means.
      double covariance = 0;
      for (size_t a = 0; a < noises.size(); ++a)
        for (size_t b = 0; b < a; ++b)
          covariance += (likelihoods[a] - likelihoods[b]) * (noises[a] - noises[b]);
      slope.add(of_prior + 0.5 * covariance / static_cast<double>(samples * (samples - 1)));
      gap_variance += std::pow(gaps.standard_error() / count, 2);
      entropies_variance += std::pow(decoders.standard_error() / count, 2);
      elbo += of_point / count;
      entropies += entropy / count;
      gap += (of_point - entropy) / count;
    }
  }
};

/// ln tau^2 of a member less ln alpha^2.
Variable in_prior_units(const GaussianPass& p, int64_t member, int64_t members) {
  const auto own = [&](const Tensor& x) { return Variable(members > 0 ? x.slice(member) : x); };
  const Variable tau = own(p.posterior_log_variance);
  return p.prior_log_variance.defined() ? tau - own(p.prior_log_variance) : tau;
}

EntropyGauge gauge_of(const GaussianPass& p, double elbo, int64_t members = 0, int64_t member = 0) {
  EntropySums sums(members, p.x.size(-1), p.posterior_mean.size(-1));
  sums.add(p);
  return sums.gauge(member, elbo);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("entropies: a Gaussian's is minus the integral of p ln p") {
    for (const double log_variance : {-3.0, 0.0, 1.7}) {
      const double width = std::exp(0.5 * log_variance) / 100;
      double integral = 0;
      for (int i = -1200; i <= 1200; ++i) {
        const double log_p = VaeTwin::log_normal(i * width, 0, log_variance);
        integral -= width * std::exp(log_p) * log_p;
      }
      const Tensor given = Tensor::full({1}, log_variance, DType::f64);
      CHECK(close(gaussian_entropy(given, 1).item(), integral, 1e-9));
      CHECK(close(gaussian_entropy(given, 7).item(), 7 * integral, 1e-9));  // seven dimensions share it
      if (log_variance == 0) CHECK(close(standard_normal_entropy(1), integral, 1e-9));
    }
  }

  TEST_CASE("entropies: means over points and samples, of each member, and their gradient") {
    const Tensor log_variance = draw({3, 2, 5, 4}, 1);
    const std::vector<double> together = gaussian_entropy(log_variance, 4, 3).value().to_vector();
    REQUIRE(together.size() == 3);
    for (int64_t m = 0; m < 3; ++m) {
      double mean = 0;
      for (int64_t i = 0; i < 40; ++i) mean += log_variance.at(40 * m + i) / 40;
      CHECK(close(together[static_cast<size_t>(m)], 2 * (kLog2PiE + mean), 1e-13));
      CHECK(gaussian_entropy(log_variance.slice(m), 4).item() == together[static_cast<size_t>(m)]);
      CHECK(close(log_volume(log_variance, 4, 3).value().at(m), 2 * mean + 4 * std::log(2), 1e-13));
    }
    CHECK(error_of([&] { gaussian_entropy(log_variance, 4, 2); }) ==
          "[entropies] log variances (3, 2, 5, 4) of 2 members: the first axis must be theirs");
    Parameter p{"", draw({5, 4}, 2), Tensor::empty({5, 4}, DType::f64), false};
    Tape tape;
    tape.backward(gaussian_entropy(p, 4));
    for (const double slope : p.gradient.to_vector()) CHECK(close(slope, 0.5 / 5, 1e-14));
  }

  TEST_CASE("entropies: Eqs. 25, 33, 39 and 43 are the same sum as printed") {
    const int64_t n = 6, d = 5, k = 3, samples = 4;
    const Tensor log_tau2 = draw({n, k}, 1), global = draw({k}, 2), of_z = draw({samples, n, d}, 3),
                 log_sigma2 = draw({1}, 4);
    const auto sum_of = [&](const Tensor& encoder, const Tensor& decoder) {
      return (gaussian_entropy(encoder, k) - standard_normal_entropy(k) - gaussian_entropy(decoder, d))
          .item();
    };
    const double sigma2 = std::exp(log_sigma2.item());
    double tau = 0, tau_global = 0, sigma_z = 0;
    for (const double value : log_tau2.to_vector()) tau += value / (2.0 * n);
    for (const double value : global.to_vector()) tau_global += value / 2;
    for (const double value : of_z.to_vector()) sigma_z += value / (2.0 * n * samples);
    const double decoder = -0.5 * d * std::log(2 * kPi * std::exp(1.0) * sigma2);
    CHECK(close(sum_of(log_tau2, log_sigma2), decoder + tau, 1e-13));                 // Eq. 25
    CHECK(close(sum_of(global, log_sigma2), decoder + tau_global, 1e-13));            // Eq. 33
    CHECK(close(sum_of(log_tau2, of_z), tau - sigma_z - 0.5 * d * kLog2PiE, 1e-13));  // Eq. 39
    // Eq. 43, also with other volumes.
    for (const double edge : {2.0, 0.5, 3.4}) {
      const double volumes = (log_volume(log_tau2, k, 0, edge) - log_volume(of_z, d, 0, edge)).item();
      CHECK(close(volumes + log_volume_constant(d, k, edge), sum_of(log_tau2, of_z), 1e-13));
    }
    CHECK(close(log_volume_constant(d, k), (d - k) * std::log(2) - 0.5 * d * kLog2PiE, 1e-14));
    CHECK(close(log_volume(log_sigma2, d).item(), std::log(std::pow(2 * std::sqrt(sigma2), d)), 1e-13));
  }

  TEST_CASE("entropy gauge: F - E is D/2 (1 - r) + 1/2 sum (1 - m2) at any parameters, to 1e-9") {
    uint64_t seed = 1;
    for (const int64_t members : {0, 3})
      for (const int64_t samples : {0, 4})
        for (const Noise noise : {Noise::shared, Noise::of_dimension, Noise::of_z})
          for (const bool learned_prior : {false, true})
            for (const bool global_tau : {false, true}) {
              CAPTURE(members);
              CAPTURE(samples);
              CAPTURE(static_cast<int>(noise));
              const GaussianPass p =
                  random_pass(members, samples, 7, 5, 3, noise, learned_prior, global_tau, seed += 10);
              for (int64_t m = 0; m < std::max<int64_t>(members, 1); ++m) {
                const GaugeTwin twin(p, m, members);
                const EntropyGauge gauge = gauge_of(p, twin.elbo, members, m);
                CHECK(close(gauge.sum, twin.entropies, 1e-12));
                CHECK(close(gauge.encoder - gauge.prior - gauge.decoder, gauge.sum, 1e-13));
                CHECK(close(gauge.noise_ratio, twin.r, 1e-12));
                double parts = 2.5 * (1 - twin.r);
                REQUIRE(gauge.second_moments.size() == 3);
                for (size_t h = 0; h < 3; ++h) {
                  CHECK(close(gauge.second_moments[h], twin.m2[h], 1e-12));
                  parts += 0.5 * (1 - twin.m2[h]);
                }
                CHECK(close(gauge.mean_second_moment(), (twin.m2[0] + twin.m2[1] + twin.m2[2]) / 3, 1e-12));
                CHECK(close(gauge.gap, parts, 1e-9));
                CHECK(close(gauge.decoder_gap + gauge.prior_gap, gauge.gap, 1e-9));
                CHECK(close(gauge.decoder_gap, 2.5 * (1 - twin.r), 1e-12));
                CHECK(close(gauge.gap_percent, 100 * gauge.gap / std::abs(twin.elbo), 1e-12));
                CHECK(close(gauge.gap, twin.gap, 1e-9));
                CHECK(std::isnan(gauge.gap_standard_error) == (samples == 0));
                CHECK(std::isnan(gauge.sum_standard_error) == (samples == 0 || noise != Noise::of_z));
                if (samples > 0) CHECK(close(gauge.gap_standard_error, std::sqrt(twin.gap_variance), 1e-9));
                CHECK(std::isnan(gauge.encoder_slope) == (samples == 0));
                CHECK(std::isnan(gauge.encoder_slope_standard_error) == (samples == 0));
                if (samples > 0) CHECK(close(gauge.encoder_slope, twin.slope.mean(), 1e-11));
                if (samples > 0)
                  CHECK(close(gauge.encoder_slope_standard_error, twin.slope.standard_error(), 1e-10));
                if (samples > 0 && noise == Noise::of_z)
                  CHECK(close(gauge.sum_standard_error, std::sqrt(twin.entropies_variance), 1e-9));
                const Variable tau = in_prior_units(p, m, members);
                CHECK(close(gauge.z_log_volume, log_volume(tau, 3).item(), 1e-12));
                CHECK(close(gauge.z_log_volume - gauge.x_log_volume + log_volume_constant(5, 3), gauge.sum,
                            1e-12));
              }
            }
  }

  TEST_CASE("entropy gauge: parts of the data add up to the whole, and each member may have its own") {
    GaussianPass p = random_pass(2, 3, 8, 4, 2, Noise::of_z, true, false, 5);
    p.x = draw({2, 8, 4}, 99);
    const auto rows = [](const Tensor& x, int axis, int64_t begin, int64_t end) {
      return slice(x, axis, begin, end).value();
    };
    EntropySums sums(2, 4, 2);
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 3}, {3, 8}})
      sums.add({rows(p.x, 1, begin, end), rows(p.posterior_mean, 1, begin, end),
                rows(p.posterior_log_variance, 1, begin, end), p.prior_log_variance,
                rows(p.mean, 2, begin, end), rows(p.log_variance, 2, begin, end), rows(p.z, 2, begin, end)});
    for (int64_t m = 0; m < 2; ++m) {
      const GaussianPass own{p.x.slice(m),
                             p.posterior_mean.slice(m),
                             p.posterior_log_variance.slice(m),
                             p.prior_log_variance.slice(m),
                             p.mean.slice(m),
                             p.log_variance.slice(m),
                             p.z.slice(m)};
      const EntropyGauge parts = sums.gauge(m, -3), whole = gauge_of(own, -3);
      CHECK(close(parts.sum, whole.sum, 1e-13));
      CHECK(close(parts.noise_ratio, whole.noise_ratio, 1e-13));
      CHECK(close(parts.second_moments[1], whole.second_moments[1], 1e-13));
      CHECK(close(parts.gap_standard_error, whole.gap_standard_error, 1e-12));
      CHECK(close(parts.encoder_slope, whole.encoder_slope, 1e-12));
      CHECK(close(parts.encoder_slope_standard_error, whole.encoder_slope_standard_error, 1e-12));
      CHECK(close(parts.sum_standard_error, whole.sum_standard_error, 1e-12));
    }
  }

  TEST_CASE("entropy gauge: draws that do not count only tell how far those that do are off") {
    for (const int64_t members : {0, 2}) {
      const GaussianPass p = random_pass(members, 3, 8, 4, 2, Noise::of_z, true, false, 5);
      GaussianPass first = p;
      const int axis = members > 0 ? 1 : 0;
      first.mean = slice(p.mean, axis, 0, 1).value();
      first.log_variance = slice(p.log_variance, axis, 0, 1).value();
      first.z = slice(p.z, axis, 0, 1).value();
      EntropySums sums(members, 4, 2, 1);
      sums.add(p);
      for (int64_t m = 0; m < std::max<int64_t>(members, 1); ++m) {
        const EntropyGauge one = sums.gauge(m, -3), alone = gauge_of(first, -3, members, m),
                           all = gauge_of(p, -3, members, m);
        CHECK(close(one.sum, alone.sum, 1e-13));
        CHECK(close(one.noise_ratio, alone.noise_ratio, 1e-13));
        CHECK(std::isnan(alone.gap_standard_error));
        CHECK(std::isnan(alone.encoder_slope));
        CHECK(one.encoder_slope == all.encoder_slope);  // for which all draws count
        CHECK(close(one.gap_standard_error, std::sqrt(3) * all.gap_standard_error, 1e-12));
        CHECK(close(one.sum_standard_error, std::sqrt(3) * all.sum_standard_error, 1e-12));
      }
    }
  }

  TEST_CASE("entropy gauge: at stationary variances F is E, and a factor t opens the gap as predicted") {
    const int64_t n = 40, d = 4, k = 3;
    GaussianPass p = random_pass(0, 3, n, d, k, Noise::of_dimension, true, false, 7);
    const auto elbo = [&] { return GaugeTwin(p, 0, 0).elbo; };
    // alpha_h^2 := mean(nu^2 + tau^2), sigma_d^2 := mean squared error: closed-form stationary points.
    p.prior_log_variance.fill(0);
    const Numbers moments = GaugeTwin(p, 0, 0).m2;
    for (int64_t h = 0; h < k; ++h)
      p.prior_log_variance.data<double>()[h] = std::log(moments[static_cast<size_t>(h)]);
    for (int64_t j = 0; j < d; ++j) {
      double error = 0;
      for (int64_t i = 0; i < 3 * n; ++i) error += std::pow(p.x.at(i % n * d + j) - p.mean.at(i * d + j), 2);
      p.log_variance.data<double>()[j] = std::log(error / (3.0 * n));
    }
    const double stationary = elbo();
    const EntropyGauge closed = gauge_of(p, stationary);
    CHECK(std::abs(closed.gap) < 1e-12);
    CHECK(std::abs(closed.decoder_gap) < 1e-12);
    CHECK(std::abs(closed.prior_gap) < 1e-12);
    // F falls by 1/2 (s - 1 - ln s), s = 1/t, in each dimension that moves; E by 1/2 ln t; the gap is the
    // difference.
    for (const double t : {0.3, 0.99, 1.01, 4.0}) {
      const double s = 1 / t;
      for (const bool prior : {true, false}) {
        const Tensor log_variance = prior ? p.prior_log_variance : p.log_variance;
        const std::vector<double> kept = log_variance.to_vector();
        log_variance.data<double>()[1] += std::log(t);
        const EntropyGauge one = gauge_of(p, elbo());
        CHECK(close(elbo() - stationary, -0.5 * (s - 1 - std::log(s)), 1e-12));
        CHECK(close(one.sum - closed.sum, -0.5 * std::log(t), 1e-12));
        CHECK(close(one.gap, 0.5 * (1 - s), 1e-12));
        CHECK(close(prior ? one.prior_gap : one.decoder_gap, 0.5 * (1 - s), 1e-12));
        CHECK(std::abs(prior ? one.decoder_gap : one.prior_gap) < 1e-12);
        for (size_t i = 0; i < kept.size(); ++i)  // the others too
          log_variance.data<double>()[i] = kept[i] + std::log(t);
        const auto moved = static_cast<double>(kept.size());
        CHECK(close(elbo() - stationary, -0.5 * moved * (s - 1 - std::log(s)), 1e-12));
        CHECK(close(gauge_of(p, elbo()).gap, 0.5 * moved * (1 - s), 1e-12));
        for (size_t i = 0; i < kept.size(); ++i) log_variance.data<double>()[i] = kept[i];
      }
    }
  }

  TEST_CASE("entropies: other units for z change nothing, other units for x the bound alone") {
    GaussianPass p = random_pass(0, 3, 9, 4, 2, Noise::of_z, true, false, 11);
    const double before = GaugeTwin(p, 0, 0).elbo;
    const EntropyGauge gauge = gauge_of(p, before);
    const double c = 3.7;
    const auto shifted = [&](const Tensor& log_variance) {
      return (Variable(log_variance) + 2 * std::log(c)).value();
    };
    const auto scaled = [&](const Tensor& x) { return (Variable(x) * c).value(); };
    GaussianPass z = p;  // VAE-2 with z in units c times as small: alpha, nu and tau all grow
    z.posterior_mean = scaled(p.posterior_mean);
    z.posterior_log_variance = shifted(p.posterior_log_variance);
    z.prior_log_variance = shifted(p.prior_log_variance);
    z.z = scaled(p.z);
    CHECK(close(GaugeTwin(z, 0, 0).elbo, before, 1e-12));
    const EntropyGauge in_z = gauge_of(z, before);
    CHECK(close(in_z.sum, gauge.sum, 1e-12));
    CHECK(close(in_z.prior_gap, gauge.prior_gap, 1e-12));
    CHECK(close(in_z.encoder_slope, gauge.encoder_slope, 1e-11));
    CHECK(close(in_z.encoder - gauge.encoder, 2 * std::log(c), 1e-12));
    GaussianPass x = p;
    x.x = scaled(p.x);
    x.mean = scaled(p.mean);
    x.log_variance = shifted(p.log_variance);
    const double in_x = GaugeTwin(x, 0, 0).elbo;
    CHECK(close(in_x - before, -4 * std::log(c), 1e-12));
    CHECK(close(gauge_of(x, in_x).gap, gauge.gap, 1e-12));
    CHECK(close(gauge_of(x, in_x).encoder_slope, gauge.encoder_slope, 1e-11));
    // VAE-1 is VAE-2 with the prior's deviation taken into z: T = A^-1 T~ (proof of Prop. 2).
    GaussianPass one = p;
    one.prior_log_variance = {};
    one.posterior_log_variance =
        (Variable(p.posterior_log_variance) - Variable(p.prior_log_variance)).value();
    one.posterior_mean = (Variable(p.posterior_mean) * exp(-0.5 * Variable(p.prior_log_variance))).value();
    CHECK(close(gauge_of(one, before).sum, gauge.sum, 1e-12));
    CHECK(close(GaugeTwin(one, 0, 0).elbo, before, 1e-12));
    CHECK(close(gauge_of(one, before).prior_gap, gauge.prior_gap, 1e-12));
  }
}
