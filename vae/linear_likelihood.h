// The expected log-likelihood of a Gaussian decoder whose last layer is linear, without the decoder's output
// (linear_squared_error.h): of S samples a point the last layer then costs S H^2 and not S H D, forward and
// backward. A GPU makes the output: it has the arithmetic.
//
// The squares are taken around what the decoder makes of the posterior's mean. Samples scatter about it, so
// that the terms add up; around b they would cancel where sigma is small. In f32 they still do where noise in
// z moves hidden units far whose columns of W cancel.
//
//   const LinearTarget once = linear_target(vae, x, q.mean.value());  // a step's
//   const Variable part = mean_log_likelihood(vae, once, z).mean;     // nats, () or (M)
#pragma once

#include "vae/linear_squared_error.h"
#include "vae/vae.h"

namespace elbo {

/// Whether a decoder is such a one, of dense layers, and its output is so wide, with so many samples of each
/// point, that it pays to leave it out.
bool suits_linear_likelihood(const Vae& vae, int64_t samples);
/// Numbers in the largest activation of such a decoder, for one z, that are in memory at once.
int64_t widest_in_pass(const Vae& vae);

/// What the likelihoods of all z have in common, of a batch x (N, D) or (M, N, D), around those of
/// z (M?, N, k).
LinearTarget linear_target(const Vae& vae, const Tensor& x, const Tensor& z);
/// The same again, for the tape that is alive.
LinearTarget linear_target_again(const Vae& vae, const LinearTarget& made);

struct MeanLogLikelihood {
  Variable mean;          ///< of ln p(x|z) over points and samples, () or (M), nats
  Variable log_variance;  ///< ln sigma^2, (1) or (M, 1)
};
/// z (M?, S?, N, k).
MeanLogLikelihood mean_log_likelihood(const Vae& vae, const LinearTarget& target, const Variable& z);

}  // namespace elbo
