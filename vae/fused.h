// The fused ops of variational autoencoders, each beside its twin: the few plain lines that define
// it.
//
// A fused op makes one pass where the twin makes several and saves less for the backward pass; op_table.cpp
// checks its gradient and that both agree. Everything is in nats, summed over dimensions. M is an optional
// leading member axis; S, the samples drawn for each point, is an optional axis between members and points.
//
//   const RandomKey key{.seed = 7, .stream = kLatentNoise, .step = step};
//   const PosteriorTerms q = reparameterize_kl(mean, log_variance, key);
//   const Variable elbo = gaussian_log_likelihood(x, decode(q.z), log_sigma2) - q.kl;      // (N), nats
#pragma once

#include "autograd/ops.h"
#include "tensor/batch_rows.h"

namespace elbo {

/// Reparameterised samples and what they cost.
struct PosteriorTerms {
  Variable z;   ///< (M?, S?, N, k): mean + exp(log_variance / 2) eps; no axis S for one sample
  Variable kl;  ///< (M?, N): KL(N(mean, diag exp log_variance) || N(0, I)), nats per data point
};

/// z = mean + sigma eps and its KL, eps standard normal drawn by counter (Kingma & Welling 2014, Eq. 10).
/// mean (M?, N, k); log_variance broadcasts to it: (k) or (M, 1, k) when shared by all points. The numbers of
/// member m, for all its samples, are those that `normal` draws for key.member + m alone.
///
/// The samples may be those of several `parts`, as many of each: part p's are what key.step + p draws alone.
/// Where the points are rows of a larger batch, their numbers are those that the whole batch's would be.
PosteriorTerms reparameterize_kl(const Variable& mean, const Variable& log_variance, const RandomKey& key,
                                 int64_t members = 1, int64_t samples = 1, int64_t parts = 1,
                                 const BatchRows& rows = {});
PosteriorTerms reparameterize_kl_twin(const Variable& mean, const Variable& log_variance,
                                      const RandomKey& key, int64_t members = 1, int64_t samples = 1,
                                      int64_t parts = 1, const BatchRows& rows = {});

/// ln N(x | mean, sigma^2 I) for each data point: x (N, D) or anything that broadcasts to mean
/// (M?, S?, N, D), log_sigma2 to the points: (1), (M, 1) or, with samples, (M, 1, 1) -> (M?, S?, N), nats.
/// The constant -(D/2) ln 2 pi is included (Lucas et al. 2019, Eq. 10, with the D it drops).
Variable gaussian_log_likelihood(const Variable& x, const Variable& mean, const Variable& log_sigma2);
Variable gaussian_log_likelihood_twin(const Variable& x, const Variable& mean, const Variable& log_sigma2);

/// ln N(x | mean, diag exp log_variance) for each data point: x (N, D) or anything that broadcasts to mean
/// (M?, S?, N, D), log_variance of mean's shape -> (M?, S?, N), nats, the constant included (Kingma & Welling
/// 2014, Appendix C.2).
Variable diagonal_gaussian_log_likelihood(const Variable& x, const Variable& mean,
                                          const Variable& log_variance);
Variable diagonal_gaussian_log_likelihood_twin(const Variable& x, const Variable& mean,
                                               const Variable& log_variance);

/// sum_d x ln p + (1 - x) ln(1 - p), p = sigmoid(logits), for each data point: x (N, D) or anything that
/// broadcasts to logits (M?, S?, N, D) -> (M?, S?, N), nats (Kingma & Welling 2014, Appendix C.1). x is 0 or
/// 1, or an intensity between; for intensities this is the usual cross-entropy and not a normalised density.
Variable bernoulli_log_likelihood(const Variable& x, const Variable& logits);
Variable bernoulli_log_likelihood_twin(const Variable& x, const Variable& logits);

/// What a batch costs, and the means that the cost is made of: each () or (M), nats per data point.
struct BatchCost {
  Variable cost;              ///< weight kl - log_likelihood
  Tensor log_likelihood, kl;  ///< to be recorded: nothing is differentiated by them
};
/// log_likelihood (M?, S?, N) and kl (M?, N), averaged over points and samples; weight () or (M), a constant.
BatchCost batch_cost(const Variable& log_likelihood, const Variable& kl, const Tensor& weight);
BatchCost batch_cost_twin(const Variable& log_likelihood, const Variable& kl, const Tensor& weight);

/// The analytic ELBO of the linear VAE, averaged over data points, in nats (Lucas et al. 2019, Eqs. 16, 19,
/// 20):
///   p(x|z) = N(W z, sigma^2 I), q(z|x) = N(V x, diag d), x centred.
/// decoder W (M?, D, k), encoder V (M?, k, D), log_variance ln d (M?, k), log_sigma2 (1) or (M, 1) -> () or
/// (M). From a batch x (N, D): 10 N D k flops, forward and backward.
Variable linear_vae_elbo(const Tensor& x, const Variable& decoder, const Variable& encoder,
                         const Variable& log_variance, const Variable& log_sigma2);
Variable linear_vae_elbo_twin(const Tensor& x, const Variable& decoder, const Variable& encoder,
                              const Variable& log_variance, const Variable& log_sigma2);
/// The same for all data at once, from their covariance S = X^T X / N (D, D): 4 D^2 k + 8 D k^2 flops
/// whatever N is.
Variable linear_vae_elbo_from_covariance(const Tensor& covariance, const Variable& decoder,
                                         const Variable& encoder, const Variable& log_variance,
                                         const Variable& log_sigma2);

/// KL(N(mean, diag exp log_variance) || N(0, I)) of every unit: (..., k), nats. Lucas et al. 2019, Eq. 16.
Variable gaussian_kl(const Variable& mean, const Variable& log_variance);
Variable gaussian_kl_twin(const Variable& mean, const Variable& log_variance);

}  // namespace elbo
