// LinearJTEx of Yacoby et al. (Eq. 3) as a family of linear Gaussian models, and the one that a VAE prefers:
//
//   x|z = L z + N(0, sigma2 I - B),  L L^T = A A^T + B,  B = diag floor,  so  C = A A^T + sigma2 I.
//
// Whatever B, the data are the same: those of A. All in f64.
#pragma once

#include <vector>

#include "vae/linear_gaussian.h"

namespace elbo {

/// A = factor (n, n), floor (n) from 0 to below sigma2. Throws for other shapes and numbers.
LinearGaussian jtex_model(const Tensor& factor, const std::vector<double>& floor, double sigma2);

/// The A that makes L(theta, phi) least, with phi at its best for each, of data N(0, covariance), covariance
/// (2, 2): the global optimum of a VAE that learns A. A is lower triangular, as all A with the same A A^T are
/// one model.
struct JtexOptimum {
  Tensor factor;
  LinearGaussian model;
  OptimalLoss loss;
  std::vector<double> losses;  ///< where each start ended, the least first
};
/// By Nelder and Mead's simplex, from `starts` A of standard normal elements.
JtexOptimum jtex_optimum(const Tensor& covariance, const std::vector<double>& floor, double sigma2,
                         int starts = 8, uint64_t seed = 0);

}  // namespace elbo
