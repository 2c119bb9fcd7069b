#include "vae/jtex.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/gemm.h"
#include "tensor/linalg.h"
#include "tensor/random.h"

namespace elbo {
namespace {

using Point = std::array<double, 3>;  // the lower triangle of a 2 x 2 matrix, row by row

struct Corner {
  Point at;
  double value;
};

Point between(const Point& from, const Point& to, double part) {
  Point point;
  for (size_t i = 0; i < point.size(); ++i) point[i] = from[i] + part * (to[i] - from[i]);
  return point;
}

/// Nelder and Mead 1965, with their coefficients, until all corners have values within rounding.
template <class F>
Corner least(const F& f, const Point& start) {
  std::array<Corner, 4> corners;
  corners[0] = {start, f(start)};
  for (size_t i = 0; i < start.size(); ++i) {
    Point moved = start;
    moved[i] += 0.5;
    corners[i + 1] = {moved, f(moved)};
  }
  const auto by_value = [](const Corner& a, const Corner& b) { return a.value < b.value; };
  for (int step = 0; step < 5000; ++step) {
    std::sort(corners.begin(), corners.end(), by_value);
    Corner& worst = corners.back();
    double size = 0;
    for (size_t i = 0; i < start.size(); ++i) size = std::max(size, std::abs(worst.at[i] - corners[0].at[i]));
    if (size < 1e-9) break;
    Point centre{};
    for (size_t c = 0; c + 1 < corners.size(); ++c)
      for (size_t i = 0; i < start.size(); ++i) centre[i] += corners[c].at[i] / 3;
    const auto along = [&](double part) {
      const Point at = between(centre, worst.at, part);
      return Corner{at, f(at)};
    };
    const Corner reflected = along(-1);
    if (reflected.value < corners[0].value) {
      const Corner expanded = along(-2);
      worst = expanded.value < reflected.value ? expanded : reflected;
    } else if (reflected.value < corners[2].value) {
      worst = reflected;
    } else {
      const Corner contracted = along(reflected.value < worst.value ? -0.5 : 0.5);
      if (contracted.value < std::min(reflected.value, worst.value)) {
        worst = contracted;
      } else {
        for (size_t c = 1; c < corners.size(); ++c) {
          const Point at = between(corners[0].at, corners[c].at, 0.5);
          corners[c] = {at, f(at)};
        }
      }
    }
  }
  return *std::min_element(corners.begin(), corners.end(), by_value);
}

Tensor factor_of(const Point& at) { return Tensor::from<double>({2, 2}, {at[0], 0, at[1], at[2]}); }

}  // namespace

LinearGaussian jtex_model(const Tensor& factor, const std::vector<double>& floor, double sigma2) {
  const auto n = static_cast<int64_t>(floor.size());
  if (factor.shape() != Shape{n, n} || factor.dtype() != DType::f64)
    fail("[jtex] A must be ({}, {}) in f64, got {}", n, n, factor.shape().str());
  const Tensor inner = matmul(factor, Transpose::no, factor, Transpose::yes);
  LinearGaussian model{.weight = {}, .noise = Tensor::empty({n}, DType::f64)};
  for (int64_t i = 0; i < n; ++i) {
    const double own = floor[static_cast<size_t>(i)];
    if (!(own >= 0 && own < sigma2)) fail("[jtex] B must be from 0 to below {}, got {}", sigma2, own);
    inner.data<double>()[i * n + i] += own;
    model.noise.data<double>()[i] = sigma2 - own;
  }
  model.weight = cholesky(inner);
  return model;
}

JtexOptimum jtex_optimum(const Tensor& covariance, const std::vector<double>& floor, double sigma2,
                         int starts, uint64_t seed) {
  if (floor.size() != 2) fail("[jtex] the optimum is of two dimensions, got {}", floor.size());
  if (starts < 1) fail("[jtex] at least one start is needed, got {}", starts);
  const auto loss = [&](const Point& at) {
    return optimal_loss(jtex_model(factor_of(at), floor, sigma2), covariance).total();
  };
  const Tensor drawn = normal({starts, 3}, DType::f64, {.seed = seed, .stream = kInitialisation});
  std::vector<Corner> ends;
  for (int64_t s = 0; s < starts; ++s) {
    Point start{drawn.at(3 * s), drawn.at(3 * s + 1), drawn.at(3 * s + 2)};
    ends.push_back(least(loss, start));
  }
  std::sort(ends.begin(), ends.end(), [](const Corner& a, const Corner& b) { return a.value < b.value; });
  JtexOptimum optimum;
  optimum.factor = factor_of(ends[0].at);
  optimum.model = jtex_model(optimum.factor, floor, sigma2);
  optimum.loss = optimal_loss(optimum.model, covariance);
  for (const Corner& end : ends) optimum.losses.push_back(end.value);
  return optimum;
}

}  // namespace elbo
