// Point terms: the two parts of the ELBO of every single point, whose means over all points are what
// deep_metrics.h reports, drawn with the same z.
//
//   const Posterior q = vae.encode(x);                                     // x (n, D): part of the data
//   Tensor kl = point_kl(q);                                               // (n)
//   Tensor fit = point_log_likelihood(vae, x, q, evaluation_key(vae, seed, begin), samples);
//
// For a model that is no ensemble. Results are f64 on the CPU, in nats.
#pragma once

#include "vae/deep_vae.h"

namespace elbo {

/// KL(q(z|x) || p(z)): (n).
Tensor point_kl(const Posterior& q);

/// E_q ln p(x|z), (n), estimated with `samples` z for each point. x (n, D) in the model's type, on its
/// device. The first z is what metrics draw by that key. Memory does not grow with `samples`.
Tensor point_log_likelihood(const DeepVae& vae, const Tensor& x, const Posterior& q, const RandomKey& key,
                            int64_t samples);

/// The same without drawing, for a model whose decoder is the matrix W (D, k), with one sigma^2: ln p(x|E_q
/// z)
/// - sum_i v_i |W_i|^2 / (2 sigma^2), v the variances of q and W_i the columns.
Tensor linear_point_log_likelihood(const DeepVae& vae, const Tensor& weights, const Tensor& x,
                                   const Posterior& q);

}  // namespace elbo
