// The three entropies of a Gaussian VAE, whose sum its ELBO becomes where the variances of prior and decoder
// are stationary (Lücke et al., "The ELBO of VAEs converges to a sum of three entropies").
//
//   E = mean H[q(z|x)] - H[p(z)] - E_q H[p(x|z)]
//     = 1/2 mean sum_h ln tau_h^2 - 1/2 sum_h ln alpha_h^2 - 1/2 E_q sum_d ln sigma_d^2 - (D/2) ln 2 pi e
// That is Eq. 20 for one sigma^2 and a learned prior alpha^2, Eq. 25 for one sigma^2 and alpha = 1, Eq. 33
// where tau is the same for all points, and Eq. 39 for sigma_d^2(z). Nothing but log variances is in it:
// these functions take what a step has made already, and differentiate where that is on a tape. How far the
// ELBO is from E, and why, is in entropy_gauge.h.
//
//   const Variable encoder = gaussian_entropy(q.log_variance, k, members), decoder = ..., prior = ...;
//   const Variable bound = encoder - prior - decoder;                      // () or (M), nats per data point
#pragma once

#include "autograd/ops.h"

namespace elbo {

/// The names of the entropies among a loss's probes.
inline constexpr const char* kPriorEntropy = "prior_entropy";
inline constexpr const char* kDecoderEntropy = "decoder_entropy";
inline constexpr const char* kEncoderEntropy = "encoder_entropy";

/// Mean entropy of N(., diag exp log_variance) in so many dimensions, nats: () or, for members > 0, (M).
/// Whatever axes log_variance has are averaged over, but that of the members, which then is its first: (M?,
/// N, k), (M?, k), (M?, S?, N, D), and (1) or (M, 1) for a variance that all dimensions share.
Variable gaussian_entropy(const Variable& log_variance, int64_t dimensions, int64_t members = 0);

/// Of N(0, I), nats.
double standard_normal_entropy(int64_t dimensions);

/// Mean ln prod_d (edge sigma_d), the volume of a box as wide as `edge` standard deviations (Lücke et al.,
/// Eqs. 41 and 42): shapes as for the entropy.
Variable log_volume(const Variable& log_variance, int64_t dimensions, int64_t members = 0, double edge = 2);

/// What Eq. 43 adds to log volume of the encoder minus log volume of the decoder for a standard normal prior:
/// (D - k) ln edge - (D/2) ln 2 pi e.
double log_volume_constant(int64_t dimensions, int64_t latent, double edge = 2);

}  // namespace elbo
