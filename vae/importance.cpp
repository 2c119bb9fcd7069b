#include "vae/importance.h"

#include <algorithm>
#include <cmath>

#include "tensor/map_loops.h"
#include "vae/metric_parts.h"
#include "vae/point_spread.h"

namespace elbo {
namespace {

constexpr int64_t kTogether = 512;  // samples, of one point or of several, that are decoded at a time
constexpr double kPoorShare = 0.01;

/// ln p(z) - ln q'(z|x) of one unit; the constants cancel.
struct PriorOverPosterior {
  template <class T>
  ELBO_HD T operator()(T z, T mean, T log_variance) const {
    // By the standard deviation: e^-log_variance alone overflows in float while the product is small.
    const T eps = (z - mean) * math::exp(T(-0.5) * log_variance);
    return T(0.5) * (eps * eps + log_variance - z * z);
  }
};

/// z (M, S, N, k), also of a single model, in the units in which the prior is N(0, I).
Tensor z_in_prior_units(const Vae& vae, const Tensor& z) {
  const Tensor prior = vae.prior_log_variance().value();
  if (!prior.defined()) return z;
  return (Variable(z) * exp(-0.5 * Variable(prior.reshape({vae.models(), 1, 1, -1})))).value();
}

struct Weighted {
  Tensor z;            ///< (M, samples, n, k) f64
  Tensor log_weights;  ///< (M, samples, n, 1) f64
};
/// So many samples and their ln w, on the CPU. x (n, D) or (M, n, D), q' its proposal.
Weighted weighted_samples(const Vae& vae, const Tensor& x, const Posterior& proposal, const RandomKey& key,
                          int64_t samples) {
  const int64_t m = vae.models(), k = vae.latent(), n = x.size(-2);
  const Posterior of_prior = vae.in_prior_units(proposal);
  const Variable z = vae.draw(proposal, for_members_of(vae, key), samples).z;
  const Tensor drawn = z.value().reshape({m, samples, n, k});
  const Tensor log_likelihood = vae.log_likelihood(x, vae.decode(z)).value().reshape({m, samples, n, 1});
  const Tensor ratio = map_reduce<Sum>({m, samples, n, 1}, PriorOverPosterior{}, z_in_prior_units(vae, drawn),
                                       of_prior.mean.value().reshape({m, 1, n, k}),
                                       of_prior.log_variance.value().reshape({m, 1, n, k}));
  const auto here = [](const Tensor& t) { return t.to(DType::f64).to(Device::cpu); };
  return {here(drawn), here((Variable(log_likelihood) + Variable(ratio)).value())};
}

/// Sums of w, w^2 and w z, in units of the largest w so far.
struct WeightSums {
  explicit WeightSums(int64_t k) : z(static_cast<size_t>(k)) {}
  double largest = -INFINITY, sum = 0, squares = 0;
  std::vector<double> z;

