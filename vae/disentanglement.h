// How well single latent units tell single factors of variation, where the factors are known: the mutual
// information gap of Chen et al. 2018, "Isolating Sources of Disentanglement in VAEs" (Eq. 6).
//
// Codes are cut into bins of equal width between their least and largest value, as Locatello et al. 2019 do;
// mutual information is that of the table of counts. It is biased upwards, by about
// (bins - 1)(values - 1) / (2 N) nats for a code that tells nothing. Uses tensor/ only; knows nothing of
// models.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace elbo {

inline constexpr int kCodeBins = 20;
/// So many points are usual.
inline constexpr int64_t kGapPoints = 10000;

struct Disentanglement {
  double gap = 0;  ///< mean of gap_per_factor over the factors that vary; NaN where none does
  std::vector<double> gap_per_factor;  ///< (I_1 - I_2) / H(v); NaN for a factor that does not vary
  std::vector<double> entropy;         ///< H(v) of each factor, nats
  Tensor information;                  ///< (F, k) f64, nats: I(factor; unit)

  /// The unit that tells most about a factor, and the factor that a unit tells most about.
  int64_t best_unit(int64_t factor) const;
  int64_t best_factor(int64_t unit) const;
};

/// Codes (N, k) f32 or f64, for instance posterior means; factors (N, F) i64, any numbers. I_1 and I_2 are
/// the largest and second largest information that a unit has about the factor; with one unit I_2 is 0.
/// Throws when the shapes disagree, there are no points, or a code is not finite.
Disentanglement disentanglement(const Tensor& codes, const Tensor& factors, int bins = kCodeBins);

}  // namespace elbo
