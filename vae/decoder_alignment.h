// How well a linear decoder's columns point along the principal directions of the data, as at the optimum
// they do.
#pragma once

#include <vector>

#include "vae/linear_vae.h"

namespace elbo {

/// A direction is told apart from its neighbours when their eigenvalues differ from its own by at least this
/// factor. Nearly equal ones span a plane in which, to the ELBO, one pair of directions is almost as good as
/// another.
inline constexpr double kSeparateEigenvalues = 1.05;

struct DecoderAlignment {
  /// Columns are matched by rank: entry i is the column that is the i-th longest, which belongs to
  /// eigenvector i.
  std::vector<int64_t> columns;
  /// |cosine| between that column and eigenvector i, 0 for a column of zeros; none beyond the eigenvectors
  /// there are.
  std::vector<double> cosines;
  /// The i that count: told apart from both neighbours (that of the last may be an eigenvector without a
  /// column), and with an eigenvalue above sigma^2, as the best column for another is 0.
  std::vector<int64_t> counted;
  double median, worst;  ///< of the cosines that count; NaN where none does
  /// The largest number of leading eigenvectors that are told apart from all that follow and above sigma^2,
  /// and the largest angle in degrees between a direction among them and the span of the columns. NaN for
  /// none.
  int64_t leading;
  double angle;
};

/// `eigen` are the principal components of the data.
DecoderAlignment decoder_alignment(const LinearVaeWeights& weights, const Eigen& eigen);

}  // namespace elbo