  void add(double log_weight, const double* at) {
    if (log_weight == -INFINITY) return;
    if (!(log_weight <= largest)) {  // or NaN, which stays
      const double shrink = std::exp(largest - log_weight);
      sum *= shrink;
      squares *= shrink * shrink;
      for (double& each : z) each *= shrink;
      largest = log_weight;
    }
    const double weight = std::exp(log_weight - largest);
    sum += weight;
    squares += weight * weight;
    for (size_t i = 0; i < z.size(); ++i) z[i] += weight * at[i];
  }
  double log_mean(int64_t samples) const { return largest + std::log(sum / static_cast<double>(samples)); }
  double effective() const { return squares > 0 || std::isnan(squares) ? sum * sum / squares : 0; }
};

}  // namespace

ImportancePoints importance_points(const Vae& vae, const Points& x, const ImportanceOptions& options) {
  const int64_t samples = options.samples, m = vae.models(), points = x.count();
  if (samples < 1) fail("[importance] at least one sample is needed, got {}", samples);
  if (!(options.inflation > 0) || !std::isfinite(options.inflation))
    fail("[importance] the variance's factor must be positive, got {}", options.inflation);
  const int64_t k = vae.latent();
  const ImportancePoints all{Tensor::empty({m, points}, DType::f64), Tensor::empty({m, points}, DType::f64),
                             Tensor::empty({m, points, k}, DType::f64)};
  const int64_t rows = std::max<int64_t>(1, kTogether / samples);
  const int64_t parts = (samples + kTogether - 1) / kTogether;  // of the samples of one point
  for (int64_t begin = 0; begin < points; begin += rows) {
    const Tensor part = rows_for(vae, x, begin, std::min(begin + rows, points));
    const int64_t n = part.size(-2);
    const Posterior q = of_each_point(vae.encode(part));
    const Posterior proposal{
        q.mean, options.inflation == 1 ? q.log_variance : q.log_variance + std::log(options.inflation)};
    std::vector<WeightSums> sums(static_cast<size_t>(m * n), WeightSums(k));
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t count = std::min(kTogether, samples - p * kTogether);
      const RandomKey key{.seed = options.seed,
                          .stream = kEvaluation,
                          .step = static_cast<uint64_t>(begin / rows * parts + p)};
      const auto [z, log_weights] = weighted_samples(vae, part, proposal, key, count);
      for (int64_t i = 0; i < log_weights.elements(); ++i)
        sums[static_cast<size_t>(i / (count * n) * n + i % n)].add(log_weights.data<double>()[i],
                                                                   z.data<double>() + i * k);
    }
    for (int64_t i = 0; i < m * n; ++i) {
      const int64_t at = i / n * points + begin + i % n;
      const WeightSums& own = sums[static_cast<size_t>(i)];
      all.log_likelihood.data<double>()[at] = own.log_mean(samples);
      all.effective_samples.data<double>()[at] = own.effective();
      for (int64_t j = 0; j < k; ++j)
        all.posterior_mean.data<double>()[at * k + j] = own.z[static_cast<size_t>(j)] / own.sum;
    }
  }
  return all;
}

ImportanceEstimate summarise(const Tensor& log_likelihood, const Tensor& effective_samples, int64_t samples) {
  ImportanceEstimate estimate{.points = log_likelihood.elements(), .samples = samples, .warning = {}};
  if (estimate.points == 0) fail("[importance] there are no points");
  PointSpread spread(1);
  spread.add(log_likelihood);
  estimate.mean = spread.at(0).mean;
  estimate.standard_error = spread.at(0).standard_error;
  std::vector<double> effective = effective_samples.to_vector();
  double variance = 0;  // of ln of a mean of weights: 1 / ESS - 1 / S
  bool is_finite = std::isfinite(estimate.mean);
  for (double each : effective) {
    variance += std::max(0.0, 1 / each - 1 / static_cast<double>(samples));
    if (!(each >= kFewEffectiveSamples)) ++estimate.poorly_sampled;
    is_finite = is_finite && std::isfinite(each);
  }
  const auto points = static_cast<double>(estimate.points);
  estimate.monte_carlo_error = std::sqrt(variance) / points;
  if (!is_finite) {
    estimate.median_effective_samples = estimate.least_effective_samples = std::nan("");
    estimate.warning = "unreliable: the likelihood of some points is not finite";
    return estimate;
  }
  std::sort(effective.begin(), effective.end());
  const size_t half = effective.size() / 2;
  estimate.least_effective_samples = effective.front();
  estimate.median_effective_samples =
      effective.size() % 2 == 1 ? effective[half] : (effective[half - 1] + effective[half]) / 2;
  if (static_cast<double>(estimate.poorly_sampled) > kPoorShare * points)
    estimate.warning = fmt::format(
        "unreliable, probably too low: {} of {} points rest on fewer than {} effective samples of {} (the "
        "fewest: {:.1f})",
        estimate.poorly_sampled, estimate.points, kFewEffectiveSamples, samples,
        estimate.least_effective_samples);
  return estimate;
}

std::vector<ImportanceEstimate> importance_log_likelihood(const Vae& vae, const Points& x,
                                                          const ImportanceOptions& options) {
  const ImportancePoints all = importance_points(vae, x, options);
  std::vector<ImportanceEstimate> estimates;
  for (int64_t m = 0; m < vae.models(); ++m)
    estimates.push_back(
        summarise(all.log_likelihood.slice(m), all.effective_samples.slice(m), options.samples));
  return estimates;
}

}  // namespace elbo
