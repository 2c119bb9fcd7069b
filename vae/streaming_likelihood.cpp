#include "vae/streaming_likelihood.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "vae/entropies.h"

namespace elbo {

double streaming_log_likelihood(int64_t dimensions, double log_sigma2,
                                std::span<const double> log_variances) {
  const double sum = std::accumulate(log_variances.begin(), log_variances.end(), 0.0);
  return 0.5 * (sum - static_cast<double>(dimensions) * log_sigma2) - standard_normal_entropy(dimensions);
}

std::vector<double> log_variances_of_decoder(const Tensor& decoder, double log_sigma2) {
  const int64_t d = decoder.size(0), k = decoder.size(1);
  const double* w = decoder.data<double>();
  std::vector<double> squares(static_cast<size_t>(k));
  for (int64_t j = 0; j < d; ++j)
    for (double& square : squares) {
      square += *w * *w;
      ++w;
    }
  for (double& value : squares) value = -std::log1p(value * std::exp(-log_sigma2));
  return squares;
}

std::vector<double> streaming_log_likelihoods(int64_t dimensions, double log_sigma2,
                                              std::span<const double> log_variances) {
  const auto latent = static_cast<int64_t>(log_variances.size());
  if (latent > dimensions)
    fail("[streaming] {} variances of a latent space in {} dimensions", latent, dimensions);
  std::vector<double> log_eigenvalues;
  for (const double log_variance : log_variances) log_eigenvalues.push_back(log_sigma2 - log_variance);
  std::sort(log_eigenvalues.begin(), log_eigenvalues.end(), std::greater<>());
  // From the largest latent dimension down, so that what sigma^2 takes over is added smallest first.
  double left_over = static_cast<double>(dimensions - latent) * std::exp(log_sigma2);
  double captured = std::accumulate(log_eigenvalues.begin(), log_eigenvalues.end(), 0.0);
  std::vector<double> result;
  for (int64_t k = latent; k >= 1; --k) {
    const auto noise_dimensions = static_cast<double>(dimensions - k);
    if (k < dimensions)
      result.push_back(-0.5 * (captured + noise_dimensions * std::log(left_over / noise_dimensions)) -
                       standard_normal_entropy(dimensions));
    const double given_up = log_eigenvalues[static_cast<size_t>(k - 1)];
    left_over += std::exp(given_up);
    captured -= given_up;
  }
  std::reverse(result.begin(), result.end());
  return result;
}

int64_t choose_latent(std::span<const double> log_likelihoods, int64_t dimensions, int64_t points) {
  if (log_likelihoods.empty() || points < 1)
    fail("[streaming] a latent dimension is chosen by likelihoods of at least one, on at least one point");
  const auto n = static_cast<double>(points);
  int64_t best = 0;
  double largest = 0;
  for (int64_t k = 1; k <= static_cast<int64_t>(log_likelihoods.size()); ++k) {
    const auto free_numbers = static_cast<double>(dimensions * k - k * (k - 1) / 2 + dimensions + 1);
    const double value = n * log_likelihoods[static_cast<size_t>(k - 1)] - 0.5 * free_numbers * std::log(n);
    if (best == 0 || value > largest) best = k, largest = value;
  }
  return best;
}

double entropy_gap_of_fixed_sigma2(const Tensor& eigenvalues, int64_t latent, double sigma2) {
  double gap = 0;
  for (int64_t j = 0; j < eigenvalues.elements(); ++j)
    if (const double ratio = eigenvalues.at(j) / sigma2; j >= latent || ratio < 1) gap += 0.5 * (1 - ratio);
  return gap;
}

}  // namespace elbo
