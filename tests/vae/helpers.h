// What the tests of this folder share: data with a known spread, and random weights.
#pragma once

#include <cmath>

#include "autograd/ops.h"
#include "tensor/random.h"
#include "vae/ppca.h"

namespace elbo {

inline Tensor draw(const Shape& shape, uint64_t seed, DType dtype = DType::f64) {
  return normal(shape, dtype, {.seed = seed, .stream = kTestInput});
}

/// x (N, D) f64 with standard deviations 1.8, 1.8 * 0.8, ... along mixed directions, about a mean that is not
/// 0.
inline Tensor correlated_data(int64_t n, int64_t dimensions, uint64_t seed) {
  const Tensor mix =
      symmetric_eigen(
          (matmul_tn(draw({dimensions, dimensions}, seed), draw({dimensions, dimensions}, seed))).value())
          .vectors;
  Tensor scales = Tensor::empty({dimensions}, DType::f64);
  for (int64_t j = 0; j < dimensions; ++j)
    scales.data<double>()[j] = 1.8 * std::pow(0.8, static_cast<double>(j));
  return (matmul_nt(Variable(draw({n, dimensions}, seed + 1)) * scales, mix) + draw({dimensions}, seed + 2))
      .value();
}

/// |a - b| <= tolerance * max(1, |b|).
inline bool close(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

/// Average and standard error of single estimates.
struct Estimate {
  double sum = 0, squares = 0;
  int64_t count = 0;

  void add(double value) {
    sum += value;
    squares += value * value;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double standard_error() const {
    const auto n = static_cast<double>(count);
    return std::sqrt((squares / n - mean() * mean()) / (n - 1));
  }
};

}  // namespace elbo
