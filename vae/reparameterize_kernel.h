// Reparameterisation and KL on a GPU, each way in one pass: the noise is drawn where it is used and drawn
// again for the gradient, so that it is never stored. The definition is reparameterize_kl_twin in
// fused_gaussian.cpp.
#pragma once

#include "tensor/batch_rows.h"

namespace elbo::cuda {

struct Reparameterization {
  Tensor mean, log_variance;  ///< (M, N, k); (M, N, k), (M, 1, k) or (k)
  RandomKey key;
  int64_t members, samples;
  int64_t parts;  ///< which the samples are of, each with a step of its own from key.step on
  BatchRows rows{};
};

/// Whether log_variance broadcasts to mean in one of the ways that the kernels know.
bool is_fusable(const Reparameterization& r);

/// z (M, S, N, k) = mean + exp(log_variance / 2) eps, and kl (M, N), nats.
void reparameterize(const Reparameterization& r, const Tensor& z, const Tensor& kl);

/// d_mean and d_log_variance, both of mean's shape, added to what they hold where `accumulate_` says so, from
/// dz (M, S, N, k) and dkl (M, N).
void reparameterize_gradients(const Reparameterization& r, const Tensor& dz, const Tensor& dkl,
                              const Tensor& d_mean, bool accumulate_mean, const Tensor& d_log_variance,
                              bool accumulate_log_variance);

}  // namespace elbo::cuda
