// What metrics of a VAE have in common: points as the model takes them, and q of every one of them.
#pragma once

#include "vae/points.h"
#include "vae/vae.h"

namespace elbo {

/// Points begin .. end - 1 in the model's type, on its device.
inline Tensor rows_for(const Vae& vae, const Points& x, int64_t begin, int64_t end) {
  return x.rows(begin, end).to(vae.dtype()).to(vae.device());
}

/// q with a log variance for every point, also where all share one.
inline Posterior of_each_point(const Posterior& q) {
  return {q.mean, q.log_variance.shape() == q.mean.shape() ? q.log_variance
                                                           : broadcast_to(q.log_variance, q.mean.shape())};
}

}  // namespace elbo
