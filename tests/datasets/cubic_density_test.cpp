// The density of cubes of Gaussian pairs: of one-dimensional integrals where it is made of such, of closed
// forms in its limits, and of sums over finer grids, from wide priors to degenerate ones.
#include "datasets/cubic_density.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include "tensor/math.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"

using namespace elbo;

namespace {

using Pair = std::array<double, 2>;

Tensor covariance_of(double a, double b, double c) { return Tensor::from<double>({2, 2}, {a, b, b, c}); }

double density(const Tensor& covariance, double variance, const Pair& x, double finer = 1) {
  return cubic_log_density(covariance, variance, Tensor::from<double>({1, 2}, {x[0], x[1]}), finer).item();
}

/// ln of the integral of e^-f(z) over low..high, by 400 000 midpoints.
template <class F>
double log_integral(const F& f, double low, double high) {
  constexpr int kCount = 400000;
  const double step = (high - low) / kCount;
  double least = std::numeric_limits<double>::infinity(), sum = 0;
  for (int i = 0; i < kCount; ++i) least = std::min(least, f(low + (i + 0.5) * step));
  for (int i = 0; i < kCount; ++i) {
    const double off = f(low + (i + 0.5) * step) - least;
    if (off < 60) sum += std::exp(-off);
  }
  return std::log(sum * step) - least;
}

double normal_exponent(double off, double variance) { return 0.5 * off * off / variance; }
double cube(double u) { return u * u * u; }

/// ln p(x) of x = (s z)^3 + noise in one dimension, z ~ N(0, 1) within -reach..reach.
double one_dimension(double s, double variance, double x, double reach) {
  return log_integral([&](double z) { return 0.5 * z * z + normal_exponent(x - cube(s * z), variance); },
                      -reach, reach) -
         math::kLogTwoPi - 0.5 * std::log(variance);
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("cubic density: of independent coordinates it is that of two one-dimensional integrals") {
    // From priors far narrower than the likelihood to far wider ones, and points that neither expects: the
    // prior holds z at 0 in the fourth, and at a compromise in the fifth.
    struct Case {
      double s1, s2, variance;
      Pair x;
    };
    for (const Case& c : {Case{1, 0.7, 0.004, {0.3, -0.8}},
                          {1e-3, 2, 0.01, {0.2, 5}},
                          {0.02, 0.05, 1e-3, {0.01, -0.09}},
                          {0.05, 0.1, 1e-2, {2, 0.5}},
                          {0.3, 0.25, 1e-2, {3, -2}},
                          {5, 2, 0.5, {90, -30}},
                          {3, 1e-5, 4, {0, 1.5}},
                          {20, 0.4, 1e-2, {0, 1e-4}}}) {
      CAPTURE(c.s1);
      CAPTURE(c.s2);
      const double expected =
          one_dimension(c.s1, c.variance, c.x[0], 30) + one_dimension(c.s2, c.variance, c.x[1], 30);
      const Tensor covariance = covariance_of(c.s1 * c.s1, 0, c.s2 * c.s2);
      CHECK(close(density(covariance, c.variance, c.x), expected, 1e-9));
      // Nor does it matter which coordinate is the first.
      CHECK(close(density(covariance_of(c.s2 * c.s2, 0, c.s1 * c.s1), c.variance, {c.x[1], c.x[0]}), expected,
                  1e-9));
    }
  }

  TEST_CASE("cubic density: where the covariance is degenerate, it is that of one integral") {
    for (const Pair& a : {Pair{0.8, 0.5}, {0.3, -1.2}, {2, 1e-3}})
      for (const double variance : {1e-3, 0.3})
        for (const Pair& at : {Pair{0.4, 0.4}, {-1.1, -1.3}, {0.1, 2}}) {  // the last needs two different z
          const Pair x{cube(a[0] * at[0]) + 0.02, cube(a[1] * at[1]) - 0.01};
          const double expected = log_integral(
                                      [&](double z) {
                                        return 0.5 * z * z +
                                               normal_exponent(x[0] - cube(a[0] * z), variance) +
                                               normal_exponent(x[1] - cube(a[1] * z), variance);
                                      },
                                      -12, 12) -
                                  1.5 * math::kLogTwoPi - std::log(variance);
          // The rest of the prior moves the density by about what it is of the likelihood's width, squared.
          const double rest = 1e-13;
          const Tensor covariance = covariance_of(a[0] * a[0] + rest, a[0] * a[1], a[1] * a[1] + rest);
          CHECK(close(density(covariance, variance, x), expected, 1e-7));
        }
  }

  TEST_CASE("cubic density: limits of hardly any prior, and of hardly any noise") {
    // x is all noise: the cubes are some 1e-18.
    const Tensor point = covariance_of(1e-12, 0.9e-12, 1e-12);
    for (const Pair& x : {Pair{0, 0}, {0.3, -0.2}, {-7, 40}})
      for (const double variance : {1e-4, 2.0})
        CHECK(close(density(point, variance, x),
                    -normal_exponent(x[0], variance) - normal_exponent(x[1], variance) - math::kLogTwoPi -
                        std::log(variance),
                    1e-10));
    // x is all cube: the density of u, by the change of variables.
    const Tensor wide = covariance_of(2, -1.5, 3);
    const double determinant = 2 * 3 - 1.5 * 1.5;
    for (const Pair& u : {Pair{0.5, 0.5}, {-1, 2}, {2, -0.5}}) {
      const double exponent = 0.5 * (3 * u[0] * u[0] + 3 * u[0] * u[1] + 2 * u[1] * u[1]) / determinant;
      const double expected =
          -exponent - math::kLogTwoPi - 0.5 * std::log(determinant) - std::log(9 * u[0] * u[0] * u[1] * u[1]);
      CHECK(close(density(wide, 1e-13, {cube(u[0]), cube(u[1])}), expected, 1e-8));
    }
  }

  TEST_CASE("cubic density: no finer grid says otherwise, and it integrates to 1") {
    struct Case {
      Tensor covariance;
      double variance;
      Pair x;
    };
    for (const Case& c : {Case{covariance_of(0.04, 0.0199, 0.01), 0.004, {0.1, 0.02}},
                          {covariance_of(1e-4, 1e-3, 1), 1e-6, {-0.002, 0.7}},
                          {covariance_of(1, 0.999999, 1), 1e-4, {1, 0.2}},
                          {covariance_of(1e4, -3, 1e-3), 0.1, {-700, 0.3}},
                          {covariance_of(9e-4, 0, 9e-4), 0.05, {8, 8}}}) {
      const double ours = density(c.covariance, c.variance, c.x);
      CHECK(close(density(c.covariance, c.variance, c.x, 1.7), ours, 1e-10));
    }
    // A prior that is narrower than the likelihood everywhere.
    const Tensor narrow = covariance_of(0.02, 0.0139, 0.01);
    double total = 0;
    const double step = 0.1;
    std::vector<double> grid;
    for (double a = -1.5; a < 1.55; a += step)
      for (double b = -1.5; b < 1.55; b += step) grid.insert(grid.end(), {a, b});
    const Tensor points = Tensor::from<double>({static_cast<int64_t>(grid.size() / 2), 2}, grid);
    for (const double value : cubic_log_density(narrow, 0.04, points).to_vector())
      total += std::exp(value) * step * step;
    CHECK(close(total, 1, 1e-8));
  }

  TEST_CASE("cubic density: what f64 cannot tell is refused") {
    const Tensor fine = covariance_of(1, 0.2, 1);
    const double none = std::nan(""), inf = std::numeric_limits<double>::infinity();
    CHECK(std::isnan(density(fine, 1, {none, inf})));
    CHECK(density(fine, 1, {0, -inf}) == -inf);
    CHECK(mentions(error_of([&] { density(fine, 1e-40, {3, 4}); }), "closer together than f64 has them"));
    CHECK(mentions(error_of([&] { density(fine, 1, {1e200, 0}); }), "closer together than f64 has them"));
    CHECK(mentions(error_of([&] { density(fine, 0, {3, 4}); }), "[cubic_log_density] a covariance"));
    CHECK(mentions(error_of([&] { density(fine, inf, {3, 4}); }), "[cubic_log_density] a covariance"));
    for (const Tensor& wrong : {covariance_of(1, 1, 1), covariance_of(1, 2, 1), covariance_of(0, 0, 1),
                                covariance_of(none, 0, 1), Tensor::from<double>({2, 2}, {1, 0.1, 0.2, 1})})
      CHECK(mentions(error_of([&] { density(wrong, 1, {3, 4}); }), "symmetric and positive definite"));
  }
}
