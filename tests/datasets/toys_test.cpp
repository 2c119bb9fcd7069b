// Toys: their points have the density that they say, and every set is a function of seed and run alone.
#include "datasets/toys.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "datasets/generators.h"
#include "tensor/linalg.h"
#include "tests/error_of.h"
#include "vae/ppca.h"

namespace elbo {
namespace {

using Values = std::vector<double>;

double mean_of(const Tensor& x) {
  double total = 0;
  for (const double value : x.to_vector()) total += value;
  return total / static_cast<double>(x.elements());
}

double density(const Toy& toy, const Values& x) {
  return std::exp(toy.log_density(Tensor::from<double>({1, static_cast<int64_t>(x.size())}, x)).item());
}

/// ln |det| of a square matrix by Gaussian elimination.
double log_determinant(std::vector<Values> a) {
  double result = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    size_t pivot = i;
    for (size_t r = i; r < a.size(); ++r)
      if (std::abs(a[r][i]) > std::abs(a[pivot][i])) pivot = r;
    std::swap(a[i], a[pivot]);
    result += std::log(std::abs(a[i][i]));
    for (size_t r = i + 1; r < a.size(); ++r)
      for (size_t c = a.size(); c-- > i;) a[r][c] -= a[r][i] / a[i][i] * a[i][c];
  }
  return result;
}

/// Eq. 81 without mu.
Values bent(const Values& x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  Values y;
  for (const double value : x) y.push_back(value / 10 + value / std::sqrt(squares));
  return y;
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("toys: the density of PCA data is pPCA's, and their own points have its mean") {
    for (const int64_t run : {0, 5}) {
      const Toy toy = pca_toy(3, run);
      const Tensor x = toy.draw(20000, Split::train);
      const DataMoments moments = data_moments(x);
      const double exact =
          ppca_log_likelihood({toy.truth.at("weights"), toy.truth.at("mean"), 0.01}, moments);
      CHECK(std::abs(mean_of(toy.log_density(x)) - exact) < 1e-9);
      // Minus the entropy, within 5 standard errors: ln p has the variance D/2.
      const Tensor covariance = Tensor::zeros({10, 10}, DType::f64);
      const Tensor w = toy.truth.at("weights");
      for (int64_t i = 0; i < 10; ++i)
        for (int64_t j = 0; j < 10; ++j)
          covariance.data<double>()[10 * i + j] =
              w.at(2 * i) * w.at(2 * j) + w.at(2 * i + 1) * w.at(2 * j + 1) + (i == j ? 0.01 : 0);
      double entropy = 5 * std::log(2 * std::numbers::pi * std::numbers::e);
      for (const double value : symmetric_eigen(covariance).values.to_vector())
        entropy += 0.5 * std::log(value);
      CHECK(std::abs(exact + entropy) < 5 * std::sqrt(5 / 20000.0));
    }
  }

  TEST_CASE(
      "toys: the ring's density is that of x over the Jacobian, by finite differences in 10 dimensions") {
    for (const int64_t run : {0, 1, 2}) {
      const Toy straight = pca_toy(8, run), ring = ring_toy(8, run);
      const Tensor mu = ring.truth.at("mean");
      const Tensor x = straight.draw(20, Split::train), y = ring.draw(20, Split::train);
      for (int64_t n = 0; n < 20; ++n) {
        Values from = x.slice(n).to_vector();
        for (size_t j = 0; j < 10; ++j) from[j] -= mu.at(static_cast<int64_t>(j));
        const Values to = bent(from);
        for (size_t j = 0; j < 10; ++j)
          CHECK(std::abs(y.at(10 * n + static_cast<int64_t>(j)) - mu.at(static_cast<int64_t>(j)) - to[j]) <
                1e-12);
        std::vector<Values> jacobian(10, Values(10));
        for (size_t c = 0; c < 10; ++c) {
          Values up = from, down = from;
          up[c] += 1e-5, down[c] -= 1e-5;
          const Values a = bent(up), b = bent(down);
          for (size_t r = 0; r < 10; ++r) jacobian[r][c] = (a[r] - b[r]) / 2e-5;
        }
        const double expected = straight.log_density(x.slice(n, n + 1)).item() - log_determinant(jacobian);
        CHECK(std::abs(ring.log_density(y.slice(n, n + 1)).item() - expected) < 1e-6);
      }
    }
  }

  TEST_CASE(
      "toys: in two dimensions the ring's density integrates to 1, and cells hold as many points as it "
      "says") {
    const PcaToyOptions flat{.dimensions = 2, .latent = 1, .sigma = 0.3};
    const Toy ring = ring_toy(4, 0, flat);
    const Tensor mu = ring.truth.at("mean");
    const int64_t points = 40000;
    const Tensor x = ring.draw(points, Split::test);
    // Polar cells about mu: |x'| = |x|/10 + 1, from 1 outwards.
    const int sectors = 8, shells = 4, fine = 40;
    double total = 0;
    for (int sector = 0; sector < sectors; ++sector)
      for (int shell = 0; shell < shells; ++shell) {
        const double edges[] = {1, 1.03, 1.07, 1.12, 1.6};
        const double low = edges[shell], high = edges[shell + 1], width = 2 * std::numbers::pi / sectors;
        double mass = 0, count = 0;
        for (int i = 0; i < fine; ++i)
          for (int j = 0; j < fine; ++j) {
            const double r = low + (high - low) * (i + 0.5) / fine,
                         angle = width * (sector + (j + 0.5) / fine);
            mass += density(ring, {mu.at(0) + r * std::cos(angle), mu.at(1) + r * std::sin(angle)}) * r *
                    (high - low) / fine * width / fine;
          }
        for (int64_t n = 0; n < points; ++n) {
          const double a = x.at(2 * n) - mu.at(0), b = x.at(2 * n + 1) - mu.at(1);
          double angle = std::atan2(b, a);
          if (angle < 0) angle += 2 * std::numbers::pi;
          const double r = std::hypot(a, b);
          count += static_cast<int>(angle / width) == sector && r >= low && r < high ? 1 : 0;
        }
        total += mass;
        const double expected = static_cast<double>(points) * mass;
        CHECK(std::abs(count - expected) < 5 * std::sqrt(expected) + 0.003 * expected + 1);
      }
    CHECK(std::abs(total - 1) < 2e-3);
    CHECK(density(ring, {mu.at(0) + 0.99, mu.at(1)}) == 0);  // nothing is inside
    CHECK(density(ring, mu.to_vector()) == 0);
  }

  TEST_CASE("toys: sets are functions of seed and run, points besides of split and number") {
    const ToySets three =
        draw_sets(ring_toys(), {.sets = 3, .train = 50, .test = 20, .seed = 6, .dtype = DType::f64});
    CHECK(three.train.shape() == Shape{3, 50, 10});
    CHECK(three.test.shape() == Shape{3, 20, 10});
    const ToySets last = draw_sets(
        ring_toys(), {.sets = 1, .first = 2, .train = 30, .test = 20, .seed = 6, .dtype = DType::f64});
    CHECK(last.train.slice(0).to_vector() == three.train.slice(2).slice(0, 30).to_vector());
    CHECK(last.test.to_vector() == three.test.slice(2).to_vector());
    CHECK(last.toys[0].truth.at("weights").to_vector() == three.toys[2].truth.at("weights").to_vector());
    CHECK(three.train.slice(0).to_vector() != three.train.slice(1).to_vector());
    CHECK(three.train.slice(0, 1).slice(0).slice(0, 20).to_vector() != three.test.slice(0).to_vector());
    for (size_t m = 0; m < 3; ++m) {
      const auto set = static_cast<int64_t>(m);
      CHECK(std::abs(three.log_likelihoods(Split::train)[m] -
                     mean_of(three.toys[m].log_density(three.train.slice(set)))) < 1e-12);
      CHECK(std::abs(three.log_likelihoods(Split::test)[m] -
                     mean_of(three.toys[m].log_density(three.test.slice(set)))) < 1e-12);
    }
    const std::vector<Split> splits{Split::train, Split::validation, Split::test};
    for (const Split split : splits)
      for (const Split other : splits) {
        CHECK((three.toys[1].draw(5, split).to_vector() == three.toys[1].draw(5, other).to_vector()) ==
              (split == other));
        CHECK((three.toys[1].latents(5, split).to_vector() == three.toys[1].latents(5, other).to_vector()) ==
              (split == other));
      }
    // Without noise, PCA data are W z + mu.
    const Toy exact = pca_toy(2, 0, {.sigma = 1e-6});
    const Tensor latents = exact.latents(4, Split::validation), made = exact.draw(4, Split::validation);
    for (int64_t i = 0; i < 40; ++i) {
      const Tensor& w = exact.truth.at("weights");
      const int64_t d = i % 10, n = i / 10;
      CHECK(std::abs(made.at(i) - exact.truth.at("mean").at(d) - w.at(2 * d) * latents.at(2 * n) -
                     w.at(2 * d + 1) * latents.at(2 * n + 1)) < 1e-5);
    }
    // The test split's noise is its own, too: where there is hardly anything else, points are far apart.
    const Toy noise = pca_toy(2, 0, {.dimensions = 10, .latent = 2, .sigma = 1000});
    const Tensor a = noise.draw(5, Split::train), b = noise.draw(5, Split::test);
    double apart = 0;
    for (int64_t i = 0; i < 50; ++i) apart += std::abs(a.at(i) - b.at(i)) / 50;
    CHECK(apart > 300);
    CHECK(draw_sets(pca_toys(), {.sets = 1, .train = 5, .test = 5}).train.dtype() == DType::f32);
    CHECK(make_ppca_data(30, 6).x.to_vector() == pca_toy(6, 0).draw(30, Split::train).to_vector());
    CHECK(make_ring_data(30, 6, Split::test).x.to_vector() ==
          ring_toy(6, 0).draw(30, Split::test).to_vector());
    CHECK(error_of([] { draw_sets(pca_toys(), {.sets = 0}); }) == "[toys] at least one set is needed, got 0");
    CHECK(mentions(error_of([] { pca_toy(1, 0).draw(0, Split::train); }), "[toys] cannot make 0 points"));
    CHECK(error_of([] {
            pca_toy(1, 0).log_density(Tensor::zeros({4, 9}, DType::f64));
          }) == "[toys] the log density is of points (N, 10), got (4, 9)");
  }
}

}  // namespace elbo
