// The expected log-likelihood of a Gaussian decoder whose last layer is linear, without the decoder's output.
//
// With h what the hidden layers make of z, mean W h + b and sigma^2 one number,
//
//   |x - b - W h|^2 = |x - b|^2 - 2 h . t + h^T G h,   t = W^T (x - b) (H, N),  G = W^T W (H, H):
//
// t and G do not depend on z. Of S samples a point the last layer so costs S H^2 and not S H D, forward and
// backward. The squares cancel: in f32 the error of a point's log-likelihood is of the order of 1e-7
// |x - b|^2 / sigma^2 nats, that of a gradient what it is anyway.
//
//   const LinearLikelihood once = linear_likelihood(vae, x);          // a step's
//   const Variable part = mean_log_likelihood(vae, once, z).mean;     // nats, () or (M)
#pragma once

#include "vae/vae.h"

namespace elbo {

/// Whether a decoder is such a one, of dense layers, and the form pays for so many samples of each point.
bool suits_linear_likelihood(const Vae& vae, int64_t samples);
/// Numbers in the largest activation of such a decoder's hidden layers, for one z.
int64_t widest_hidden(const Vae& vae);
/// Of these, what a CPU's pass has in memory: z alone, where layers are small.
int64_t widest_in_pass(const Vae& vae);

/// What the likelihoods of all z have in common, of a batch.
struct LinearLikelihood {
  Variable gram;    ///< G (M?, H, H)
  Variable target;  ///< t (M?, H, N)
  Variable square;  ///< |x - b|^2, mean over the points: () or (M)
};
/// x (N, D) or (M, N, D).
LinearLikelihood linear_likelihood(const Vae& vae, const Tensor& x);

struct MeanLogLikelihood {
  Variable mean;          ///< of ln p(x|z) over points and samples, () or (M), nats
  Variable log_variance;  ///< ln sigma^2, (1) or (M, 1)
};
/// z (M?, S?, N, k).
MeanLogLikelihood mean_log_likelihood(const Vae& vae, const LinearLikelihood& likelihood, const Variable& z);

}  // namespace elbo
