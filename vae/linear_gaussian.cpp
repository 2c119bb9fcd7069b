#include "vae/linear_gaussian.h"

#include <cmath>

#include "tensor/gemm.h"
#include "tensor/linalg.h"
#include "tensor/math.h"

namespace elbo {
namespace {

void check(const LinearGaussian& model) {
  const auto is_matrix = [](const Tensor& x, int rank) {
    return x.defined() && x.rank() == rank && x.dtype() == DType::f64;
  };
  if (!is_matrix(model.weight, 2) || !is_matrix(model.noise, 1) ||
      model.noise.size(0) != model.weight.size(0))
    fail("[linear_gaussian] weights (D, k) and variances (D) in f64 are needed");
  for (const double variance : model.noise.span<double>())
    if (!(variance > 0 && std::isfinite(variance)))
      fail("[linear_gaussian] the noise's variances must be positive and finite, got {}", variance);
}

void check_square(const Tensor& x, int64_t size) {
  if (x.shape() != Shape{size, size} || x.dtype() != DType::f64)
    fail("[linear_gaussian] a covariance ({}, {}) in f64 is needed, got {}", size, size, x.shape().str());
}

void add_to_diagonal(const Tensor& matrix, const Tensor& values) {
  const int64_t n = matrix.size(0);
  for (int64_t i = 0; i < n; ++i) matrix.data<double>()[i * n + i] += values.at(i);
}

double half_log_determinant(const Tensor& covariance) {
  const Tensor root = cholesky(covariance);
  double sum = 0;
  for (int64_t i = 0; i < root.size(0); ++i) sum += std::log(root.at(i * root.size(0) + i));
  return sum;
}

double trace_of_ratio(const Tensor& covariance, const Tensor& other) {
  return trace(solve_positive_definite(covariance, other)).item();
}

}  // namespace

Tensor data_covariance(const LinearGaussian& model) {
  check(model);
  const Tensor c = matmul(model.weight, Transpose::no, model.weight, Transpose::yes);
  add_to_diagonal(c, model.noise);
  return c;
}

Tensor log_density(const LinearGaussian& model, const Tensor& x) {
  const Tensor root = cholesky(data_covariance(model));
  const int64_t d = root.size(0);
  if (x.rank() != 2 || x.size(1) != d || x.dtype() != DType::f64)
    fail("[linear_gaussian] x must be (N, {}) in f64, got {}", d, x.shape().str());
  const Tensor values = Tensor::empty({x.size(0)}, DType::f64);
  std::vector<double> scaled(static_cast<size_t>(d));  // root^-1 x
  for (int64_t n = 0; n < x.size(0); ++n) {
    double sum = -0.5 * static_cast<double>(d) * math::kLogTwoPi;
    for (int64_t i = 0; i < d; ++i) {
      double value = x.at(n * d + i);
      for (int64_t j = 0; j < i; ++j) value -= root.at(i * d + j) * scaled[static_cast<size_t>(j)];
      value /= root.at(i * d + i);
      scaled[static_cast<size_t>(i)] = value;
      sum -= 0.5 * value * value + std::log(root.at(i * d + i));
    }
    values.data<double>()[n] = sum;
  }
  return values;
}

double mean_log_density(const LinearGaussian& model, const Tensor& moments) {
  const Tensor c = data_covariance(model);
  check_square(moments, c.size(0));
  return -0.5 * (static_cast<double>(c.size(0)) * math::kLogTwoPi + trace_of_ratio(c, moments)) -
         half_log_determinant(c);
}

LinearPosterior exact_posterior(const LinearGaussian& model) {
  check(model);
  const int64_t d = model.weight.size(0), k = model.weight.size(1);
  const Tensor scaled = model.weight.clone();  // diag(1/noise) W
  for (int64_t i = 0; i < d * k; ++i) scaled.data<double>()[i] /= model.noise.at(i / k);
  LinearPosterior posterior;
  posterior.precision = matmul(model.weight, Transpose::yes, scaled, Transpose::no);
  add_to_diagonal(posterior.precision, Tensor::full({k}, 1, DType::f64));
  posterior.covariance = solve_positive_definite(posterior.precision, identity_matrix(k, DType::f64));
  posterior.projection = matmul(posterior.covariance, Transpose::no, scaled, Transpose::yes);
  return posterior;
}

Tensor mean_field_variances(const LinearPosterior& posterior) {
  const int64_t k = posterior.precision.size(0);
  const Tensor variances = Tensor::empty({k}, DType::f64);
  for (int64_t i = 0; i < k; ++i) variances.data<double>()[i] = 1 / posterior.precision.at(i * k + i);
  return variances;
}

double mean_field_gap(const LinearPosterior& posterior) {
  double sum = -half_log_determinant(posterior.precision);
  for (const double variance : mean_field_variances(posterior).to_vector()) sum -= 0.5 * std::log(variance);
  return sum;
}

double posterior_gap(const LinearPosterior& posterior, const Tensor& x, const Tensor& mean,
                     const Tensor& variance) {
  const int64_t k = posterior.projection.size(0), d = posterior.projection.size(1);
  const int64_t points = x.rank() == 2 ? x.size(0) : 0;
  if (points < 1 || x.size(1) != d || mean.shape() != Shape{points, k} || variance.shape() != mean.shape())
    fail("[linear_gaussian] x (N, {}) and mean and variance (N, {}) are needed, got {}, {} and {}", d, k,
         x.shape().str(), mean.shape().str(), variance.shape().str());
  const Tensor exact = matmul(x, Transpose::no, posterior.projection, Transpose::yes);
  double sum = 0;
  for (int64_t n = 0; n < points; ++n)
    for (int64_t i = 0; i < k; ++i) {
      const double v = variance.at(n * k + i), off = mean.at(n * k + i) - exact.at(n * k + i);
      sum += posterior.precision.at(i * k + i) * v - 1 - std::log(v);
      for (int64_t j = 0; j < k; ++j)
        sum += off * posterior.precision.at(i * k + j) * (mean.at(n * k + j) - exact.at(n * k + j));
    }
  return 0.5 * sum / static_cast<double>(points) - half_log_determinant(posterior.precision);
}

OptimalLoss optimal_loss(const LinearGaussian& model, const Tensor& covariance) {
  const Tensor c = data_covariance(model);
  check_square(covariance, c.size(0));
  return {.likelihood = 0.5 * (trace_of_ratio(c, covariance) - static_cast<double>(c.size(0))) +
                        half_log_determinant(c) - half_log_determinant(covariance),
          .posterior = mean_field_gap(exact_posterior(model))};
}

double mutual_information(const LinearGaussian& model) {
  return half_log_determinant(exact_posterior(model).precision);
}

Tensor aggregated_covariance(const LinearPosterior& posterior, const Tensor& covariance, bool mean_field) {
  check_square(covariance, posterior.projection.size(1));
  const Tensor projected = matmul(posterior.projection, Transpose::no, covariance, Transpose::no);
  const Tensor sum = matmul(projected, Transpose::no, posterior.projection, Transpose::yes);
  if (mean_field)
    add_to_diagonal(sum, mean_field_variances(posterior));
  else
    for (int64_t i = 0; i < sum.elements(); ++i) sum.data<double>()[i] += posterior.covariance.at(i);
  return sum;
}

}  // namespace elbo
