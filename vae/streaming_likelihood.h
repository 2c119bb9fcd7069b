// The log-likelihood of probabilistic PCA from variances alone, without data: what a linear VAE says of a
// stream that nobody keeps (Lücke et al., appendix A).
//
// At the optimum of a linear VAE with k units, ln p(x) is the sum of its entropies, and
// sigma^2 / tau_h^2 is the h-th largest eigenvalue of the data's covariance. So sigma^2 and the k numbers
// tau_h^2 tell the likelihood not only of this model, but of the best one with any smaller latent dimension.
// Elsewhere these numbers mean as much as the gap of entropy_gauge.h is small. The exact likelihood on given
// data, which takes their covariance, is in ppca.h. f64; nats per data point.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace elbo {

/// -(D/2) ln(2 pi e sigma^2) + 1/2 sum_h ln tau_h^2 (Eq. 44), in O(k).
double streaming_log_likelihood(int64_t dimensions, double log_sigma2, std::span<const double> log_variances);

/// ln tau_h^2 = ln sigma^2 - ln(|W_h|^2 + sigma^2) of the best encoder for a decoder (D, k) f64 whose columns
/// are orthogonal, in O(D k): with it, a decoder's likelihood takes O((k + 1) D).
std::vector<double> log_variances_of_decoder(const Tensor& decoder, double log_sigma2);

/// The same likelihood for each latent dimension 1 .. k, entry 0 that of 1: units with the largest tau_h^2
/// are given up first, and sigma^2 takes over their variance. As many as are below D. O(k ln k).
std::vector<double> streaming_log_likelihoods(int64_t dimensions, double log_sigma2,
                                              std::span<const double> log_variances);

/// The latent dimension, 1 .. k, with the largest N L_k - (p_k / 2) ln N (Schwarz 1978), N being the points
/// that the stream has had, and p_k = D k - k (k - 1) / 2 + D + 1 the free numbers in W, mu and sigma^2.
/// Throws for no likelihoods, or no points.
int64_t choose_latent(std::span<const double> log_likelihoods, int64_t dimensions, int64_t points);

/// What is left between a linear VAE's ELBO and its three entropies at its optimum where sigma^2 is fixed:
/// 1/2 sum of (1 - lambda_j / sigma^2) over the directions that its k columns do not take up, those of
/// smaller eigenvalues and any below sigma^2. `eigenvalues` (D) of the data's covariance, falling; nats per
/// data point.
double entropy_gap_of_fixed_sigma2(const Tensor& eigenvalues, int64_t latent, double sigma2);

}  // namespace elbo
