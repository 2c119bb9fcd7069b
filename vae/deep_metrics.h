// What a trained VAE is worth and which of its units have collapsed: everything that is reported of it.
//
// Expectations over q are taken with samples of z drawn by a key, everything else in closed form; sums over
// points are gathered in double. One pass over the data serves all members. (Lucas et al. 2019, section 6;
// recipes of Burda et al. 2016 for active units and the importance-weighted bound; Asperti 2019 for the
// variance law.) Standard errors are over the points: how far the mean over so many of them is from that over
// all that there could be, with the noise of the drawn z in it. What is said of units is in units of the
// prior's standard deviations, where these are not 1.
//
//   const DeepVaeMetrics m = evaluate_deep_vae(vae, test, {.seed = 7, .samples = 10, .progress = {}})[0];
//   fmt::print("ELBO {} nats per data point, {} active units\n", m.elbo, m.active_units);
//   Codes codes = encode_all(vae, test);                      // q(z|x): mean and log_variance (N, k)
#pragma once

#include <functional>

#include "vae/entropy_gauge.h"
#include "vae/point_spread.h"
#include "vae/points.h"
#include "vae/vae.h"

namespace elbo {

/// The thresholds, in nats, that collapse is reported at: from 1e-4 to 10. The tables use 0.01.
const std::vector<double>& collapse_epsilons();
inline constexpr double kTableEpsilon = 0.01;
inline constexpr double kCollapseDelta = 0.01;

/// Units are active whose mean varies by more than this over the points (Burda et al. 2016).
inline constexpr double kActiveVariance = 0.01;

/// Points are looked at so many at a time, the first part beginning at point 0. The z that metrics draw for a
/// part, which begins at point `begin`, are those of this key.
inline constexpr int64_t kPointsOfPart = 512;
RandomKey evaluation_key(const Vae& vae, uint64_t seed, int64_t begin);

/// Whether a unit is in use, whatever the scale of z: most of the variance of its z is that of its mean.
/// Where the variance law holds that is Var mu > 1/2, what parts Asperti 2019, Table 1.
inline bool is_in_use(double variance_of_mean, double mean_variance) {
  return variance_of_mean > mean_variance;
}

struct DeepVaeMetrics {
  int64_t samples = 1;                 ///< z drawn for each point, which E_q rests on
  double elbo = 0;                     ///< nats per data point, of the model as it is
  double elbo_standard_error = 0;      ///< over the points; NaN for one point
  double expected_log_likelihood = 0;  ///< E_q ln p(x|z), nats per data point
  double kl = 0;                       ///< nats per data point
  std::vector<double> kl_per_dim;
  double sigma2 = 0;  ///< NaN unless the likelihood has one sigma^2
  double mse = 0;     ///< |x - decoder(E_q z)|^2 / D, per dimension
  double sigma2_tuned =
      0;                  ///< E_q |x - decoder(z)|^2 / D: the sigma^2 that maximises the ELBO, all else fixed
  double elbo_tuned = 0;  ///< the ELBO there, nats per data point; NaN unless there is one sigma^2
  double row_identity_gap =
      0;  ///< ELBO minus what sigma^2, sigma2_tuned and KL say it must be, nats; NaN likewise
  int64_t active_units = 0;              ///< units with Var_x(E_q z_i) > kActiveVariance
  std::vector<double> collapse_percent;  ///< of units, for each of collapse_epsilons(); delta = 0.01
  std::vector<double> variance_law;  ///< Var_x(E_q z_i) + E_x Var_q z_i of each unit: 1 at a stationary point
  std::vector<double> variance_law_standard_error;     ///< over the points; NaN for one point
  std::vector<double> mean_of_mean, variance_of_mean;  ///< over x, of E_q z_i of each unit
  std::vector<double> share_below;  ///< of points at which the unit's KL is below kTableEpsilon
  EntropyGauge entropies;  ///< the ELBO beside the three entropies; by which objective is not known here

  /// The percentage of units with KL below kTableEpsilon for at least 1 - delta of the points.
  double table_collapse_percent() const;
};

struct MetricsOptions {
  uint64_t seed = 0;
  int64_t samples = 1;  ///< z for each point
  bool second_draw =
      true;  ///< where there is one z, decode another, for the entropies' errors and encoder_slope
  std::function<bool(int64_t done, int64_t points)>
      progress;  ///< returning false gives up: the result is empty
};

/// Of every member, on x (N, D) or (M, N, D), which is converted to the model's dtype.
std::vector<DeepVaeMetrics> evaluate_deep_vae(const Vae& vae, const Points& x,
                                              const MetricsOptions& options = {});

/// The importance-weighted bound with K samples, E ln (1/K) sum_k p(x, z_k) / q(z_k|x) over the points of x
/// (N, D), of every member, in nats per data point. Rises with K towards ln p(x) (Burda et al. 2016, Eq. 8).
std::vector<MeanOfPoints> importance_weighted_bound(const Vae& vae, const Points& x, int64_t samples,
                                                    uint64_t seed);

/// I(x; z) under q, E ln q(z|x) - E ln (1/B) sum_b q(z|x_b) over the B points of x, of every member, in nats.
/// At most ln B and at most the KL (Hoffman & Johnson 2016). Takes time for B^2 pairs, and memory for some of
/// them.
std::vector<double> mutual_information(const Vae& vae, const Points& x, uint64_t seed);

/// q(z|x) of all points, encoded a part at a time: (M?, N, k) on the CPU.
struct Codes {
  Tensor mean, log_variance;
};
Codes encode_all(const Vae& vae, const Points& x);

}  // namespace elbo
