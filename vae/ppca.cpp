#include "vae/ppca.h"

#include <algorithm>
#include <cmath>

#include "tensor/gemm.h"
#include "tensor/map.h"

namespace elbo {
namespace {

void check_sigma2(double sigma2, const char* where) {
  if (!(sigma2 > 0) || !std::isfinite(sigma2))
    fail("[{}] sigma^2 must be positive and finite, got {}", where, sigma2);
}

void check_latent(int64_t latent, int64_t dimensions) {
  if (latent < 1) fail("[ppca] the latent dimension must be at least 1, got {}", latent);
  if (latent >= dimensions)
    fail("[ppca] the latent dimension must be below the data's dimension {}, got {}", dimensions, latent);
}

void check_components(const std::vector<int64_t>& captured, int64_t dimensions) {
  for (int64_t component : captured)
    if (component < 1 || component > dimensions)
      fail("[ppca] there is no component {} among {}", component, dimensions);
}

/// M = W^T W + sigma^2 I (k, k).
Tensor posterior_precision(const Ppca& model) {
  Tensor m = matmul(model.weight, Op::transpose, model.weight, Op::none);
  const int64_t k = m.size(0);
  for (int64_t i = 0; i < k; ++i) m.data<double>()[i * k + i] += model.sigma2;
  return m;
}

/// Column `to` of weight = scale u_component.
void set_column(const Tensor& weight, int64_t to, const Eigen& eigen, int64_t component, double scale) {
  const int64_t d = weight.size(0), k = weight.size(1);
  for (int64_t j = 0; j < d; ++j)
    weight.data<double>()[j * k + to] = scale * eigen.vectors.data<double>()[j * d + component - 1];
}

double column_scale(const Eigen& eigen, int64_t component, double sigma2) {
  return std::sqrt(std::max(0.0, eigen.values.at(component - 1) - sigma2));
}

}  // namespace

DataMoments data_moments(const Tensor& x) {
  if (x.rank() != 2 || x.size(0) == 0 || x.size(1) == 0)
    fail("[data_moments] needs data (N, D) with N and D above 0, got {}", x.shape().str());
  const int64_t n = x.size(0), d = x.size(1);
  DataMoments moments{n, Tensor::zeros({d}, DType::f64), Tensor::zeros({d, d}, DType::f64)};
  constexpr int64_t kRows = 4096;  // converted to f64 at a time
  const auto each_batch = [&](const auto& use) {
    for (int64_t begin = 0; begin < n; begin += kRows)
      use(x.slice(begin, std::min(begin + kRows, n)).to(DType::f64));
  };
  each_batch([&](const Tensor& rows) { map_reduce_into<Sum>(moments.mean, true, Identity{}, rows); });
  map_into(moments.mean, Scaled{1.0 / static_cast<double>(n)}, moments.mean);
  for (double value : moments.mean.span<double>())
    if (!std::isfinite(value)) fail("[data_moments] the data hold a NaN or an infinity");
  each_batch([&](const Tensor& rows) {
    const Tensor centred = map(Difference{}, rows, moments.mean);
    gemm(moments.covariance, centred, Op::transpose, centred, Op::none, true, 1.0 / static_cast<double>(n));
  });
  return moments;
}

int64_t numerical_rank(const Tensor& eigenvalues) {
  const std::vector<double> values = eigenvalues.to_vector();
  const double threshold = values.empty() ? 0 : 1e-12 * values[0];
  return std::count_if(values.begin(), values.end(), [&](double value) { return value > threshold; });
}

double ppca_mle_sigma2(const Tensor& eigenvalues, int64_t latent) {
  const int64_t d = eigenvalues.elements();
  check_latent(latent, d);
  const int64_t rank = numerical_rank(eigenvalues);
  if (latent >= rank)
    fail(
        "[ppca] the data span only {} dimensions, so with {} latent dimensions sigma^2 would be 0; use fewer "
        "than {}",
        rank, latent, rank);
  double total = 0;
  for (int64_t j = latent; j < d; ++j) total += std::max(0.0, eigenvalues.at(j));
  return total / static_cast<double>(d - latent);
}

Ppca ppca_solution(const DataMoments& data, const Eigen& eigen, int64_t latent, double sigma2) {
  check_latent(latent, eigen.values.elements());
  std::vector<int64_t> leading(static_cast<size_t>(latent));
  for (int64_t i = 0; i < latent; ++i) leading[static_cast<size_t>(i)] = i + 1;
  return ppca_stationary_point(data, eigen, leading, 0, sigma2);
}

double ppca_max_log_likelihood(const Tensor& eigenvalues, int64_t latent) {
  const double sigma2 = ppca_mle_sigma2(eigenvalues, latent);
  const auto d = static_cast<double>(eigenvalues.elements());
  double log_determinant = (d - static_cast<double>(latent)) * std::log(sigma2);
  for (int64_t i = 0; i < latent; ++i) log_determinant += std::log(eigenvalues.at(i));
  return -0.5 * (d * math::kLogTwoPi + log_determinant + d);
}

double ppca_log_likelihood(const Ppca& model, const DataMoments& data) {
  check_sigma2(model.sigma2, "ppca_log_likelihood");
  const Tensor& w = model.weight;
  const int64_t d = w.size(0), k = w.size(1);
  // S about the model's mean: the covariance plus the outer product of the offset, which enters only through
  // W^T S W and tr S.
  const Tensor offset = map(Difference{}, data.mean, model.mean).reshape({1, d});
  const Tensor pulled = matmul(offset, Op::none, w, Op::none);  // (1, k)
  Tensor wsw = matmul(w, Op::transpose, matmul(data.covariance, Op::none, w, Op::none), Op::none);
  gemm(wsw, pulled, Op::transpose, pulled, Op::none, true);
  const double total_variance =
      trace(data.covariance).item() + map_reduce<Sum>({}, Product{}, offset, offset).item();

  const Tensor m = posterior_precision(model);
  const Tensor l = cholesky(m);
  double log_determinant = static_cast<double>(d - k) * std::log(model.sigma2);
  for (int64_t i = 0; i < k; ++i) log_determinant += 2 * std::log(l.data<double>()[i * k + i]);
  const Tensor inner = solve_triangular(l, solve_triangular(l, wsw), true);  // M^-1 W^T S W
  const double mahalanobis = (total_variance - trace(inner).item()) / model.sigma2;
  return -0.5 * (static_cast<double>(d) * math::kLogTwoPi + log_determinant + mahalanobis);
}

PpcaPosterior ppca_posterior(const Ppca& model) {
  check_sigma2(model.sigma2, "ppca_posterior");
  const int64_t d = model.weight.size(0), k = model.weight.size(1);
  const Tensor l = cholesky(posterior_precision(model));
  const Tensor transposed = matmul(identity_matrix(k, DType::f64), Op::none, model.weight, Op::transpose);
  PpcaPosterior posterior;
  posterior.projection = solve_triangular(l, solve_triangular(l, transposed.reshape({k, d})), true);
  posterior.covariance = solve_triangular(l, solve_triangular(l, identity_matrix(k, DType::f64)), true);
  map_into(posterior.covariance, Scaled{model.sigma2}, posterior.covariance);
  return posterior;
}

std::vector<Escape> ppca_escapes(const Tensor& eigenvalues, const std::vector<int64_t>& captured,
                                 double sigma2) {
  check_sigma2(sigma2, "ppca_escapes");
  check_components(captured, eigenvalues.elements());
  std::vector<Escape> escapes;
  for (int64_t component = 1; component <= eigenvalues.elements(); ++component)
    if (std::find(captured.begin(), captured.end(), component) == captured.end())
      escapes.push_back({component, eigenvalues.at(component - 1), eigenvalues.at(component - 1) < sigma2});
  return escapes;
}

Ppca ppca_stationary_point(const DataMoments& data, const Eigen& eigen, const std::vector<int64_t>& captured,
                           int64_t zero_columns, double sigma2) {
  check_sigma2(sigma2, "ppca");
  check_components(captured, eigen.values.elements());
  const auto columns = static_cast<int64_t>(captured.size());
  Ppca model{Tensor::zeros({eigen.values.elements(), columns + zero_columns}, DType::f64), data.mean, sigma2};
  for (int64_t i = 0; i < columns; ++i) {
    const int64_t component = captured[static_cast<size_t>(i)];
    set_column(model.weight, i, eigen, component, column_scale(eigen, component, sigma2));
  }
  return model;
}

}  // namespace elbo
