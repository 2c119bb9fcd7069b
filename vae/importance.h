// ln p(x) of a VAE by importance sampling, and how far the numbers can be trusted.
//
//   ln p(x) ~ ln (1/S) sum_s w_s,   w_s = p(x|z_s) p(z_s) / q'(z_s),   z_s ~ q',
//
// q' being q(z|x) with its variances multiplied by a factor, so that it covers the posterior (Yacoby et al.,
// Eq. 48). In expectation the estimate lies below ln p(x), the less so the larger S. It fails where few of
// the samples carry all the weight; what cannot be seen in the weights is a part of the posterior that q'
// never meets.
//
//   ImportanceEstimate e = importance_log_likelihood(vae, test, {.seed = 7})[0];
//   fmt::print("{} +- {}\n{}", e.mean, e.standard_error, e.warning);
#pragma once

#include <string>
#include <vector>

#include "vae/points.h"
#include "vae/vae.h"

namespace elbo {

struct ImportanceOptions {
  int64_t samples = 5000;  ///< S for each point
  double inflation = 2;    ///< the variances of q', in those of q; 1: q itself
  uint64_t seed = 0;
};

/// Of single points, (M, N) f64 on the CPU, also of one model: nats, and (sum w)^2 / sum w^2, between 1 and
/// S.
struct ImportancePoints {
  Tensor log_likelihood, effective_samples;
  Tensor posterior_mean;  ///< E z under p(z|x), by the weights over their sum: (M, N, k) f64
};
/// Of the points of x (N, D), or (M, N, D) where each member has its own. Memory does not grow with S.
ImportancePoints importance_points(const Vae& vae, const Points& x, const ImportanceOptions& options = {});

/// A point with fewer effective samples counts as poorly sampled: its likelihood is known to about a third.
inline constexpr double kFewEffectiveSamples = 10;

/// What the points of one member say together.
struct ImportanceEstimate {
  int64_t points = 0, samples = 0;
  double mean = 0;               ///< ln p(x), nats per data point
  double standard_error = 0;     ///< over the points, the noise of the samples in it; NaN for one point
  double monte_carlo_error = 0;  ///< of the mean over these very points, as the weights' spread has it
  double median_effective_samples = 0, least_effective_samples = 0;
  int64_t poorly_sampled = 0;  ///< points with fewer effective samples than kFewEffectiveSamples
  /// One line where the mean should not be relied on: where more than one point in a hundred is poorly
  /// sampled, or a number is not finite. Empty where it may.
  std::string warning;
};
ImportanceEstimate summarise(const Tensor& log_likelihood, const Tensor& effective_samples, int64_t samples);
/// Of every member.
std::vector<ImportanceEstimate> importance_log_likelihood(const Vae& vae, const Points& x,
                                                          const ImportanceOptions& options = {});

}  // namespace elbo
