// What toys (toys.h) are made of: their random numbers, normal distributions, and functions of every point.
//
// Knows no models.
#pragma once

#include <cmath>
#include <vector>

#include "datasets/generators.h"
#include "datasets/splits.h"
#include "tensor/linalg.h"
#include "tensor/math.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace elbo {

/// Throws for a number of points that cannot be meant, and for a split that toys do not have.
inline void check_drawn(int64_t points, Split split) {
  if (points < 1 || points > kMostGeneratedPoints)
    fail("[toys] cannot make {} points; ask for 1 to {}", points, kMostGeneratedPoints);
  if (split == Split::all)
    fail("[toys] a toy has points for training, validation and testing, and no others");
}

/// f(point off the mean (D), scratch (D)) of every point of x (N, D): (N) f64.
template <class F>
Tensor each_point(const Tensor& x, const Tensor& mean, const F& f) {
  const int64_t d = mean.elements();
  if (x.rank() != 2 || x.size(1) != d)
    fail("[toys] the log density is of points (N, {}), got {}", d, x.shape().str());
  const Tensor values = Tensor::empty({x.size(0)}, DType::f64);
  const double *from = x.data<double>(), *mu = mean.data<double>();
  parallel_for(x.size(0), 256, [&](int64_t begin, int64_t end) {
    std::vector<double> point(static_cast<size_t>(d)), scratch(point.size());
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t j = 0; j < d; ++j) point[static_cast<size_t>(j)] = from[n * d + j] - mu[j];
      values.data<double>()[n] = f(point.data(), scratch);
    }
  });
  return values;
}

/// ln N(x | 0, L L^T) at x (D), L = root (D, D) lower triangular; `scratch` (D) is written to.
inline double log_density_of_root(const Tensor& root, const double* x, std::vector<double>& scratch) {
  const int64_t d = root.size(0);
  const double* l = root.data<double>();
  double result = -0.5 * static_cast<double>(d) * math::kLogTwoPi;
  for (int64_t i = 0; i < d; ++i, l += d) {
    double value = x[i];
    for (int64_t j = 0; j < i; ++j) value -= l[j] * scratch[static_cast<size_t>(j)];
    value /= l[i];
    scratch[static_cast<size_t>(i)] = value;
    result -= 0.5 * value * value + std::log(l[i]);
  }
  return result;
}

/// W W^T + floor I (D, D), of W (D, k).
inline Tensor outer_plus(const Tensor& w, double floor) {
  const int64_t d = w.size(0), k = w.size(1);
  const Tensor sum = Tensor::zeros({d, d}, DType::f64);
  double* c = sum.data<double>();
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = 0; j < d; ++j, ++c) {
      for (int64_t h = 0; h < k; ++h) *c += w.at(i * k + h) * w.at(j * k + h);
      if (i == j) *c += floor;
    }
  return sum;
}

}  // namespace elbo
