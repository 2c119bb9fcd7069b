// Probabilistic PCA in closed form: what a linear VAE must reach, known without training.
//
//   p(z) = N(0, I),  p(x|z) = N(W z + mu, sigma^2 I),  so  p(x) = N(mu, C),  C = W W^T + sigma^2 I.
// Tipping & Bishop 1999; Lucas et al. 2019, section 4.1 and appendix A. All in f64. Log-likelihoods are nats
// per data point, summed over the D dimensions. Only k x k matrices are ever inverted, through
//   M = W^T W + sigma^2 I,  |C| = (sigma^2)^(D-k) |M|,  C^-1 = (I - W M^-1 W^T) / sigma^2.
#pragma once

#include <vector>

#include "tensor/linalg.h"
#include "tensor/tensor.h"

namespace elbo {

/// What pPCA needs to know of the data. The covariance S, about the mean and with 1/N, is held by a square
/// root F of it, S = F F^T: products are as quick, small eigenvalues beside large ones keep their digits, and
/// of fewer points than dimensions nothing of D x D is ever made.
struct DataMoments {
  int64_t count = 0;
  Tensor mean;      ///< (D) f64
  Tensor root;      ///< F (D, R) f64, R = min(N, D): triangular, or the centred points themselves if N < D
  Tensor rounding;  ///< (D) f64: the variance that rounding to their type has given the numbers, at most
};

/// Moments of x (N, D), f32 or f64. Throws when N = 0 or a value is not finite.
DataMoments data_moments(const Tensor& x);
/// S itself: (D, D) f64.
Tensor covariance(const DataMoments& data);
/// S b, for b (D, k) f64.
Tensor covariance_times(const DataMoments& data, const Tensor& b);
/// The trace of S.
double total_variance(const DataMoments& data);

/// Eigenvalues (D) of S and the eigenvectors (D, R) of the first R of them; the others are 0. Values at the
/// end that are no more than rounding are 0 as well: those that the singular values of F cannot tell from 0,
/// and those that are negligible beside the largest and no larger than what `rounding` does in their
/// direction.
Eigen principal_components(const DataMoments& data);

struct Ppca {
  Tensor weight;  ///< W (D, k) f64
  Tensor mean;    ///< mu (D) f64
  double sigma2 = 0;
};

/// Number of principal components whose eigenvalue is not 0: the dimension of the space the data lie in.
int64_t numerical_rank(const Tensor& eigenvalues);

/// sigma^2 of the maximum-likelihood solution: the mean of the D - k smallest eigenvalues (Lucas et al. 2019,
/// Eq. 7). Throws unless 1 <= k < D and the result is positive, that is, unless k is below the data's rank.
double ppca_mle_sigma2(const Tensor& eigenvalues, int64_t latent);

/// W = U_k (L_k - sigma^2 I)^(1/2), columns with eigenvalues below sigma^2 being 0: the best decoder of k
/// columns for this sigma^2, and the overall maximum when sigma^2 = ppca_mle_sigma2 (Lucas et al. 2019, Eq. 8
/// with R = I).
Ppca ppca_solution(const DataMoments& data, const Eigen& eigen, int64_t latent, double sigma2);

/// The largest log-likelihood any pPCA with k latent dimensions reaches on the data with these eigenvalues:
/// -1/2 [ D ln 2 pi + sum_{i<=k} ln lambda_i + (D-k) ln sigma^2 + D ]. Nats per data point.
double ppca_max_log_likelihood(const Tensor& eigenvalues, int64_t latent);

/// Mean log-likelihood of the data under any W and sigma^2 > 0. Nats per data point.
double ppca_log_likelihood(const Ppca& model, const DataMoments& data);

/// The exact posterior N(projection (x - mu), covariance) (Lucas et al. 2019, Eq. 6).
struct PpcaPosterior {
  Tensor projection;  ///< M^-1 W^T (k, D)
  Tensor covariance;  ///< sigma^2 M^-1 (k, k)
};
PpcaPosterior ppca_posterior(const Ppca& model);

/// One direction out of a stationary point: may a zero column of W grow along eigenvector `component`?
struct Escape {
  int64_t component;  ///< 1-based, as the papers number eigenvalues
  double eigenvalue;
  bool stable;  ///< eigenvalue < sigma^2: growing lowers the likelihood
};

/// At the stationary point whose columns are the captured components (1-based) and zeros, with sigma^2 held
/// fixed: every component not captured. The point is a local maximum iff all are stable (Lucas et al. 2019,
/// appendix A).
std::vector<Escape> ppca_escapes(const Tensor& eigenvalues, const std::vector<int64_t>& captured,
                                 double sigma2);

/// The stationary point itself: captured columns u_i (lambda_i - sigma^2)^(1/2), then `zero_columns` zeros. A
/// component beyond the data's rank is a column of zeros too.
Ppca ppca_stationary_point(const DataMoments& data, const Eigen& eigen, const std::vector<int64_t>& captured,
                           int64_t zero_columns, double sigma2);

}  // namespace elbo
