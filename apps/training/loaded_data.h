// LoadedData: the data of a command, preprocessed when asked for.
//
// Preprocessed, pixels take four times their bytes: 10 GB for the 202 599 faces of CelebA. What trains deep
// VAEs or looks at them therefore takes rows as it goes; `all` is for closed forms, which hold D x D matrices
// anyway. The noise is epoch 0's throughout, so a row is the same whoever asks and in whatever company. Knows
// nothing of models, or of how the data were asked for.
#pragma once

#include <limits>
#include <string>

#include "datasets/preprocessing.h"
#include "vae/points.h"

namespace elbo {

struct LoadedData {
  Dataset dataset;
  Preprocessing preprocessing;
  uint64_t seed = 0;  ///< of the dequantisation noise

  /// Of the numbers: f32, or f64 where the data are.
  DType dtype() const;
  /// Points begin .. end - 1: (end - begin, D).
  Tensor rows(int64_t begin, int64_t end) const;
  /// These points in this order: (n, D). Throws for one that is not there.
  Tensor rows(std::span<const int64_t> points) const;
  /// The whole set: (N, D).
  Tensor all() const;
};

/// The first `most` points, or all there are, for metrics. The data must outlive what is returned.
Points points_of(const LoadedData& data, int64_t most = std::numeric_limits<int64_t>::max());

/// The mean over all points: (D) of the data's type, summed in double.
Tensor mean_of(const LoadedData& data);

/// What standardising takes from each dimension of the preprocessed numbers and divides it by, (D) f64: the
/// mean and the standard deviation over all points, or 1 where that is no more than rounding.
struct Spread {
  Tensor mean, scale;
};
Spread spread_of(const LoadedData& data);

/// The mean over dimensions of their variances, about the points' own mean.
double variance_per_dimension(const LoadedData& data);

/// One line for numbers that models in f32 will not cope with: so far from zero that f32 keeps less than
/// three digits of what tells points apart, unless they are `centred` before they become f32, or spread over
/// far more or less than 1. Empty for others, and for pixels. Says what helps. Throws for numbers whose
/// squares f32 does not hold.
std::string range_warning(const LoadedData& data, bool centred);

/// The least and the largest of all numbers.
struct Range {
  double low, high;
};
Range range_of(const LoadedData& data);

}  // namespace elbo
