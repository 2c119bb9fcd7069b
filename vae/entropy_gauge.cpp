#include "vae/entropy_gauge.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/map_loops.h"
#include "vae/entropies.h"

namespace elbo {
namespace {

struct SquaredErrorOverVariance {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T log_variance) const {
    // By the standard deviation: e^-log_variance alone overflows in float while the product is small.
    const T eps = (x - mean) * math::exp(T(-0.5) * log_variance);
    return eps * eps;
  }
};

struct SecondMomentOverVariance {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance, T prior) const {
    return (mean * mean + math::exp(log_variance)) * math::exp(-prior);
  }
};

Tensor in_double(const Tensor& x) { return x.to(DType::f64).to(Device::cpu); }

/// A running sum in double.
void gather(const Tensor& total, const Tensor& part) {
  add_into(total, in_double(part).reshape(total.shape()));
}

}  // namespace

double EntropyGauge::mean_second_moment() const {
  return std::accumulate(second_moments.begin(), second_moments.end(), 0.0) /
         static_cast<double>(second_moments.size());
}

EntropyGauge entropy_gauge(double elbo, double prior, double decoder, double encoder, int64_t dimensions,
                           double noise_ratio, std::vector<double> second_moments, double encoder_slope) {
  EntropyGauge gauge;
  gauge.prior = prior;
  gauge.decoder = decoder;
  gauge.encoder = encoder;
  gauge.sum = encoder - prior - decoder;
  gauge.gap = elbo - gauge.sum;
  gauge.encoder_slope = encoder_slope;
  gauge.sum_standard_error = gauge.gap_standard_error = gauge.encoder_slope_standard_error = std::nan("");
  gauge.gap_percent = 100 * gauge.gap / std::abs(elbo);
  gauge.noise_ratio = noise_ratio;
  gauge.decoder_gap = 0.5 * static_cast<double>(dimensions) * (1 - noise_ratio);
  for (const double moment : second_moments) gauge.prior_gap += 0.5 * (1 - moment);
  const auto latent = static_cast<int64_t>(second_moments.size());
  gauge.z_log_volume = encoder - prior + static_cast<double>(latent) * std::log(2);
  gauge.x_log_volume = gauge.z_log_volume + log_volume_constant(dimensions, latent) - gauge.sum;
  gauge.second_moments = std::move(second_moments);
  return gauge;
}

EntropyGauge no_entropy_gauge() {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  EntropyGauge none = entropy_gauge(kNone, kNone, kNone, kNone, 1, kNone, {}, kNone);
  none.prior_gap = kNone;
  return none;
}

EntropySums::EntropySums(int64_t members, int64_t dimensions, int64_t latent, int64_t samples)
    : members_(std::max<int64_t>(members, 1)),
      dimensions_(dimensions),
      latent_(latent),
      samples_(samples),
      prior_(Tensor::zeros({members_, 1}, DType::f64)),
      decoder_(prior_.clone()),
      encoder_(prior_.clone()),
      error_(prior_.clone()),
      second_moments_(Tensor::zeros({members_, latent}, DType::f64)),
      error_variance_(prior_.clone()),
      decoder_variance_(prior_.clone()),
      slope_(members_) {}

