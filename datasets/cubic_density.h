// The density of x = u^3 + noise, elementwise, u ~ N(0, covariance) in two dimensions: what CubicJTEx of
// Yacoby et al. (appendix E) and models of its form say of points, by quadrature. Knows no models.
#pragma once

#include "tensor/tensor.h"

namespace elbo {

/// ln p(x) of each point: x (N, 2) f64 -> (N) f64, nats. covariance (2, 2) f64, symmetric and positive
/// definite, however nearly degenerate; noise ~ N(0, noise_variance I).
///
/// The integral over u is one over the coordinate of more variance, and for each of its values one over the
/// other. Each is a sum over even grids of where the integrand is above e^-45 of its largest value (e^-60 in
/// the outer integral, whose inner one may be wide where it is low), found around all of its peaks; the step
/// follows the narrowest thing there, of prior and likelihood. The integrand falls off smoothly at the ends,
/// so that the sums are exact but for rounding: to 1e-10 (1 + |ln p|), or to what changing the numbers given
/// by 1e-15 of themselves does, where that is more; `finer` times as many values are for checking that.
///
/// A point that is not finite has the density NaN or 0. Throws for other shapes, variances that are not
/// positive, and a point that f64 cannot resolve: where the noise, or what the prior leaves free, is less
/// than some 1e-14 of the values themselves.
Tensor cubic_log_density(const Tensor& covariance, double noise_variance, const Tensor& x, double finer = 1);

}  // namespace elbo
