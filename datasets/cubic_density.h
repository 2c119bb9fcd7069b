// The density of x = u^3 + noise, elementwise, u ~ N(0, covariance) in two dimensions: what CubicJTEx of
// Yacoby et al. (appendix E) and models of its form say of points, by quadrature. Knows no models.
#pragma once

#include "tensor/tensor.h"

namespace elbo {

/// ln p(x) of each point: x (N, 2) f64 -> (N) f64, nats. covariance (2, 2) f64, positive definite;
/// noise ~ N(0, noise_variance I). The integral over u is a sum over an even grid of where the likelihood is
/// above e^-40 of its largest value. It falls off smoothly at its ends, so that the sum is exact but for
/// rounding, for covariances that are nowhere narrower than the likelihood is in u, which the step follows;
/// `finer` times as many values a dimension are for checking that. Throws for other shapes and
/// variances that are not positive.
Tensor cubic_log_density(const Tensor& covariance, double noise_variance, const Tensor& x, double finer = 1);

}  // namespace elbo