void EntropySums::add(const GaussianPass& pass) {
  const int64_t m = members_, k = latent_, d = dimensions_, n = pass.x.size(-2);
  const Tensor nu = in_double(pass.posterior_mean).reshape({m, n, k});
  const Tensor log_tau2 = in_double(pass.posterior_log_variance).reshape({m, -1, k});
  const Tensor log_alpha2 = pass.prior_log_variance.defined()
                                ? in_double(pass.prior_log_variance).reshape({m, 1, k})
                                : Tensor::zeros({m, 1, k}, DType::f64);
  const Tensor x = pass.x.reshape({pass.x.rank() == 3 ? m : 1, 1, n, d});
  const Tensor mu = pass.mean.reshape({m, -1, n, d});
  const int64_t given = pass.log_variance.elements();
  const Tensor log_sigma2 = pass.log_variance.reshape(given == m       ? Shape{m, 1, 1, 1}
                                                      : given == m * d ? Shape{m, 1, 1, d}
                                                                       : mu.shape());
  const auto points = static_cast<double>(n);
  const int64_t drawn = mu.size(1), counted = samples_ > 0 ? samples_ : drawn;
  const auto gather_entropy = [&](const Tensor& total, const Tensor& log_variance, int64_t dimensions) {
    gather(total, map(Scaled{points}, in_double(gaussian_entropy(log_variance, dimensions, m).value())));
  };
  // Numbers (M, S, N): their means over draws, summed over points, and the variance of that sum; NaN for one
  // draw, which tells none.
  const auto gather_draws = [&](const Tensor& total, const Tensor& variance, const Variable& numbers) {
    gather(total, sum(mean(slice(numbers, 1, 0, counted), {1}), {1}).value());
    const auto degrees = static_cast<double>((drawn - 1) * counted);
    gather(variance, (sum(square(numbers - mean(numbers, {1}, true)), {1, 2}) / degrees).value());
  };
  gather_entropy(prior_, log_alpha2, k);
  gather_entropy(encoder_, log_tau2, k);
  const auto of_draws = [&](const Tensor& sums) -> Variable {
    return in_double(sums).reshape({m, drawn, n});
  };
  const Variable errors =
      of_draws(map_reduce<Sum>({m, drawn, n, 1}, SquaredErrorOverVariance{}, x, mu, log_sigma2));
  Variable log_likelihood = -0.5 * errors;  // but for what all draws of a point share
  if (sigma2_of_z_ = given > m * d; sigma2_of_z_) {
    const Variable half = 0.5 * of_draws(map_reduce<Sum>({m, drawn, n, 1}, Identity{}, log_sigma2));
    gather_draws(decoder_, decoder_variance_, half + standard_normal_entropy(d));
    log_likelihood = log_likelihood - half;
  } else {
    gather_entropy(decoder_, log_sigma2, d);
  }
  const Variable moments = map(SecondMomentOverVariance{}, nu, log_tau2, log_alpha2);  // (M, N, k)
  gather(second_moments_, sum(moments, {1}).value());
  gather_draws(error_, error_variance_, errors);
  const Tensor z = in_double(pass.z).reshape({m, drawn, n, k}), noise_mean = nu.reshape({m, 1, n, k}),
               noise_variance = log_tau2.reshape({m, 1, -1, k});
  const Variable noise =
      of_draws(map_reduce<Sum>({m, drawn, n, 1}, SquaredErrorOverVariance{}, z, noise_mean, noise_variance));
  const Variable covariance = sum((log_likelihood - mean(log_likelihood, {1}, true)) * noise, {1}) /
                              static_cast<double>(drawn - 1);  // (M, N)
  const Variable of_prior =
      static_cast<double>(k) - sum(exp(log_tau2 - log_alpha2), {2});  // (M, N) or (M, 1)
  slope_.add((0.5 * (of_prior + covariance)).value());
  points_ += points;
}

EntropyGauge EntropySums::gauge(int64_t member, double elbo) const {
  const auto mean = [&](const Tensor& total, int64_t i = 0) {
    return total.at(member * total.size(1) + i) / points_;
  };
  std::vector<double> moments;
  for (int64_t h = 0; h < latent_; ++h) moments.push_back(mean(second_moments_, h));
  EntropyGauge gauge = entropy_gauge(elbo, mean(prior_), mean(decoder_), mean(encoder_), dimensions_,
                                     mean(error_) / static_cast<double>(dimensions_), std::move(moments),
                                     slope_.at(member).mean);
  gauge.encoder_slope_standard_error = slope_.at(member).standard_error;
  const auto standard_error = [&](const Tensor& variance) {
    return std::sqrt(variance.at(member)) / points_;
  };
  gauge.gap_standard_error = 0.5 * standard_error(error_variance_);
  if (sigma2_of_z_) gauge.sum_standard_error = standard_error(decoder_variance_);
  return gauge;
}

}  // namespace elbo
