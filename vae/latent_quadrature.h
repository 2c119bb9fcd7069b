// ln p(x) of a VAE with one latent dimension, exact: the integral over z by quadrature, whatever the decoder.
//
//   ln p(x) = ln of the integral of N(z | 0, alpha^2) p(x|z) dz.
//
// z is cut into panels, with Gauss and Legendre's rule in each. A panel is halved until its value at every
// point is that of its halves, which have twice the nodes, and until neighbouring nodes are so close that no
// p(x|z) between them can be missed: a decoder may take the noise's deviation many times over within a panel.
// Nodes are the same for all points, so the decoder runs on them alone. Beside importance sampling
// (importance.h), which is for any number of dimensions, it needs no posterior and has no noise.
//
//   QuadratureEstimate e = quadrature_log_likelihood(vae, test)[0];
//   fmt::print("{} +- {}\n", e.mean, e.error);
#pragma once

#include "vae/points.h"
#include "vae/vae.h"

namespace elbo {

/// Of single points, (M, N) f64 on the CPU, also of one model: nats, and by how much that may be wrong, which
/// is what the last halving of all panels changed; infinite where the noise is so small that there would be
/// too many, or where the integrand still matters 100 deviations of the prior away.
struct QuadraturePoints {
  Tensor log_likelihood, error;
};
/// Of the points of x (N, D), or (M, N, D) where each member has its own. Sums are in f64; decoders run in
/// the model's type, whose rounding bounds what halving can gain. Throws where the model has more than one
/// latent dimension.
QuadraturePoints quadrature_points(const Vae& vae, const Points& x);

/// What the points of one member say together.
struct QuadratureEstimate {
  double mean = 0;            ///< ln p(x), nats per data point
  double standard_error = 0;  ///< over the points; NaN for one point
  double error = 0;           ///< the largest of a point, nats
};
/// Of every member.
std::vector<QuadratureEstimate> quadrature_log_likelihood(const Vae& vae, const Points& x);

}  // namespace elbo
