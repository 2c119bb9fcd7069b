// The first rung: loops, and derivatives by hand. By itself, from the repository's root:
//
//   g++ -std=c++20 -I. -DLADDER_ALONE docs/ladder/1_loops.cpp -o loops && ./loops
#include <cmath>
#include <numbers>

#include "docs/ladder/problem.h"

namespace ladder {

Answer by_loops(const Problem& p) {
  const size_t N = p.N, D = p.D, k = p.k;
  const std::vector<double>&W = p.at.W, &V = p.at.V;
  const double points = static_cast<double>(N), dimensions = static_cast<double>(D);
  const double sigma2 = std::exp(p.at.log_sigma2);
  Answer a{0, {std::vector<double>(D * k), std::vector<double>(k * D), std::vector<double>(k), 0}};
  std::vector<double> code(k), residual(D), pull(k);

  for (size_t n = 0; n < N; ++n) {
    const double* x = &p.x[n * D];

    // Forward: the code c = V x, and the residual r = x - W c.
    for (size_t i = 0; i < k; ++i) {
      code[i] = 0;
      for (size_t j = 0; j < D; ++j) code[i] += V[i * D + j] * x[j];
    }
    double code_square = 0, residual_square = 0;
    for (size_t j = 0; j < D; ++j) {
      residual[j] = x[j];
      for (size_t i = 0; i < k; ++i) residual[j] -= W[j * k + i] * code[i];
      residual_square += residual[j] * residual[j];
    }
    for (double c : code) code_square += c * c;
    a.elbo -= 0.5 * (code_square + residual_square / sigma2) / points;

    // Backward: r and c each appear as a square, so their derivatives are -r / sigma^2 and -c; by the chain
    // rule W gets r c^T / sigma^2, the code gets W^T r / sigma^2 - c, and V gets that times x^T.
    for (size_t j = 0; j < D; ++j)
      for (size_t i = 0; i < k; ++i) a.gradient.W[j * k + i] += residual[j] * code[i] / sigma2 / points;
    for (size_t i = 0; i < k; ++i) {
      pull[i] = -code[i];
      for (size_t j = 0; j < D; ++j) pull[i] += residual[j] * W[j * k + i] / sigma2;
      for (size_t j = 0; j < D; ++j) a.gradient.V[i * D + j] += pull[i] * x[j] / points;
    }
    a.gradient.log_sigma2 += 0.5 * residual_square / sigma2 / points;
  }

  // What no data are in: the cost of the posterior's variances, and the noise that they send through W.
  for (size_t i = 0; i < k; ++i) {
    const double d = std::exp(p.at.log_d[i]);
    double column_square = 0;
    for (size_t j = 0; j < D; ++j) {
      column_square += W[j * k + i] * W[j * k + i];
      a.gradient.W[j * k + i] -= d * W[j * k + i] / sigma2;
    }
    a.elbo -= 0.5 * (d - 1 - p.at.log_d[i] + d * column_square / sigma2);
    a.gradient.log_d[i] = -0.5 * (d - 1 + d * column_square / sigma2);
    a.gradient.log_sigma2 += 0.5 * d * column_square / sigma2;
  }
  a.elbo -= 0.5 * dimensions * (std::log(2 * std::numbers::pi) + p.at.log_sigma2);
  a.gradient.log_sigma2 -= 0.5 * dimensions;
  return a;
}

}  // namespace ladder

#ifdef LADDER_ALONE
int main() { ladder::print(ladder::by_loops(ladder::example())); }
#endif
