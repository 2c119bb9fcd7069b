// EntropyGauge: how far a VAE's ELBO is from the sum of its three entropies (entropies.h), and which variance
// is not stationary yet.
//
// With the KL in closed form, at any parameters, trained or not, and for the same z,
//   F - E = D/2 (1 - r) + 1/2 sum_h (1 - m2_h),
//   r = mean over d of E (x_d - mu_d(z))^2 / sigma_d^2(z),  m2_h = mean of (nu_h^2 + tau_h^2) / alpha_h^2.
// r is 1 where the decoder's variances are stationary; m2_h is 1 where the prior's is or, for a fixed prior,
// where the scale of z_h is, which encoder and first layer of the decoder share (Lücke et al., Props. 1 to
// 3). Each part is minus the slope of F by the logarithm of a factor on these variances. The encoder's
// entropy stands in F as it does in E, so the encoder has no part of its own in the gap; a tau^2 that is
// wrong shows in r and m2, which are means over q. Its own slope, which is 0 where it is stationary, stands
// beside them:
//   dF / d ln t of tau^2 := t tau^2 is 1/2 sum_h (1 - tau_h^2 / alpha_h^2) + 1/2 cov(ln p(x|z), |eps|^2),
// for z = nu + tau eps, the covariance being over draws (by q's score function). A small gap says nothing of
// how good the optimum is; near saddles it is small, too.
//
// All of that is about the points that are given. What is drawn is z alone, so the standard errors are those
// of these draws, and do not tell how far other points would be off; the slope's alone is over points, too.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "vae/point_spread.h"

namespace elbo {

inline constexpr const char* kSigma2IsFixed = "σ² is fixed";

/// Nats per data point where nothing else is said. All numbers are NaN for a Bernoulli likelihood, whose
/// entropy is none of these.
struct EntropyGauge {
  double prior = 0, decoder = 0, encoder = 0;  ///< H[p(z)], E_q H[p(x|z)], mean H[q(z|x)]
  double sum = 0;                              ///< E = encoder - prior - decoder
  double sum_standard_error = 0;               ///< NaN where exact: but where sigma^2 depends on z
  double gap = 0;                              ///< ELBO - E
  double gap_standard_error = 0;               ///< NaN where exact, or nothing tells it
  double gap_percent = 0;                      ///< of |ELBO|
  double decoder_gap = 0;                      ///< D/2 (1 - r)
  double prior_gap = 0;                        ///< 1/2 sum_h (1 - m2_h)
  double noise_ratio = 0;                      ///< r, no unit
  std::vector<double> second_moments;          ///< m2_h, no unit
  double encoder_slope = 0;                    ///< dF / d ln t of tau^2 := t tau^2; NaN for one draw of z
  double encoder_slope_standard_error = 0;     ///< over points and draws; NaN where exact, and for one point
  /// Mean ln of the volumes of boxes two deviations wide, q's in the prior's units and the decoder's. E is
  /// the first minus the second and log_volume_constant(D, k) (Lücke et al., Eq. 43).
  double z_log_volume = 0, x_log_volume = 0;
  std::string obstacle;  ///< why the gap need not close: kSigma2IsFixed; empty where it must

  double mean_second_moment() const;
};

/// The gauge of a model with these entropies, bound, r, m2 and slope; without standard errors.
EntropyGauge entropy_gauge(double elbo, double prior, double decoder, double encoder, int64_t dimensions,
                           double noise_ratio, std::vector<double> second_moments, double encoder_slope);
/// Without a number.
EntropyGauge no_entropy_gauge();

/// What a Gaussian VAE makes of some points: any part of the data. M is there for ensembles.
struct GaussianPass {
  Tensor x;                       ///< (N, D), or (M, N, D)
  Tensor posterior_mean;          ///< nu (M?, N, k)
  Tensor posterior_log_variance;  ///< ln tau^2 (M?, N, k); (M?, k) or (M?, 1, k) where all points share it
  Tensor prior_log_variance;      ///< ln alpha^2 (M?, k); undefined: a standard normal
  Tensor mean;                    ///< mu(z) (M?, S?, N, D)
  Tensor log_variance;            ///< ln sigma^2: (1) or (M, 1), (M?, D), or of the mean's shape
  Tensor z;                       ///< what the mean was decoded from (M?, S?, N, k)
};

/// Gathers gauges over a data set, part by part, in double.
class EntropySums {
 public:
  /// `members` 0: a single model without a member axis. `samples`: so many of a pass's S count, 0 means all;
  /// any others only help to tell how far draws are apart, of which there must be two for a standard error
  /// and for the encoder's slope.
  EntropySums(int64_t members, int64_t dimensions, int64_t latent, int64_t samples = 0);
  void add(const GaussianPass& pass);
  /// Of a member with this ELBO on the points so far. The gap is that ELBO minus E; its parts come from r and
  /// m2, so that gap - decoder_gap - prior_gap is rounding, if the ELBO was drawn with the same z.
  EntropyGauge gauge(int64_t member, double elbo) const;

 private:
  int64_t members_, dimensions_, latent_, samples_;
  double points_ = 0;
  Tensor prior_, decoder_, encoder_, error_;  // sums over points, f64 (M, 1)
  Tensor second_moments_;                     // (M, k)
  Tensor error_variance_, decoder_variance_;  // of the sums in error_ and decoder_, by the draws of z
  PointSpread slope_;
  bool sigma2_of_z_ = false;
};

}  // namespace elbo
