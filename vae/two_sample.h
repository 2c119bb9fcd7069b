// Do two sets of points come from one distribution? Two statistics of them, both near zero where they do and
// growing with what sets them apart: smaller is better.
//
// The smooth k-NN statistic (Djolonga & Krause 2017) asks how many of a point's nearest neighbours are of the
// other set, with a soft choice of neighbours, and compares that with all ways of dividing the points into
// two sets of these sizes. The maximum mean discrepancy (Gretton et al. 2012) is the distance between the
// sets' means in the space of a kernel. Both cost time for the square of the number of points: a few thousand
// of them are meant, of larger sets some at random. The discrepancy makes its kernel by blocks of rows and
// takes memory for the number of points times the permutations; the k-NN statistic compares the chances of
// every pair both ways, and takes 8 bytes for each. Everything is f64 on the CPU.
#pragma once

#include <functional>

#include "tensor/random.h"

namespace elbo {

struct SmoothKnnOptions {
  int64_t neighbours = 1;  ///< k, each point's
  double sharpness = 1;    ///< alpha, in 1 / unit of distance: neighbours are chosen by e^(-alpha distance)
};

struct SmoothKnn {
  double crossings = 0;  ///< T: neighbours that are of the other set, over all points
  /// Mean and variance of T over all divisions of the points into two sets of these sizes.
  double mean = 0, variance = 0;
  /// -(T - mean) / sqrt(variance + 1e-5): 0 in expectation where both sets come from one distribution, with a
  /// variance of 1; large where few neighbours are of the other set. Negative values mean no difference.
  double statistic = 0;
};

/// The chance of each point j to be among the k soft neighbours of each i, of points (n, D): (n, n) f64, rows
/// with sum k and 0 on the diagonal. Sets of k others are chosen with a chance proportional to e^(-alpha sum
/// of their distances), distances being sqrt(1e-5 + |x_i - x_j|^2). NaN where a point is not finite. Throws
/// for more than 16384 points, which take 2 GiB.
Tensor soft_neighbours(const Tensor& points, const SmoothKnnOptions& options = {});

/// Of a (n1, D) and b (n2, D). Throws unless both have points, four together, and more than k.
SmoothKnn smooth_knn(const Tensor& a, const Tensor& b, const SmoothKnnOptions& options = {});

/// Draws points (n, D) for one of the repetitions.
using PointSampler = std::function<Tensor(int64_t repetition, int64_t n)>;
/// At most n of these points (N, D), chosen at random, none twice: all of them, if there are no more.
PointSampler points_among(const Tensor& points, const RandomKey& key);

struct RepeatedKnnOptions {
  int64_t points = 100;         ///< of each side
  int64_t repetitions = 20000;  ///< as in Yacoby et al., appendix E
  SmoothKnnOptions knn = {};
};
/// The statistic's mean over repetitions, each of fresh points (Yacoby et al., appendix E), and its standard
/// error: of the drawing, where both sides draw from what is given, and not of what was drawn to give it.
struct RepeatedKnn {
  double mean = 0, standard_error = 0;  ///< the error is NaN for one repetition
};
RepeatedKnn repeated_smooth_knn(const PointSampler& a, const PointSampler& b,
                                const RepeatedKnnOptions& options = {});

struct MmdOptions {
  double bandwidth = 0;  ///< s of e^(-|x - y|^2 / (2 s^2)); 0: the median distance between two of all points
  int64_t permutations = 199;  ///< for the p-value; 0: none
  RandomKey key = {};          ///< of the permutations
};
struct Mmd {
  double squared = 0;  ///< the unbiased estimate of MMD^2 (Gretton et al. 2012, Eq. 3); may be below 0
  double bandwidth = 0;
  double p_value = 0;  ///< how often a random division of the points is at least as far apart; NaN without
};
/// Of a (n1, D) and b (n2, D), each of two points or more. NaN where a point is not finite.
Mmd maximum_mean_discrepancy(const Tensor& a, const Tensor& b, const MmdOptions& options = {});

}  // namespace elbo
