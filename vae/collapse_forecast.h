// Collapse forecast: which latent units will be in use, what each will carry and what it will be worth, from
// the eigenvalues of the data's covariance alone, before anything is trained. Exact for a linear VAE, with
// sigma^2 held fixed and the KL weighted by beta:
//
//   J = E_q ln p(x|z) - beta KL,   p(x|z) = N(W z + mu, sigma^2 I),   q(z|x) = N(V (x - mu), diag d).
//
// Divided by beta, the likelihood's quadratic term is that of a variance s = beta sigma^2 and the KL has the
// weight 1; normalisers do not depend on W, V, d. So J has the maxima of the ELBO at noise s (Lucas et al.
// 2019, section 4, appendix A): columns of W along principal directions u_i. There J falls apart into
// directions. With w_i^2 the squared length of the column and v_i u_i the encoder's row, the best encoder is
//   v_i = w_i / (w_i^2 + s),   d_i = s / (w_i^2 + s),
// which leaves -1/2 [ ln(w_i^2 + s) + lambda_i / (w_i^2 + s) ], with its maximum at
//   w_i^2 = lambda_i - s where lambda_i > s, else w_i = 0: the direction is active iff lambda_i > beta
//   sigma^2.
// With r = lambda_i / s an active direction has
//   Var mu_i = 1 - 1/r,   sigma_i^2 = 1/r   (their sum is 1: the variance law),   KL_i = 1/2 ln r nats,
//   E_q |error|^2 = s, and lambda_i where z_i is set to 0: a gain of beta (r - 1) / 2 nats of likelihood.
// Of more active directions than k the k with the largest eigenvalues are kept. A deep VAE's units follow no
// directions; for these it is a forecast and no theorem. Nats per data point, summed over dimensions; f64.
#pragma once

#include <vector>

#include "vae/linear_vae.h"

namespace elbo {

struct ForecastUnit {
  int64_t direction = 0;  ///< 1-based, the largest eigenvalue first
  double eigenvalue = 0;
  bool active = false;
  double length2 = 0;           ///< |w_i|^2, of the decoder's column
  double variance_of_mean = 0;  ///< Var_x mu_i(x)
  double mean_variance = 1;     ///< sigma_i^2(x), the same for every x
  double kl = 0;
  double gain = 0;  ///< likelihood that is lost where z_i is set to 0
  /// What the unit adds to the ELBO. With beta below 1 it may be negative: the objective asked for more.
  double worth() const { return gain - kl; }
};

struct CollapseForecast {
  double sigma2 = 1, beta = 1;
  int64_t latent = 0;
  int64_t above = 0;                ///< eigenvalues above the threshold, whatever k is
  std::vector<ForecastUnit> units;  ///< the first k directions
  double kl = 0;
  double squared_error = 0;  ///< E_q |x - W z - mu|^2, summed over dimensions
  double sigma2_tuned = 0;   ///< squared_error / D: the sigma^2 that would maximise the ELBO, all else fixed
  double elbo = 0;

  double threshold() const { return beta * sigma2; }
  int64_t active() const { return above < latent ? above : latent; }
};

/// `eigenvalues` (D), largest first, of principal_components. Throws unless 1 <= k <= D, and sigma^2 and beta
/// are positive.
CollapseForecast forecast_collapse(const Tensor& eigenvalues, int64_t latent, double sigma2, double beta = 1);

/// The optimum itself, with the model's sigma^2 as asked.
LinearVaeWeights forecast_weights(const DataMoments& data, const Eigen& eigen, int64_t latent, double sigma2,
                                  double beta = 1);

}  // namespace elbo
