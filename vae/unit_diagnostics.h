// Unit diagnostics: what each latent unit carries, what it costs and what it is worth.
//
// The moments and the KL of a unit are among the metrics (deep_metrics.h), over all points. What it is worth
// is its reconstruction gain: how much the loss, -E_q ln p(x|z), rises when the unit is silenced, its z_i set
// to zero or drawn from the prior, while the other units stay as they are (Asperti 2019, section 5). That
// takes a pass of the decoder for each unit, so it is found on some of the points.
//
//   const std::vector<UnitGains> gains = unit_gains(vae, some, seed);              // of each member
//   for (const UnitDiagnostics& unit : unit_diagnostics(metrics[m], gains[m])) ...
//
// KL and gains are nats per data point; the gain is of the likelihood, whose weight is one whatever the KL's
// was in training. Moments are in units of the prior's standard deviations.
#pragma once

#include "vae/deep_metrics.h"

namespace elbo {

/// Of each unit of one model, with the standard error over the points.
struct UnitGains {
  std::vector<MeanOfPoints> zero;   ///< E_q [ln p(x|z) - ln p(x|z with z_i = 0)]
  std::vector<MeanOfPoints> prior;  ///< the same with z_i ~ p(z_i) instead
  int64_t points = 0;
};

/// Of every member, on x (N, D) or (M, N, D): one draw of z for each point, that of the metrics with this
/// seed.
std::vector<UnitGains> unit_gains(const Vae& vae, const Points& x, uint64_t seed);

/// Points on which gains are found where nothing else is said: fewer where there are many units.
int64_t points_for_gains(int64_t latent);

struct UnitDiagnostics {
  int64_t unit = 0;
  double mean_of_mean = 0;                 ///< mean_x mu_i(x); 0 at a stationary point
  double variance_of_mean = 0;             ///< Var_x mu_i(x)
  double mean_variance = 0;                ///< mean_x sigma_i^2(x)
  double law = 0, law_standard_error = 0;  ///< the sum of both: 1 at a stationary point (Asperti, section 4)
  double kl = 0;
  double share_below = 0;  ///< of points at which its KL is below kTableEpsilon
  MeanOfPoints gain = {}, gain_of_prior = {};

  /// Nats of KL that the unit's distance from the law costs: what would be saved if z_i were moved to mean 0
  /// and scaled to a sum of 1, and the decoder undid both. Quadratic where the sum is near 1 (0.0023 nats
  /// at 1.1), so that a training hardly feels it.
  double law_cost() const;

  /// Whether the unit is active, by four criteria.
  bool by_variance() const { return variance_of_mean > kActiveVariance; }  ///< Burda et al. 2016
  bool by_half_variance() const { return variance_of_mean > 0.5; }         ///< what Asperti's Table 1 parts
  bool by_kl() const { return share_below < 1 - kCollapseDelta; }          ///< Lucas et al. 2019
  /// It is worth more than it costs, by more than two standard errors.
  bool by_gain() const { return gain.mean - 2 * gain.standard_error > kl; }
  bool criteria_agree() const;
};

/// In the order of the units.
std::vector<UnitDiagnostics> unit_diagnostics(const DeepVaeMetrics& metrics, const UnitGains& gains);

}  // namespace elbo
