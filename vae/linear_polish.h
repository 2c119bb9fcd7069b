// Polishing a linear VAE: the part of training that gradients are slow at, by closed forms on the data's
// moments.
//
// With the best encoder for a decoder W, the ELBO per data point is
//   ELBO(W, sigma^2) = ln p(x) - 1/2 [ sum_i ln M_ii - ln |M| ],   M = W^T W + sigma^2 I,
// and ln p(x) is the same for W and for W R, whatever the rotation R. Only the bracket, what a posterior
// without correlations misses, tells rotations apart. It is small long before the columns point anywhere in
// particular, so gradients turn them slowly: they recover the principal components "eventually" (Bao et al.
// 2020). The same freedom is what a closed form can use: among all coordinates of the latent space, take the
// best.
#pragma once

#include "vae/linear_vae.h"

namespace elbo {

/// The weights after one sweep, that is, one step of expectation maximisation for p(x) with the latent
/// coordinates chosen anew:
///   1. expectation: z given x has mean V (x - mu), V = M^-1 W^T, and covariance sigma^2 M^-1;
///   2. maximisation: W = S V^T G^-1, G = V S V^T + sigma^2 M^-1 the mean of z z^T over the data; with it
///   sigma^2,
///      where that is learned (Tipping & Bishop 1999, section 3.3);
///   3. coordinates: z is measured so that G becomes the prior's I, W = W G^1/2 (Liu, Rubin & Wu 1998), and
///   turned so
///      that W^T W is diagonal, longest column first;
///   4. the encoder that is best for it: V = M^-1 W^T, d = sigma^2 / diag M.
/// Steps 1 to 3 never lower ln p(x), and after 3 and 4 the ELBO equals it: the exact ELBO never falls,
/// whatever the weights were. A wrong direction shrinks by lambda_j / lambda_i a sweep, so that a column is
/// as good as its eigenvalue is far from the others; no eigenvector of the covariance is ever computed. Costs
/// a product of S with k vectors. S is about the model's own mean. Throws when sigma^2 falls to rounding
/// error, that is, when the data span no more than k dimensions.
LinearVaeWeights polish(const LinearVaeWeights& weights, const DataMoments& data, bool learn_sigma2);

}  // namespace elbo
