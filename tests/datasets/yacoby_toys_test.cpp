// The toys of Yacoby et al.: their points are what they say, and their densities are those of closed forms
// and of sums over fine grids.
#include "datasets/yacoby_toys.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numbers>

#include "datasets/cubic_density.h"
#include "datasets/mobius_network.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/source_file.h"
#include "tests/vae/helpers.h"

namespace elbo {
namespace {

using Values = std::vector<double>;
constexpr double kPi = std::numbers::pi;

struct Kind {
  const char* name;
  MakeToy make;
  int64_t dimensions;
};
const std::array<Kind, 4>& kinds() {
  static const std::array<Kind, 4> all{Kind{"linear-jtex", linear_jtex_toys(), 2},
                                       {"cubic-jtex", cubic_jtex_toys(), 2},
                                       {"gaussian", gaussian_toys(), 4},
                                       {"mobius", mobius_toys(), 2}};
  return all;
}

double mean_of(const Tensor& x) {
  double total = 0;
  for (const double value : x.to_vector()) total += value;
  return total / static_cast<double>(x.elements());
}

Tensor rows(const std::vector<std::array<double, 2>>& points) {
  const Tensor x = Tensor::empty({static_cast<int64_t>(points.size()), 2}, DType::f64);
  for (size_t n = 0; n < points.size(); ++n)
    for (size_t i = 0; i < 2; ++i) x.data<double>()[2 * n + i] = points[n][i];
  return x;
}

double normal_density(double x, double variance) {
  return std::exp(-0.5 * x * x / variance) / std::sqrt(2 * kPi * variance);
}

/// The integral over z of N(z) N(x | f(z), variance), as a sum over a square grid about a centre.
template <class F>
double density_by_grid(const F& f, const std::array<double, 2>& x, double variance, double centre1,
                       double centre2, double half, int count) {
  const double step = 2 * half / count;
  double sum = 0;
  for (int i = 0; i < count; ++i)
    for (int j = 0; j < count; ++j) {
      const double z1 = centre1 - half + (i + 0.5) * step, z2 = centre2 - half + (j + 0.5) * step;
      const std::array<double, 2> y = f(z1, z2);
      const double a = x[0] - y[0], b = x[1] - y[1];
      sum += std::exp(-0.5 * ((a * a + b * b) / variance + z1 * z1 + z2 * z2));
    }
  return sum * step * step / (4 * kPi * kPi * variance);
}

ReluNet net_of(const Values& w, const Values& b, const Values& v, const Values& c) {
  const auto hidden = static_cast<int64_t>(b.size());
  return {Tensor::from<double>({hidden, 2}, w), Tensor::from<double>({hidden}, b),
          Tensor::from<double>({2, hidden}, v), Tensor::from<double>({2}, c)};
}

/// f by loops of the test's own.
std::array<double, 2> value_of(const ReluNet& net, double z1, double z2) {
  const int64_t hidden = net.hidden_bias.elements();
  const double *w = net.hidden_weight.data<double>(), *b = net.hidden_bias.data<double>(),
               *v = net.output_weight.data<double>();
  std::array<double, 2> y{net.output_bias.at(0), net.output_bias.at(1)};
  for (int64_t j = 0; j < hidden; ++j) {
    const double input = w[2 * j] * z1 + w[2 * j + 1] * z2 + b[j];
    if (input <= 0) continue;
    y[0] += v[j] * input;
    y[1] += v[hidden + j] * input;
  }
  return y;
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("Yacoby's toys: sets are functions of seed and run, and their z made their points") {
    for (const Kind& kind : kinds()) {
      CAPTURE(kind.name);
      const ToySetsOptions options{
          .sets = 2, .train = 40, .validation = 30, .test = 20, .seed = 5, .dtype = DType::f64};
      const ToySets two = draw_sets(kind.make, options);
      CHECK(two.train.shape() == Shape{2, 40, kind.dimensions});
      CHECK(two.validation.shape() == Shape{2, 30, kind.dimensions});
      CHECK(two.test.shape() == Shape{2, 20, kind.dimensions});
      const Toy toy = kind.make(5, 1);
      CHECK(toy.name == kind.name);
      CHECK(toy.draw(10, Split::train).to_vector() == two.train.slice(1).slice(0, 10).to_vector());
      CHECK(toy.draw(10, Split::validation).to_vector() == two.validation.slice(1).slice(0, 10).to_vector());
      CHECK(toy.latents(10, Split::test).to_vector() ==
            toy.latents(20, Split::test).slice(0, 10).to_vector());
      CHECK(std::abs(two.log_likelihoods(Split::validation)[1] -
                     mean_of(toy.log_density(two.validation.slice(1)))) < 1e-12);
      std::vector<Values> seen;
      for (const Toy& each : {kind.make(5, 0), toy, kind.make(6, 1)})
        for (const Split split : {Split::train, Split::validation, Split::test})
          for (const Values& values :
               {each.latents(20, split).to_vector(), each.draw(20, split).to_vector()}) {
            for (const Values& other : seen) CHECK(values != other);
            seen.push_back(values);
          }
      CHECK(mentions(error_of([&] { toy.draw(3, Split::all); }), "[toys] a toy has points for training"));
    }
    const ToySets without = draw_sets(linear_jtex_toys(), {.train = 4, .test = 4});
    CHECK(!without.validation.defined());
    CHECK(without.log_likelihoods(Split::validation).empty());
    CHECK(draw_sets(pca_toys(), {.train = 4, .validation = 7, .test = 4}).validation.shape() ==
          Shape{1, 7, 10});
    CHECK(mentions(error_of([] { linear_jtex_toy(0, 0, {.sigma2 = 0.01, .floor = 0.01}); }),
                   "[toys] the floor"));
  }

  TEST_CASE("Yacoby's toys: what is left of x without f(z) has the noise's variance") {
    const int64_t points = 4000;
    for (const Kind& kind : kinds()) {
      CAPTURE(kind.name);
      const Toy toy = kind.make(3, 0);
      const Tensor x = toy.draw(points, Split::train), z = toy.latents(points, Split::train);
      const ReluNet net = mobius_network();
      double squares = 0;
      Estimate with_z1, with_z2;  // noise that is z's own
      for (int64_t n = 0; n < points; ++n) {
        const double z1 = z.at(2 * n), z2 = z.at(2 * n + 1);
        Values y;
        if (toy.name == "gaussian") {
          const Values a{-0.7074, 0.0995, 0.0286, 0.1240, 0.7074, 0.9948, -0.9995, 0.9920};
          for (size_t i = 0; i < 4; ++i) y.push_back(z1 * a[i] + z2 * a[4 + i]);
        } else if (toy.name == "mobius") {
          const auto value = value_of(net, z1, z2);
          y.assign(value.begin(), value.end());
        } else {  // the root of [.631 .875; .875 3.256]
          const double l11 = std::sqrt(0.631), l21 = 0.875 / l11, l22 = std::sqrt(3.256 - l21 * l21);
          y = {l11 * z1, l21 * z1 + l22 * z2};
          if (toy.name == "cubic-jtex")
            for (double& value : y) value = std::pow(value, 3);
        }
        for (int64_t i = 0; i < kind.dimensions; ++i) {
          const double left = x.at(n * kind.dimensions + i) - y[static_cast<size_t>(i)];
          squares += left * left;
          if (i == 0) with_z1.add(left * z1);
          if (i == 1) with_z2.add(left * z2);
        }
      }
      const auto count = static_cast<double>(points * kind.dimensions);
      const double expected = toy.name == "gaussian" ? 1e-6 : toy.name == "mobius" ? 1e-5 : 0.004;
      CHECK(std::abs(squares / count / expected - 1) < 5 * std::sqrt(2 / count));
      CHECK(std::abs(with_z1.mean()) < 5 * with_z1.standard_error());
      CHECK(std::abs(with_z2.mean()) < 5 * with_z2.standard_error());
      CHECK(std::abs(toy.truth.at("noise_variance").item() / expected - 1) < 1e-12);
    }
  }

  TEST_CASE("Yacoby's toys: the linear densities are pPCA's") {
    for (const auto& [toy, known] :
         {std::pair{linear_jtex_toy(2, 0), "factor"}, std::pair{gaussian_toy(2, 0), "weight"}}) {
      const Tensor x = toy.draw(200, Split::test);
      // L L^T is not A A^T, but what the noise lacks is in it.
      const double sigma2 = toy.name == "gaussian" ? 1e-6 : 0.01;
      const Ppca model{toy.truth.at(known), Tensor::zeros({toy.dimensions}, DType::f64), sigma2};
      const double expected = ppca_log_likelihood(model, data_moments(x));
      CHECK(close(mean_of(toy.log_density(x)), expected, 1e-8));
    }
  }

  TEST_CASE("CubicJTEx: the density is that of a sum over a fine grid of z, and integrates to 1") {
    const double l11 = std::sqrt(0.631), l21 = 0.875 / l11, l22 = std::sqrt(3.256 - l21 * l21);
    const auto f = [&](double z1, double z2) {
      return std::array{std::pow(l11 * z1, 3), std::pow(l21 * z1 + l22 * z2, 3)};
    };
    const Toy toy = cubic_jtex_toy(0, 0);
    for (const std::array<double, 2> x : {std::array{0.0, 0.0}, {0.5, -0.02}, {-0.9, 1.6}, {0.03, 0.4}}) {
      const double expected = std::log(density_by_grid(f, x, 0.004, 0, 0, 6, 1500));
      CHECK(close(toy.log_density(rows({x})).item(), expected, 1e-7));
    }
    // Points that the model makes, and some that it does not: no finer grid says otherwise.
    const Tensor x = toy.draw(30, Split::test);
    const Tensor covariance = Tensor::from<double>({2, 2}, {0.631, 0.875, 0.875, 3.256});
    for (const Tensor& points : {x, rows({{40, -900}, {1e-3, 1e5}, {-20, 1e-9}})}) {
      const Values ours = cubic_log_density(covariance, 0.004, points).to_vector(),
                   finer = cubic_log_density(covariance, 0.004, points, 2.3).to_vector();
      for (size_t n = 0; n < ours.size(); ++n) CHECK(close(ours[n], finer[n], 1e-11));
    }
    CHECK(toy.log_density(x).to_vector() ==
          cubic_log_density(covariance, toy.truth.at("noise_variance").item(), x).to_vector());
    // Where the noise is wide, the density is smooth enough for a coarse sum over x.
    const Tensor narrow = Tensor::from<double>({2, 2}, {0.3, 0.1, 0.1, 0.2});
    double total = 0;
    const double step = 0.4;
    std::vector<std::array<double, 2>> grid;
    for (double a = -9; a < 9; a += step)
      for (double b = -9; b < 9; b += step) grid.push_back({a, b});
    for (const double value : cubic_log_density(narrow, 0.3, rows(grid)).to_vector())
      total += std::exp(value) * step * step;
    CHECK(std::abs(total - 1) < 1e-3);  // what is beyond 9
    CHECK(mentions(error_of([&] { toy.log_density(Tensor::zeros({3, 4}, DType::f64)); }), "points (N, 2)"));
  }

  TEST_CASE("ReLU nets: where all units are on, the density is the linear model's") {
    // f(z) = W z + c, written with units that are on wherever the prior is.
    const ReluNet net = net_of({0.05, 0.02, -0.03, 0.08}, {10, 10}, {1, 0, 0, 1}, {-10, -10});
    const Ppca model{Tensor::from<double>({2, 2}, {0.05, 0.02, -0.03, 0.08}), Tensor::zeros({2}, DType::f64),
                     1e-5};
    // The last two are so far off that hardly any z gives them.
    for (const std::array<double, 2> x :
         {std::array{0.0, 0.0}, {0.03, -0.1}, {-0.12, 0.15}, {0.4, 0.4}, {-0.3, 0.7}}) {
      const double expected = ppca_log_likelihood(model, data_moments(rows({x})));
      CHECK(close(relu_log_density(net, 1e-5, rows({x})).item(), expected, 1e-7));
    }
  }

  TEST_CASE("ReLU nets: across a kink, the density is the closed form's") {
    // f(z) = (s relu(z_1 - c), s z_2): x_1 is noise where z_1 < c, and beyond a part of N(-s c, s^2 + v).
    const double s = 0.09, v = 1e-5, c = 0.3137;
    const ReluNet net = net_of({1, 0, 0, 1, 0, -1}, {-c, 0, 0}, {s, 0, 0, 0, s, -s}, {0, 0});
    const auto above = [](double x) { return 0.5 * std::erfc(x / std::sqrt(2)); };
    for (const double x1 : {-0.008, -0.002, 0.0, 0.001, 0.004, 0.02, 0.11})
      for (const double x2 : {0.0, -0.05, 0.2}) {
        const double total = s * s + v, y1 = x1 + s * c;
        const double mean = s * y1 / total, deviation = std::sqrt(v / total);
        const double first = (1 - above(c)) * normal_density(x1, v) +
                             normal_density(y1, total) * above((c - mean) / deviation);
        const double expected = std::log(first * normal_density(x2, total));
        CHECK(std::abs(relu_log_density(net, v, rows({{x1, x2}})).item() - expected) < 2e-5);
      }
  }

  TEST_CASE("ReLU nets: any net's density is that of a sum over a fine grid, and bad input is refused") {
    const Values w = draw({7, 2}, 3).to_vector(), b = draw({7}, 4).to_vector(),
                 v = draw({2, 7}, 5).to_vector();
    const ReluNet net = net_of(w, b, v, {0.1, -0.4});
    const auto f = [&](double z1, double z2) { return value_of(net, z1, z2); };
    for (const std::array<double, 2> x : {std::array{0.3, -0.5}, {1.5, 1.0}, {-4.0, 2.0}})
      CHECK(std::abs(relu_log_density(net, 0.04, rows({x})).item() -
                     std::log(density_by_grid(f, x, 0.04, 0, 0, 7, 1200))) < 2e-4);
    const Tensor z = draw({5, 2}, 6), y = apply(net, z);
    for (int64_t n = 0; n < 5; ++n)
      for (size_t i = 0; i < 2; ++i)
        CHECK(close(y.at(2 * n + static_cast<int64_t>(i)), f(z.at(2 * n), z.at(2 * n + 1))[i], 1e-12));
    const double none = std::nan(""), inf = std::numeric_limits<double>::infinity();
    CHECK(std::isnan(relu_log_density(net, 0.04, rows({{none, 0}})).item()));
    CHECK(relu_log_density(net, 0.04, rows({{inf, 0}})).item() == -inf);
    CHECK(relu_log_density(net, 1e-5, rows({{0, 1e9}})).item() == -inf);
    CHECK(mentions(error_of([&] { relu_log_density(net, -1, z); }), "must be positive"));
    ReluNet wrong = net;
    wrong.output_bias = Tensor::zeros({3}, DType::f64);
    CHECK(mentions(error_of([&] { relu_log_density(wrong, 1, z); }), "the network must"));
    CHECK(mentions(error_of([&] { relu_log_density(net, 1, draw({4, 3}, 1)); }), "points (N, 2)"));
  }

  TEST_CASE("Mobius: the density is that of a sum over a fine grid, and of smaller squares") {
    const Toy toy = mobius_toy(1, 0);
    const Tensor x = toy.draw(60, Split::test), z = toy.latents(60, Split::test);
    const ReluNet net = mobius_network();
    const auto f = [&](double z1, double z2) { return value_of(net, z1, z2); };
    const Values ours = toy.log_density(x).to_vector(), finer = relu_log_density(net, 1e-5, x, 3).to_vector();
    for (size_t n = 0; n < ours.size(); ++n) CHECK(std::abs(ours[n] - finer[n]) < 2e-5);
    for (int64_t n = 0; n < 3; ++n) {
      // f maps no other part of the plane near to x: all within 8 deviations of the z that made it.
      const double expected =
          density_by_grid(f, {x.at(2 * n), x.at(2 * n + 1)}, 1e-5, z.at(2 * n), z.at(2 * n + 1), 0.6, 700);
      CHECK(std::abs(ours[static_cast<size_t>(n)] - std::log(expected)) < 1e-4);
    }
  }

  TEST_CASE("Mobius: the stored network is the fitted one, bit for bit, and close to the transform") {
    const ReluNet net = mobius_network();
    CHECK(net.hidden_weight.shape() == Shape{50, 2});
    CHECK(fingerprint(net) == std::string(kMobiusFingerprint));
    CHECK(mobius_network_source(net) == read_file(source_file("datasets/mobius_network.cpp")));
    ReluNet other = mobius_network();
    other.output_bias.data<double>()[1] = std::nextafter(other.output_bias.at(1), 1);
    CHECK(fingerprint(other) != std::string(kMobiusFingerprint));
    // (1 + 4i) / (7 + 4i), and -1 - 4i goes to 0.
    const Tensor by_hand = mobius_transform(rows({{0, 0}, {-1, -4}}));
    CHECK(close(by_hand.at(0), 23.0 / 65, 1e-15));
    CHECK(close(by_hand.at(1), 24.0 / 65, 1e-15));
    CHECK(by_hand.at(2) == 0);
    CHECK(by_hand.at(3) == 0);
    const Tensor z = draw({5000, 2}, 9);
    const Values ours = apply(net, z).to_vector(), exact = mobius_transform(z).to_vector();
    double squares = 0;
    for (size_t i = 0; i < ours.size(); ++i) squares += std::pow(ours[i] - exact[i], 2) / 5000;
    CHECK(std::sqrt(squares) < 3e-3);  // the noise's deviation
  }
}

}  // namespace elbo
