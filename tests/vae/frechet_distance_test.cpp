// The Frechet distance of Gaussians: against closed forms, SciPy's matrix square root, and one by
// eigenvectors.
#include "vae/frechet_distance.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/error_of.h"
#include "tests/vae/helpers.h"

using namespace elbo;

namespace {

Tensor orthogonal(int64_t n, uint64_t seed) {
  const Tensor any = draw({n, n}, seed);
  return symmetric_eigen(matmul_tn(any, any).value()).vectors;
}

/// Moments with a covariance Q diag(variances) Q^T, held by one of its roots.
DataMoments moments(const Tensor& mean, const std::vector<double>& variances, const Tensor& q,
                    uint64_t root) {
  const auto n = static_cast<int64_t>(variances.size());
  std::vector<double> deviations;
  for (const double variance : variances) deviations.push_back(std::sqrt(variance));
  const Variable scaled = Variable(q) * Tensor::from<double>({n}, deviations);
  return {.count = 100, .mean = mean, .root = matmul(scaled, orthogonal(n, root)).value(), .rounding = {}};
}

/// tr (A^1/2 B A^1/2)^1/2 by eigenvectors.
double by_eigenvectors(const Tensor& a, const Tensor& b) {
  const Eigen own = symmetric_eigen(a);
  const Tensor roots = sqrt(clamp(Variable(own.values), 0, INFINITY)).value();
  const Variable root = matmul_nt(Variable(own.vectors) * roots, own.vectors);
  double total = 0;
  for (const double value : symmetric_eigen(matmul(matmul(root, b), root).value()).values.to_vector())
    total += std::sqrt(std::max(value, 0.0));
  return total;
}

/// sin(1.3 i + 2.1 j^2 + 0.7 i j), and 1.4 cos(0.9 i (j + 1) + 0.5 j) + 0.3 j.
Tensor wave(int64_t n, bool second) {
  std::vector<double> x;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < 4; ++j)
      x.push_back(second ? 1.4 * std::cos(0.9 * i * (j + 1) + 0.5 * j) + 0.3 * j
                         : std::sin(1.3 * i + 2.1 * j * j + 0.7 * i * j));
  return Tensor::from<double>({n, 4}, x);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("frechet distance: in one dimension, and of covariances that commute, it is known") {
    const auto number = [&](double mean, double deviation) {
      return DataMoments{.count = 9,
                         .mean = Tensor::from<double>({1}, std::vector<double>{mean}),
                         .root = Tensor::from<double>({1, 1}, std::vector<double>{-deviation}),
                         .rounding = {}};
    };
    const FrechetDistance line = frechet_distance(number(1.5, 0.3), number(-0.5, 2));
    CHECK(close(line.squared, 4 + 1.7 * 1.7, 1e-14));
    CHECK(close(line.means, 4, 1e-14));
    CHECK(close(line.covariances, 1.7 * 1.7, 1e-14));

    // sum (sqrt a_i - sqrt b_i)^2, whatever roots hold the covariances.
    const std::vector<double> a{4, 1, 0.25, 0}, b{0.09, 1, 9, 0.5};
    double expected = 0;
    for (size_t i = 0; i < a.size(); ++i) expected += std::pow(std::sqrt(a[i]) - std::sqrt(b[i]), 2);
    const Tensor q = orthogonal(4, 5), nowhere = Tensor::zeros({4}, DType::f64), there = draw({4}, 8);
    const FrechetDistance found = frechet_distance(moments(nowhere, a, q, 1), moments(there, b, q, 2));
    CHECK(close(found.covariances, expected, 1e-13));
    CHECK(close(found.means, sum(square(Variable(there))).item(), 1e-13));
    CHECK(close(found.squared, found.means + found.covariances, 1e-15));
    CHECK(frechet_distance(moments(there, a, q, 1), moments(there, a, q, 3)).squared < 1e-12);
  }

  TEST_CASE("frechet distance: SciPy's sqrtm gives the same, and eigenvectors do") {
    const DataMoments x = data_moments(wave(40, false)), y = data_moments(wave(40, true)),
                      few = data_moments(wave(3, false));
    const FrechetDistance found = frechet_distance(x, y);
    CHECK(close(found.means, 1.2560151890358002, 1e-13));
    CHECK(close(found.covariances, 0.9050337738545395, 1e-12));
    // Three points in four dimensions; the number is by 60 digits, of which roots of small eigenvalues that
    // should be 0 take half in double.
    const FrechetDistance singular = frechet_distance(few, y);
    CHECK(close(singular.means, 1.1546240834219046, 1e-13));
    CHECK(close(singular.covariances, 3.074380580318762, 1e-12));
    const DataMoments wide = data_moments(correlated_data(500, 12, 3)),
                      other = data_moments(correlated_data(400, 12, 9));
    const FrechetDistance of_many = frechet_distance(wide, other);
    CHECK(close(of_many.covariances,
                total_variance(wide) + total_variance(other) -
                    2 * by_eigenvectors(covariance(wide), covariance(other)),
                1e-12));
    CHECK(close(frechet_distance(other, wide).squared, of_many.squared, 1e-13));
  }

  TEST_CASE("frechet distance: moving and turning both sides changes nothing, scaling them its square does") {
    const Tensor x = correlated_data(200, 5, 1), y = correlated_data(150, 5, 7), q = orthogonal(5, 11);
    const double plain = frechet_distance(data_moments(x), data_moments(y)).squared;
    const auto moved = [&](const Tensor& points) {
      return data_moments((3.0 * matmul(Variable(points), q) + Variable(draw({5}, 12))).value());
    };
    CHECK(close(frechet_distance(moved(x), moved(y)).squared, 9 * plain, 1e-12));
    CHECK(plain > 0.1);
    CHECK(error_of([&] { frechet_distance(data_moments(x), data_moments(wave(9, true))); }) ==
          "[frechet] points of 5 and 4 dimensions have no distance");
  }
}
