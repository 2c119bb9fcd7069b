// Henze and Zirkler's statistic (1990): how far points are from any Gaussian, whatever its mean and
// covariance. Small where they are Gaussian; differentiable, so that it can be a penalty (Yacoby et al.,
// appendix D) as well as a test.
//
//   HZ = (1/n) sum_jk exp(-b^2 D_jk / 2) - 2 (1 + b^2)^(-d/2) sum_j exp(-b^2 D_j / (2 (1 + b^2)))
//        + n (1 + 2 b^2)^(-d/2),     b = ((2 d + 1) n / 4)^(1 / (d + 4)) / sqrt 2,
//
// D_jk and D_j being the squared Mahalanobis distances of z_j to z_k and to the mean, by the covariance S
// with 1/n. Moving, scaling or mixing the points does not change it: mean and covariance need penalties of
// their own.
#pragma once

#include "autograd/ops.h"
#include "tensor/random.h"

namespace elbo {

/// HZ of z (N, d) or (M, N, d) -> () or (M). On the CPU one pass over the N^2 / 2 pairs, in double whatever
/// the type, no two of which are held; on a GPU the twin. NaN, and NaN gradients, of points whose covariance
/// is singular to rounding; of N <= d, where it always is, an Error.
Variable henze_zirkler(const Variable& z);
/// Its definition in plain ops, which hold (M, N, N).
Variable henze_zirkler_twin(const Variable& z);

/// The statistic's distribution over samples of n points from a Gaussian of d dimensions: its mean and
/// variance for large n (Henze & Zirkler 1990, section 3), and approximately log-normal.
struct HenzeZirklerNull {
  double mean = 0, variance = 0;
  /// How often Gaussian points come out at least as far from Gaussian as this. NaN of NaN.
  double p_value(double statistic) const;
};
HenzeZirklerNull henze_zirkler_null(int64_t n, int64_t d);

/// The test of one set of points.
struct HenzeZirklerTest {
  double statistic = 0, p_value = 0;  ///< NaN where the covariance is singular
  int64_t points = 0;                 ///< that were looked at
};
/// Of each member of z (M?, N, d), on at most `most` of the points, chosen at random by the key: the same for
/// all members. Points as many as most = 1000 take some ms for each member. Without points to spare, N <= d,
/// the numbers are NaN.
std::vector<HenzeZirklerTest> test_henze_zirkler(const Tensor& z, int64_t most, const RandomKey& key);

}  // namespace elbo
