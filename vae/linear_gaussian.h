// The linear Gaussian model, where everything that Yacoby et al. say of a VAE's optima has a closed form:
//
//   z ~ N(0, I),  x|z = W z + N(0, diag noise),  so  p(x) = N(0, C),  C = W W^T + diag noise,
//   p(z|x) = N(P x, S),  S^-1 = I + W^T diag(1/noise) W,  P = S W^T diag(1/noise)        (Eqs. 23 and 24).
//
// The mean-field q(z|x) closest to p(z|x) has its mean, and the variances 1 / (S^-1)_ii (appendix C.3). Any D
// and k; all in f64, nats per data point. For spherical noise and data with a mean there is ppca.h.
#pragma once

#include "tensor/tensor.h"

namespace elbo {

struct LinearGaussian {
  Tensor weight;  ///< W (D, k)
  Tensor noise;   ///< variances (D), positive
};

/// All functions throw where shapes or types do not fit, or a variance is not positive.

/// C (D, D).
Tensor data_covariance(const LinearGaussian& model);
/// ln p(x) of each point: x (N, D) -> (N).
Tensor log_density(const LinearGaussian& model, const Tensor& x);
/// ln p(x) of points with second moments `moments` (D, D) about 0: its mean over them.
double mean_log_density(const LinearGaussian& model, const Tensor& moments);

struct LinearPosterior {
  Tensor projection;  ///< P (k, D)
  Tensor covariance;  ///< S (k, k)
  Tensor precision;   ///< S^-1 (k, k)
};
LinearPosterior exact_posterior(const LinearGaussian& model);
/// Variances (k) of the closest mean-field posterior.
Tensor mean_field_variances(const LinearPosterior& posterior);
/// KL of that to the exact posterior, the same at every x: -1/2 ln det S^-1 + 1/2 sum_i ln (S^-1)_ii.
double mean_field_gap(const LinearPosterior& posterior);

/// KL[N(mean_n, diag variance_n) || p(z|x_n)], its mean over the points: x (N, D), mean and variance (N, k).
/// The "posterior matching objective" of an encoder that need not be the best.
double posterior_gap(const LinearPosterior& posterior, const Tensor& x, const Tensor& mean,
                     const Tensor& variance);

/// L(theta, phi) of Eq. 2 at its minimum over phi, of data N(0, covariance).
struct OptimalLoss {
  double likelihood = 0;  ///< KL[p_data || p_theta], the "MLE objective"
  double posterior = 0;   ///< mean_field_gap, the "posterior matching objective"
  double total() const { return likelihood + posterior; }
};
OptimalLoss optimal_loss(const LinearGaussian& model, const Tensor& covariance);

/// I(X; Z) = 1/2 ln det S^-1 (Eq. 22; in one dimension Eq. 15 without its "-4").
double mutual_information(const LinearGaussian& model);

/// Covariance (k, k) of E_data[q(z|x)], of data with this covariance: P covariance P^T plus that of q, which
/// is S, or diag of the mean-field variances.
Tensor aggregated_covariance(const LinearPosterior& posterior, const Tensor& covariance, bool mean_field);

}  // namespace elbo
