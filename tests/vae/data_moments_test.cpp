// The moments of data whose dimensions differ by millions, that lie far from zero, or that are fewer than
// their dimensions: where a covariance matrix, formed and then taken apart, would have lost the answer.
#include <doctest/doctest.h>

#include <array>

#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/decoder_alignment.h"
#include "vae/linear_training.h"

using namespace elbo;

namespace {

/// x (N, D) f64 whose covariance is diag(deviations^2): waves over the points, orthogonal to each other and
/// of mean 0.
Tensor waves(int64_t n, const std::vector<double>& deviations) {
  const auto d = static_cast<int64_t>(deviations.size());
  const Tensor x = Tensor::empty({n, d}, DType::f64);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j)
      x.data<double>()[i * d + j] =
          deviations[static_cast<size_t>(j)] * std::sqrt(2.0) *
          std::cos(2 * std::acos(-1.0) * static_cast<double>(i * (j + 1)) / static_cast<double>(n));
  return x;
}

/// An orthogonal matrix (d, d).
Tensor turn(int64_t d) {
  return symmetric_eigen(matmul_tn(draw({d, d}, 3), draw({d, d}, 3)).value()).vectors;
}

/// Mean of ln N(x | model), with the D x D covariance of the model solved by Cholesky.
double direct_log_likelihood(const Ppca& model, const Tensor& x) {
  const int64_t n = x.size(0), d = x.size(1);
  Tensor c = matmul(model.weight, Transpose::no, model.weight, Transpose::yes);
  for (int64_t j = 0; j < d; ++j) c.data<double>()[j * d + j] += model.sigma2;
  const Tensor l = cholesky(c), transposed = Tensor::empty({d, n}, DType::f64);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j) transposed.data<double>()[j * n + i] = x.at(i * d + j) - model.mean.at(j);
  double sum = static_cast<double>(d) * std::log(2 * std::acos(-1.0));
  for (int64_t j = 0; j < d; ++j) sum += 2 * std::log(l.at(j * d + j));
  const Tensor solved = solve_triangular(l, transposed);
  for (const double value : solved.span<double>()) sum += value * value / static_cast<double>(n);
  return -0.5 * sum;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("dimensions of very different scale keep their eigenvalues, along the axes or across them") {
    const std::vector<double> deviations{1e7, 3, 2, 1, 0.5, 0.25};
    const Tensor along = waves(500, deviations);
    const Tensor across = matmul(along, Transpose::no, turn(6), Transpose::no);
    for (const Tensor& x : {along, across, along.to(DType::f32)}) {
      const Eigen eigen = principal_components(data_moments(x));
      CHECK(numerical_rank(eigen.values) == 6);
      // Rounding in x itself: to f64 across the axes, to f32 within each.
      for (int64_t i = 0; i < 6; ++i)
        CHECK(close(std::sqrt(eigen.values.at(i)) / deviations[static_cast<size_t>(i)], 1, 1e-6));
      CHECK(close(ppca_mle_sigma2(eigen.values, 2), (4 + 1 + 0.25 + 0.0625) / 4, 1e-6));
    }
  }

  TEST_CASE("what rounding to f32 adds to data of lower rank is not counted") {
    const Tensor x = matmul(draw({50, 3}, 1), Transpose::no, draw({3, 6}, 2), Transpose::no);
    for (double offset : {0.0, 100.0})
      for (DType dtype : {DType::f32, DType::f64}) {
        CAPTURE(offset);
        const Tensor moved = (Variable(x) + offset).value().to(dtype);
        CHECK(numerical_rank(principal_components(data_moments(moved)).values) == 3);
      }
    CHECK(numerical_rank(principal_components(data_moments(draw({50, 6}, 1, DType::f32))).values) == 6);
  }

  TEST_CASE("of fewer points than dimensions the components are those of the D x D covariance") {
    for (const Shape& size : {Shape{12, 40}, {2, 9}, {39, 40}, {40, 40}, {41, 40}}) {
      CAPTURE(size.str());
      const int64_t n = size[0], d = size[1];
      const Tensor x = correlated_data(n, d, 8);
      const DataMoments data = data_moments(x);
      const Eigen ours = principal_components(data), whole = symmetric_eigen(covariance(data));
      REQUIRE(ours.values.shape() == Shape{d});
      REQUIRE(ours.vectors.shape() == Shape{d, std::min(n, d)});
      CHECK(numerical_rank(ours.values) == std::min(n - 1, d));
      for (int64_t i = 0; i < d; ++i)
        CHECK(std::abs(ours.values.at(i) - whole.values.at(i)) < 1e-13 * whole.values.at(0));
      for (int64_t i = n - 1; i < d; ++i) CHECK(ours.values.at(i) == 0);
      const Tensor times = covariance_times(data, ours.vectors);  // S u = lambda u
      for (int64_t j = 0; j < times.elements(); ++j)
        CHECK(std::abs(times.at(j) - ours.values.at(j % ours.vectors.size(1)) * ours.vectors.at(j)) <
              1e-13 * whole.values.at(0));
      CHECK(close(total_variance(data), trace(covariance(data)).item(), 1e-13));
      if (n < 12) continue;
      const Ppca best = ppca_solution(data, ours, 5, ppca_mle_sigma2(ours.values, 5));
      const double maximum = ppca_max_log_likelihood(ours.values, 5);
      CHECK(close(ppca_log_likelihood(best, data), maximum, 1e-12));
      CHECK(close(direct_log_likelihood(best, x), maximum, 1e-10));
    }
  }

  TEST_CASE("a few points of very many dimensions need no matrix of all these") {
    const int64_t d = 100000;  // 80 GB if squared
    const Tensor x = draw({6, d}, 4, DType::f32);
    const DataMoments data = data_moments(x);
    const Eigen eigen = principal_components(data);
    CHECK(eigen.vectors.shape() == Shape{d, 6});
    CHECK(numerical_rank(eigen.values) == 5);
    const double sigma2 = ppca_mle_sigma2(eigen.values, 3);
    const Ppca best = ppca_solution(data, eigen, 3, sigma2);
    CHECK(close(ppca_log_likelihood(best, data), ppca_max_log_likelihood(eigen.values, 3), 1e-12));
    // With more columns than there are components, the others are zero.
    const Ppca wide = ppca_solution(data, eigen, 8, sigma2);
    CHECK(wide.weight.size(1) == 8);
    for (int64_t column : {5, 6, 7}) CHECK(wide.weight.at(column) == 0);
    LinearVae vae({.dimensions = d, .latent = 8}, 1);
    vae.set_mean(data.mean);
    CHECK(evaluate_linear_vae(linear_vae_weights(vae), data).elbo <
          ppca_log_likelihood({best.weight, data.mean, sigma2}, data));
    CHECK(decoder_alignment(linear_vae_weights(vae), eigen).cosines.size() == 6);
  }

  TEST_CASE("data that leave nothing to explain are told so, and nobody is sent below one dimension") {
    const Tensor point = Tensor::full({20, 4}, 0.1, DType::f64);
    const DataMoments data = data_moments(point);
    CHECK(total_variance(data) == 0);  // exactly
    const Tensor none = principal_components(data).values;
    CHECK(error_of([&] { ppca_mle_sigma2(none, 1); }) ==
          "[ppca] all points are equal, so there is no variance to explain; are these the right data?");
    const Tensor line = matmul(draw({20, 1}, 1), Transpose::no, draw({1, 4}, 2), Transpose::no);
    const Tensor one = principal_components(data_moments(line)).values;
    CHECK(error_of([&] { ppca_max_log_likelihood(one, 1); }) ==
          "[ppca] the points lie on a line, so with any latent dimension sigma^2 would be 0; hold it at a "
          "value");
    CHECK(numerical_rank(principal_components(data_moments(draw({1, 4}, 1))).values) == 0);  // one point
  }

  TEST_CASE("moments are the same whatever the number of threads") {
    const Tensor x = correlated_data(700, 9, 2);
    const int before = threads();
    set_threads(1);
    const DataMoments one = data_moments(x);
    set_threads(3);
    const DataMoments three = data_moments(x);
    set_threads(before);
    CHECK(one.mean.to_vector() == three.mean.to_vector());
    CHECK(one.root.to_vector() == three.root.to_vector());
  }

  TEST_CASE("data far from zero lose nothing to it: centred in f64, with a mean in f64") {
    const Tensor x = correlated_data(400, 5, 6);
    const Tensor far = (Variable(x) + 1e8).value();  // where f32 knows multiples of 8
    const DataMoments here = data_moments(x), there = data_moments(far);
    const Tensor near_zero = centred(x, here.mean, DType::f32);
    const Tensor moved = centred(far, there.mean, DType::f32);
    // 1e8 leaves f64 1.5e-8 of a number; all else is f32's own rounding.
    for (int64_t i = 0; i < x.elements(); ++i) CHECK(std::abs(moved.at(i) - near_zero.at(i)) < 1e-6);
    LinearVae vae({.dimensions = 5, .latent = 2}, 1), other({.dimensions = 5, .latent = 2}, 1);
    vae.set_mean(there.mean);
    other.set_mean(here.mean);
    CHECK(linear_vae_weights(vae).mean.to_vector() == there.mean.to_vector());
    CHECK(close(evaluate_linear_vae(linear_vae_weights(vae), there).elbo,
                evaluate_linear_vae(linear_vae_weights(other), here).elbo, 1e-7));
  }
}
