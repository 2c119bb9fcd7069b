// Closed-form pPCA against direct evaluations that share no code with it: D x D matrices, loops,
// conditioning of the joint Gaussian, and perturbations of what should be a maximum.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "tensor/gemm.h"
#include "tensor/map.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/ppca.h"

using namespace elbo;

namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix zeros(int64_t rows, int64_t columns) {
  return Matrix(static_cast<size_t>(rows), std::vector<double>(static_cast<size_t>(columns), 0.0));
}

Matrix matrix_of(const Tensor& t) {
  Matrix m = zeros(t.size(0), t.size(1));
  for (size_t i = 0; i < m.size(); ++i)
    for (size_t j = 0; j < m[i].size(); ++j) m[i][j] = t.at(static_cast<int64_t>(i * m[i].size() + j));
  return m;
}

/// C = W W^T + sigma^2 I.
Matrix model_covariance(const Ppca& model) {
  const Matrix w = matrix_of(model.weight);
  Matrix c = zeros(model.weight.size(0), model.weight.size(0));
  for (size_t i = 0; i < c.size(); ++i)
    for (size_t j = 0; j < c.size(); ++j) {
      for (size_t l = 0; l < w[i].size(); ++l) c[i][j] += w[i][l] * w[j][l];
      if (i == j) c[i][j] += model.sigma2;
    }
  return c;
}

/// Lower-triangular L with L L^T = c.
Matrix direct_cholesky(const Matrix& c) {
  Matrix l = zeros(static_cast<int64_t>(c.size()), static_cast<int64_t>(c.size()));
  for (size_t j = 0; j < c.size(); ++j)
    for (size_t i = j; i < c.size(); ++i) {
      double sum = c[i][j];
      for (size_t p = 0; p < j; ++p) sum -= l[i][p] * l[j][p];
      l[i][j] = i == j ? std::sqrt(sum) : sum / l[j][j];
    }
  return l;
}

std::vector<double> solve(const Matrix& l, std::vector<double> b) {  // L L^T x = b
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t p = 0; p < i; ++p) b[i] -= l[i][p] * b[p];
    b[i] /= l[i][i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t p = i + 1; p < n; ++p) b[i] -= l[p][i] * b[p];
    b[i] /= l[i][i];
  }
  return b;
}

/// Mean over the points of ln N(x | mu, C), through the D x D matrix C.
double direct_log_likelihood(const Ppca& model, const Tensor& x) {
  const Matrix l = direct_cholesky(model_covariance(model)), points = matrix_of(x);
  double total = 0;
  for (const std::vector<double>& point : points) {
    std::vector<double> offset(point);
    for (size_t j = 0; j < offset.size(); ++j) offset[j] -= model.mean.at(static_cast<int64_t>(j));
    const std::vector<double> solved = solve(l, offset);
    for (size_t j = 0; j < offset.size(); ++j)
      total -= 0.5 * (std::log(2 * std::acos(-1.0)) + 2 * std::log(l[j][j]) + offset[j] * solved[j]);
  }
  return total / static_cast<double>(points.size());
}

Tensor shifted(const Tensor& base, const Tensor& direction, double size) {
  return (Variable(base) + direction * size).value();
}

