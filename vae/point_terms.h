// Point terms: the two parts of the ELBO of every single point, whose means over all points are what
// deep_metrics.h reports, drawn with the same z.
//
//   const Posterior q = vae.encode(x);                                     // x (n, D): part of the data
//   Tensor kl = point_kl(vae, q);                                          // (n)
//   Tensor fit = point_log_likelihood(vae, x, q, evaluation_key(vae, seed, begin));
//
// For a model that is no ensemble. Results are f64 on the CPU, in nats.
#pragma once

#include "vae/vae.h"

namespace elbo {

/// KL(q(z|x) || p(z)): (n).
Tensor point_kl(const Vae& vae, const Posterior& q);

/// An estimate of E_q ln p(x|z), (n): ln p(x|z) at one z for each point. x (n, D) in the model's type, on its
/// device. `draw`, below kMostDraws, says which z; the first, 0, is what metrics draw by that key.
inline constexpr int64_t kMostDraws = int64_t{1} << 24;
Tensor point_log_likelihood(const Vae& vae, const Tensor& x, const Posterior& q, RandomKey key,
                            int64_t draw = 0);

/// The expectation itself, for a model whose decoder is the matrix W (D, k), with one sigma^2: ln
/// p(x|E_q z) - sum_i v_i |W_i|^2 / (2 sigma^2), v the variances of q and W_i the columns.
Tensor linear_point_log_likelihood(const Vae& vae, const Tensor& weights, const Tensor& x,
                                   const Posterior& q);

}  // namespace elbo
