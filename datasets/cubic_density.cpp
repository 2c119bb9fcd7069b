#include "datasets/cubic_density.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "datasets/toy_parts.h"

namespace elbo {
namespace {

constexpr double kDeviations = 9;  // of the noise: e^-40 beyond
constexpr double kPerWidth = 3;    // values within the likelihood's least width

/// Values of u about the cube root of x, evenly spaced, and ln p(x | u) but for its constant.
struct Grid {
  std::vector<double> u, log_likelihood;
  double step = 0;

  Grid(double x, double noise, double finer) {
    const double low = std::cbrt(x - kDeviations * noise), high = std::cbrt(x + kDeviations * noise);
    const double furthest = std::max(std::abs(low), std::abs(high));
    const double width = noise / (3 * furthest * furthest);
    const auto count = static_cast<size_t>(std::ceil(kPerWidth * finer * (high - low) / width));
    step = (high - low) / static_cast<double>(count);
    for (size_t i = 0; i <= count; ++i) {
      u.push_back(low + static_cast<double>(i) * step);
      const double off = (x - u.back() * u.back() * u.back()) / noise;
      log_likelihood.push_back(-0.5 * off * off);
    }
  }
};

}  // namespace

Tensor cubic_log_density(const Tensor& covariance, double noise_variance, const Tensor& x, double finer) {
  if (covariance.shape() != Shape{2, 2} || !(noise_variance > 0))
    fail("[cubic_log_density] a covariance (2, 2) and a positive variance are needed, got {} and {}",
         covariance.shape().str(), noise_variance);
  const Tensor root = cholesky(covariance);
  const double l11 = root.at(0), l21 = root.at(2), l22 = root.at(3), noise = std::sqrt(noise_variance);
  // ln N(u | 0, covariance) but for its constant.
  const auto log_prior = [=](double first, double second) {
    const double a = first / l11, b = (second - l21 * a) / l22;
    return -0.5 * (a * a + b * b);
  };
  return each_point(x, Tensor::zeros({2}, DType::f64), [&](const double* at, std::vector<double>&) {
    const Grid first(at[0], noise, finer), second(at[1], noise, finer);
    // The prior may be tiny at points that no model made; its logarithm there is set aside.
    const double aside = log_prior(std::cbrt(at[0]), std::cbrt(at[1]));
    double sum = 0;
    for (size_t i = 0; i < first.u.size(); ++i) {
      double inner = 0;
      for (size_t j = 0; j < second.u.size(); ++j)
        inner += std::exp(second.log_likelihood[j] + first.log_likelihood[i] +
                          log_prior(first.u[i], second.u[j]) - aside);
      sum += inner;
    }
    return aside + std::log(sum * first.step * second.step) - 2 * math::kLogTwoPi -
           std::log(l11 * l22 * noise_variance);
  });
}

}  // namespace elbo