struct Fit {
  Tensor x;
  DataMoments data;
  Eigen eigen;
  explicit Fit(int64_t n = 60, int64_t dimensions = 7, uint64_t seed = 20)
      : x(correlated_data(n, dimensions, seed)), data(data_moments(x)), eigen(principal_components(data)) {}
  Ppca mle(int64_t latent) const {
    return ppca_solution(data, eigen, latent, ppca_mle_sigma2(eigen.values, latent));
  }
  double log_likelihood(const Tensor& weight, double sigma2) const {
    return ppca_log_likelihood({weight, data.mean, sigma2}, data);
  }
};

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("moments are those of a double loop, whatever the type and the number of rows") {
    for (DType dtype : {DType::f64, DType::f32}) {
      const int64_t n = 9001, d = 3;  // more rows than are converted at a time, and a remainder
      Tensor x = correlated_data(n, d, 5);
      map_into(x, Scaled{1},
               (Variable(x) + 1000.0).value());  // a mean that would drown E[x^2] - E[x]^2 in f32
      x = x.to(dtype);
      const DataMoments data = data_moments(x);
      CHECK(data.count == n);
      std::vector<double> mean(3, 0.0);
      for (int64_t i = 0; i < n * d; ++i)
        mean[static_cast<size_t>(i % d)] += x.at(i) / static_cast<double>(n);
      for (int64_t a = 0; a < d; ++a) {
        CHECK(close(data.mean.at(a), mean[static_cast<size_t>(a)], 1e-13));
        for (int64_t b = 0; b < d; ++b) {
          double sum = 0;
          for (int64_t p = 0; p < n; ++p)
            sum += (x.at(p * d + a) - mean[static_cast<size_t>(a)]) *
                   (x.at(p * d + b) - mean[static_cast<size_t>(b)]);
          CHECK(close(covariance(data).at(a * d + b), sum / static_cast<double>(n), 1e-11));
        }
      }
    }
  }

  TEST_CASE("the log-likelihood through k x k matrices is the direct one through D x D") {
    double worst = 0;
    for (uint64_t seed = 0; seed < 5; ++seed) {
      for (auto [d, k] : {std::array<int64_t, 2>{5, 1}, {5, 2}, {5, 4}, {2, 1}, {9, 5}, {4, 4}, {3, 5}}) {
        const Tensor x = correlated_data(30, d, 100 + seed);
        const DataMoments data = data_moments(x);
        for (double sigma2 : {0.01, 0.7, 30.0}) {
          Ppca model{draw({d, k}, 200 + seed), data.mean, sigma2};
          const auto check = [&] {
            const double direct = direct_log_likelihood(model, x), ours = ppca_log_likelihood(model, data);
            worst = std::max(worst, std::abs(ours - direct) / std::max(1.0, std::abs(direct)));
          };
          check();
          model.mean = shifted(data.mean, draw({d}, 300 + seed), 1);  // a mean that is not the data's
          check();
          for (int64_t j = 0; j < d; ++j) model.weight.data<double>()[j * k] = 0;  // a column of zeros
          check();
        }
      }
    }
    CHECK(worst < 1e-9);
  }

  TEST_CASE("the maximum from the eigenvalues alone is the likelihood of the solution") {
    const Fit fit;
    double last = -INFINITY;
    for (int64_t k = 1; k < 7; ++k) {
      const Ppca best = fit.mle(k);
      double rest = 0;
      for (int64_t j = k; j < 7; ++j) rest += fit.eigen.values.at(j) / static_cast<double>(7 - k);
      CHECK(close(best.sigma2, rest, 1e-14));
      const double maximum = ppca_max_log_likelihood(fit.eigen.values, k);
      CHECK(close(ppca_log_likelihood(best, fit.data), maximum, 1e-12));
      CHECK(close(direct_log_likelihood(best, fit.x), maximum, 1e-10));
      CHECK(maximum > last);  // more dimensions fit better
      last = maximum;
    }
  }

  TEST_CASE("the solution is a maximum: perturbations lower the likelihood and its gradient is 0") {
    const Fit fit;
    for (int64_t k : {1, 3, 6}) {
      const Ppca best = fit.mle(k);
      const double maximum = ppca_max_log_likelihood(fit.eigen.values, k);
      for (uint64_t seed = 0; seed < 200; ++seed) {
        const double size = std::pow(10, -1 - static_cast<double>(seed % 3));
        const Tensor direction = draw(best.weight.shape(), 1000 + seed);
        const double factor = std::exp(size * draw({1}, 2000 + seed).item());
        CHECK(fit.log_likelihood(shifted(best.weight, direction, size), best.sigma2 * factor) < maximum);
        CHECK(fit.log_likelihood(best.weight, best.sigma2 * factor) < maximum);
        CHECK(fit.log_likelihood(shifted(draw(best.weight.shape(), seed), direction, size), best.sigma2) <
              maximum);
      }
      const double h = 1e-5;
      const auto slope = [&](const Tensor& direction, double log_step) {
        const auto at = [&](double t) {
          return fit.log_likelihood(shifted(best.weight, direction, t), best.sigma2 * std::exp(t * log_step));
        };
        return (at(h) - at(-h)) / (2 * h);
      };
      CHECK(std::abs(slope(Tensor::zeros(best.weight.shape(), DType::f64), 1)) < 1e-8);
      for (uint64_t seed = 0; seed < 10; ++seed)
        CHECK(std::abs(slope(draw(best.weight.shape(), seed), 0)) < 1e-8);
    }
  }

  TEST_CASE(
      "for a sigma^2 that is held fixed the solution is the best decoder, with small eigenvalues left out") {
    const Fit fit;
    const double sigma2 =
        0.5 * (fit.eigen.values.at(1) + fit.eigen.values.at(2));  // two of four columns survive
    const Ppca best = ppca_solution(fit.data, fit.eigen, 4, sigma2);
    const double maximum = ppca_log_likelihood(best, fit.data);
    for (int64_t column = 0; column < 4; ++column) {
      double square = 0;
      for (int64_t j = 0; j < 7; ++j) square += std::pow(best.weight.at(4 * j + column), 2);
      CHECK(close(square, std::max(0.0, fit.eigen.values.at(column) - sigma2), 1e-12));
    }
    for (uint64_t seed = 0; seed < 100; ++seed) {
      CHECK(fit.log_likelihood(shifted(best.weight, draw({7, 4}, seed), 0.05), sigma2) < maximum);
      CHECK(fit.log_likelihood(draw({7, 4}, seed), sigma2) < maximum);
    }
  }

  TEST_CASE("a rotation of the latent space changes nothing") {
    const Fit fit;
    const Ppca best = fit.mle(3);
    const Tensor symmetric = (matmul_tn(draw({3, 3}, 1), draw({3, 3}, 1))).value();
    const Tensor rotation = symmetric_eigen(symmetric).vectors;
    const Tensor rotated = matmul(best.weight, Transpose::no, rotation, Transpose::no);
    CHECK(std::abs(rotated.at(0) - best.weight.at(0)) > 0.01);
    CHECK(
        close(fit.log_likelihood(rotated, best.sigma2), ppca_max_log_likelihood(fit.eigen.values, 3), 1e-12));
    // A stretch does change it.
    CHECK(fit.log_likelihood(shifted(best.weight, best.weight, 0.1), best.sigma2) <
          ppca_max_log_likelihood(fit.eigen.values, 3) - 1e-3);
  }

  TEST_CASE("the posterior is the conditional of the joint Gaussian of z and x") {
    for (auto [d, k] : {std::array<int64_t, 2>{5, 2}, {4, 1}, {4, 3}, {3, 3}}) {
      const Ppca model{draw({d, k}, 7), Tensor::zeros({d}, DType::f64), 0.3};
      const PpcaPosterior posterior = ppca_posterior(model);
      REQUIRE(posterior.projection.shape() == Shape{k, d});
      REQUIRE(posterior.covariance.shape() == Shape{k, k});
      // E z|x = W^T C^-1 x,  Cov z|x = I - W^T C^-1 W.
      const Matrix w = matrix_of(model.weight), l = direct_cholesky(model_covariance(model));
      const auto column = [&](int64_t i) {
        std::vector<double> result;
        for (const std::vector<double>& row : w) result.push_back(row[static_cast<size_t>(i)]);
        return result;
      };
      for (int64_t i = 0; i < k; ++i) {
        const std::vector<double> gain = solve(l, column(i));
        for (int64_t j = 0; j < d; ++j)
          CHECK(close(posterior.projection.at(i * d + j), gain[static_cast<size_t>(j)], 1e-11));
        for (int64_t other = 0; other < k; ++other) {
          double covariance = i == other ? 1 : 0;
          for (size_t j = 0; j < gain.size(); ++j) covariance -= gain[j] * column(other)[j];
          CHECK(close(posterior.covariance.at(i * k + other), covariance, 1e-11));
        }
      }
    }
  }

  TEST_CASE("a zero column may grow along an eigenvector exactly when its eigenvalue is above sigma^2") {
    const Fit fit;
    const std::vector<int64_t> captured{1, 4};
    const Tensor& lambda = fit.eigen.values;
    for (double sigma2 : {0.5 * (lambda.at(1) + lambda.at(2)), 0.5 * (lambda.at(4) + lambda.at(5)),
                          0.5 * lambda.at(6), 2 * lambda.at(0)}) {
      const Ppca point = ppca_stationary_point(fit.data, fit.eigen, captured, 2, sigma2);
      REQUIRE(point.weight.shape() == Shape{7, 4});
      const std::vector<Escape> escapes = ppca_escapes(lambda, captured, sigma2);
      REQUIRE(escapes.size() == 5);
      const double here = ppca_log_likelihood(point, fit.data);
      const double h = 1e-3;
      const auto along = [&](int64_t component, int64_t column, double size) {
        const Tensor moved = point.weight.clone();
        for (int64_t j = 0; j < 7; ++j)
          moved.data<double>()[4 * j + column] += size * fit.eigen.vectors.at(7 * j + component - 1);
        return fit.log_likelihood(moved, sigma2);
      };
      for (const Escape& escape : escapes) {
        CAPTURE(escape.component);
        CAPTURE(sigma2);
        CHECK(std::find(captured.begin(), captured.end(), escape.component) == captured.end());
        CHECK(escape.eigenvalue == lambda.at(escape.component - 1));
        for (int64_t column : {2, 3}) {
          // First order: stationary. Second order: (lambda_j - sigma^2) / sigma^4.
          const double up = along(escape.component, column, h), down = along(escape.component, column, -h);
          CHECK(std::abs(up - down) / (2 * h) < 1e-8);
          const double curvature = (up - 2 * here + down) / (h * h);
          CHECK(std::abs(curvature * sigma2 * sigma2 - (escape.eigenvalue - sigma2)) <
                1e-3 * escape.eigenvalue);
          CHECK(escape.stable == (curvature < 0));
        }
      }
      for (int64_t column : {0, 1})
        CHECK(std::abs(along(3, column, h) - along(3, column, -h)) / (2 * h) < 1e-8);
    }
  }

  TEST_CASE("rank counts the directions in which the data vary") {
    const Tensor x = matmul(draw({50, 3}, 1), Transpose::no, draw({3, 6}, 2), Transpose::no);
    const Eigen eigen = principal_components(data_moments(x));
    CHECK(numerical_rank(eigen.values) == 3);
    CHECK(numerical_rank(Fit().eigen.values) == 7);
    CHECK(numerical_rank(Tensor::zeros({4}, DType::f64)) == 0);
    CHECK(ppca_mle_sigma2(eigen.values, 2) > 0);
    for (int64_t k : {3, 4, 5})
      CHECK(mentions(error_of([&] { ppca_mle_sigma2(eigen.values, k); }),
                     "[ppca] the data span only 3 dimensions"));
    CHECK(mentions(error_of([&] { ppca_max_log_likelihood(eigen.values, 3); }), "use fewer than 3"));
  }

  TEST_CASE("what has no answer is told in one line") {
    const Fit fit;
    const double nan = std::nan(""), inf = INFINITY;
    for (int64_t k : {-1, 0})
      CHECK(mentions(error_of([&] { ppca_mle_sigma2(fit.eigen.values, k); }),
                     "[ppca] the latent dimension must be at least 1"));
    for (int64_t k : {7, 8}) {
      CHECK(mentions(error_of([&] { ppca_mle_sigma2(fit.eigen.values, k); }),
                     "must be below the data's dimension 7"));
      CHECK(mentions(error_of([&] { ppca_solution(fit.data, fit.eigen, k, 1); }),
                     "must be below the data's dimension 7"));
      CHECK(mentions(error_of([&] { ppca_max_log_likelihood(fit.eigen.values, k); }),
                     "below the data's dimension 7"));
    }
    const Tensor w = draw({7, 2}, 1);
    for (double sigma2 : {0.0, -1.0, nan, inf}) {
      CAPTURE(sigma2);
      CHECK(
          mentions(error_of([&] { fit.log_likelihood(w, sigma2); }), "sigma^2 must be positive and finite"));
      CHECK(mentions(error_of([&] { ppca_solution(fit.data, fit.eigen, 2, sigma2); }),
                     "sigma^2 must be positive"));
      CHECK(mentions(error_of([&] {
                       ppca_posterior({w, fit.data.mean, sigma2});
                     }),
                     "sigma^2 must be positive"));
      CHECK(mentions(error_of([&] { ppca_escapes(fit.eigen.values, {1}, sigma2); }),
                     "sigma^2 must be positive"));
    }
    for (int64_t component : {0, 8, -3}) {
      CHECK(mentions(error_of([&] {
                       ppca_escapes(fit.eigen.values, {1, component}, 1);
                     }),
                     "[ppca] there is no component"));
      CHECK(mentions(error_of([&] { ppca_stationary_point(fit.data, fit.eigen, {component}, 1, 1); }),
                     "no component"));
    }
    CHECK(mentions(error_of([&] { fit.log_likelihood(draw({6, 2}, 1), 1); }), "]"));  // of another dimension
    CHECK(mentions(error_of([] {
                     data_moments(Tensor::zeros({0, 3}));
                   }),
                   "[data_moments] needs data (N, D)"));
    CHECK(mentions(error_of([] { data_moments(Tensor::zeros({3})); }), "[data_moments] needs data (N, D)"));
    for (double bad : {nan, inf, -inf}) {
      Tensor x = draw({20, 3}, 1);
      x.data<double>()[31] = bad;
      CHECK(error_of([&] { data_moments(x); }) == "[data_moments] the data hold a NaN or an infinity");
    }
  }
}
