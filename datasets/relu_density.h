// Networks of one ReLU layer from two numbers to two, and the density of x = f(z) + noise that they make of
// z ~ N(0, I): what Mobius of Yacoby et al. (appendix E) and models of its form say of points, by adaptive
// quadrature. Knows no models.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace elbo {

/// f(z) = output_weight relu(hidden_weight z + hidden_bias) + output_bias, all f64.
struct ReluNet {
  Tensor hidden_weight;  ///< (H, 2)
  Tensor hidden_bias;    ///< (H)
  Tensor output_weight;  ///< (2, H)
  Tensor output_bias;    ///< (2)
};

/// f of each row: z (N, 2) f64 -> (N, 2). Throws where the network's shapes do not fit each other.
Tensor apply(const ReluNet& net, const Tensor& z);

/// SHA-256 of all numbers as f64, lowest byte first, in the order above: 64 hexadecimal digits.
std::string fingerprint(const ReluNet& net);

/// ln p(x) of each point: x (N, 2) f64 -> (N) f64, nats; noise ~ N(0, noise_variance I).
///
/// The plane of z is cut into squares, and these into four, until f is affine within a square, or as good as
/// that, and the integrand is smooth on its scale; squares that f takes too far away from x are left out. By
/// the slopes of f and what its kinks can do, the error is about 1e-5 nats; squares `finer` times as small
/// are for checking that. -infinity where all of f is 1e5 deviations of the noise away. Throws for other
/// shapes, and a variance that is not positive.
Tensor relu_log_density(const ReluNet& net, double noise_variance, const Tensor& x, double finer = 1);

}  // namespace elbo
