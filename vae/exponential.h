// e^x in double for x that is not positive, written so that loops over it vectorise: for statistics over all
// pairs of points, which are little else. (tensor/math.h keeps double to the C library, the yardstick of
// float.)
#pragma once

#include "tensor/math.h"

namespace elbo {

/// e^x for x <= 0, to two units in the last place; 0 below -708, where numbers stop being normal. NaN stays.
ELBO_HD double exp_not_positive(double x) {
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to the nearest integer
  const double bounded = x < -708.0 ? -708.0 : x;
  const double shifted = math::multiply_add(bounded, 1.4426950408889634, kRound);
  const double n = shifted - kRound;
  // ln 2 in two parts, of which the first has so few digits that its products with n are exact.
  const double r = math::multiply_add(n, -1.90821492927058770e-10,
                                      math::multiply_add(n, -0.693147180369123816490, bounded));
  // Taylor's polynomial of degree 13; |r| <= ln(2) / 2. In pairs, as a step then waits for few others.
  const double r2 = r * r, r4 = r2 * r2;
  const double from_2 = math::multiply_add(math::multiply_add(r, 1.0 / 120.0, 1.0 / 24.0), r2,
                                           math::multiply_add(r, 1.0 / 6.0, 0.5));
  const double from_6 = math::multiply_add(math::multiply_add(r, 1.0 / 362880.0, 1.0 / 40320.0), r2,
                                           math::multiply_add(r, 1.0 / 5040.0, 1.0 / 720.0));
  const double from_10 = math::multiply_add(math::multiply_add(r, 1.0 / 6227020800.0, 1.0 / 479001600.0), r2,
                                            math::multiply_add(r, 1.0 / 39916800.0, 1.0 / 3628800.0));
  const double above_1 = math::multiply_add(math::multiply_add(from_10, r4, from_6), r4, from_2);
  const double p = math::multiply_add(above_1, r2, r) + 1.0;
  // 2^n: n stands in the lowest bits of `shifted`.
  const uint64_t exponent = (std::bit_cast<uint64_t>(shifted) << 52) + (uint64_t{1023} << 52);
  const double y = p * std::bit_cast<double>(exponent);
  return x < -708.0 ? 0.0 : y;
}

}  // namespace elbo
