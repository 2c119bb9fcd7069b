// The fused ops of variational autoencoders: every row of the op table, and each value against a formula
// written out in loops or against sampling.
#include <doctest/doctest.h>

#include <array>
#include <set>

#include "autograd/tape.h"
#include "tests/check_row.h"
#include "tests/declared_ops.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/fused.h"
#include "vae/op_table.h"

using namespace elbo;

namespace {

const double kLog2Pi = std::log(2 * std::acos(-1.0));

/// Recipe: the ELBO of Lucas et al. 2019, Eqs. 16, 19 and 20 as printed, point by point; x is centred.
double elbo_in_loops(const Tensor& x, const Tensor& w, const Tensor& v, const Tensor& log_variance,
                     double log_sigma2) {
  const int64_t n = x.size(0), d = x.size(1), k = w.size(1);
  const double sigma2 = std::exp(log_sigma2);
  double total = 0;
  for (int64_t p = 0; p < n; ++p) {
    std::vector<double> code, reconstruction;
    for (int64_t i = 0; i < k; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < d; ++j) sum += v.at(i * d + j) * x.at(p * d + j);
      code.push_back(sum);
    }
    double kl = 0, noise = 0;
    for (int64_t i = 0; i < k; ++i) {
      const double variance = std::exp(log_variance.at(i));
      kl += 0.5 * (-std::log(variance) + code[static_cast<size_t>(i)] * code[static_cast<size_t>(i)] +
                   variance - 1);
      for (int64_t j = 0; j < d; ++j) noise += variance * w.at(j * k + i) * w.at(j * k + i);
    }
    double inner = -noise;
    for (int64_t j = 0; j < d; ++j) {
      double wz = 0;
      for (int64_t i = 0; i < k; ++i) wz += w.at(j * k + i) * code[static_cast<size_t>(i)];
      const double xj = x.at(p * d + j);
      inner += -wz * wz + 2 * xj * wz - xj * xj;
    }
    total += -kl + inner / (2 * sigma2) - 0.5 * static_cast<double>(d) * (kLog2Pi + log_sigma2);
  }
  return total / static_cast<double>(n);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("every op of the table: f64 gradient, f32 against f64, fused against twin") {
    for (const OpRow& row : vae_op_table()) {
      const OpCheck check = check_row(row);
      CHECK((check.twin_error >= 0) == (check.name != "gaussian_kl"));  // which is not fused
    }
  }

  TEST_CASE("every op declared in fused.h has a row, and the whole table has those of autograd too") {
    const std::set<std::string> ops = declared_ops("vae/fused.h");
    CHECK(ops.size() >= 5);
    CHECK(ops.contains("reparameterize_kl"));
    CHECK_FALSE(ops.contains("reparameterize_kl_twin"));
    std::set<std::string> rows, all;
    for (const OpRow& row : vae_op_table()) rows.insert(row.name);
    for (const OpRow& row : op_table()) all.insert(row.name);
    for (const std::string& op : ops) {
      CAPTURE(op);
      CHECK(rows.contains(op));
      CHECK(all.contains(op));
    }
    for (const std::string& row : rows) CHECK(ops.contains(row));
    for (const std::string& op : declared_ops("autograd/ops.h")) CHECK(all.contains(op));
    CHECK(op_table().size() == autograd_op_table().size() + vae_op_table().size());
  }

  TEST_CASE("the KL of a sample is the closed form, and what sampling log q - log p gives") {
    constexpr int64_t n = 100000;
    const double mean[] = {0.7, -1.2}, log_variance[] = {-0.5, 0.8};
    Tensor means = Tensor::empty({n, 2}, DType::f64);
    for (int64_t i = 0; i < 2 * n; ++i) means.data<double>()[i] = mean[i % 2];
    const PosteriorTerms terms =
        reparameterize_kl(means, Tensor::from<double>({2}, {-0.5, 0.8}), {.seed = 3, .stream = kLatentNoise});
    REQUIRE(terms.z.shape() == Shape{n, 2});
    REQUIRE(terms.kl.shape() == Shape{n});
    double expected = 0;
    for (int i = 0; i < 2; ++i)
      expected += 0.5 * (mean[i] * mean[i] + std::exp(log_variance[i]) - 1 - log_variance[i]);
    CHECK(close(terms.kl.value().at(0), expected, 1e-13));
    CHECK(close(terms.kl.value().at(n - 1), expected, 1e-13));
    Estimate kl, spread[2];
    for (int64_t p = 0; p < n; ++p) {
      double log_ratio = 0;
      for (int i = 0; i < 2; ++i) {
        const double z = terms.z.value().at(2 * p + i), offset = z - mean[i];
        log_ratio += 0.5 * (z * z - offset * offset / std::exp(log_variance[i]) - log_variance[i]);
        spread[i].add(offset * offset);
      }
      kl.add(log_ratio);
    }
    MESSAGE("KL " << expected << ", sampled " << kl.mean() << " +- " << kl.standard_error());
    CHECK(kl.standard_error() < 0.02);
    CHECK(std::abs(kl.mean() - expected) < 4 * kl.standard_error());
    for (int i = 0; i < 2; ++i)
      CHECK(std::abs(spread[i].mean() - std::exp(log_variance[i])) < 4 * spread[i].standard_error());
  }

  TEST_CASE("a sample is mean + sigma eps with the noise of its key, each member's its own") {
    const RandomKey key{.seed = 3, .member = 4, .stream = kLatentNoise, .step = 9};
    const Tensor mean = draw({3, 5, 2}, 1), log_variance = draw({3, 1, 2}, 2);
    const Tensor z = reparameterize_kl(mean, log_variance, key, 3).z.value();
    for (uint32_t m = 0; m < 3; ++m) {
      RandomKey own = key;
      own.member += m;
      const Tensor eps = normal({5, 2}, DType::f64, own);
      for (int64_t i = 0; i < 10; ++i)
        CHECK(close(z.slice(m).at(i),
                    mean.slice(m).at(i) + std::exp(log_variance.at(2 * m + i % 2) / 2) * eps.at(i), 1e-14));
    }
  }

  TEST_CASE("the log-likelihood is that of a Gaussian of D dimensions, constants and all") {
    const int64_t n = 6, d = 4;
    const Tensor x = draw({n, d}, 1), mean = draw({n, d}, 2);
    const double log_sigma2 = -0.7, sigma2 = std::exp(log_sigma2);
    const Tensor y = gaussian_log_likelihood(x, mean, Tensor::full({1}, log_sigma2, DType::f64)).value();
    REQUIRE(y.shape() == Shape{n});
    for (int64_t p = 0; p < n; ++p) {
      double expected = 0;  // a product of D one-dimensional densities
      for (int64_t j = 0; j < d; ++j) {
        const double offset = x.at(p * d + j) - mean.at(p * d + j);
        expected +=
            std::log(std::exp(-offset * offset / (2 * sigma2)) / std::sqrt(2 * std::acos(-1.0) * sigma2));
      }
      CHECK(close(y.at(p), expected, 1e-12));
    }
    // Where the mean is exact only the constant is left: it has D in it, which the paper's Eq. 10 drops.
    const Tensor exact = gaussian_log_likelihood(x, x, Tensor::full({1}, log_sigma2, DType::f64)).value();
    for (int64_t p = 0; p < n; ++p) CHECK(close(exact.at(p), -0.5 * d * (kLog2Pi + log_sigma2), 1e-14));
  }

  TEST_CASE("the sigma^2 that the log-likelihood implies is the squared error per dimension") {
    const int64_t n = 50, d = 7;
    const Tensor x = draw({n, d}, 1), reconstruction = draw({n, d}, 2);
    double error = 0;
    for (int64_t i = 0; i < n * d; ++i) error += std::pow(x.at(i) - reconstruction.at(i), 2);
    const double implied = error / static_cast<double>(n * d);
    Parameter log_sigma2{"log_sigma2", Tensor::full({1}, std::log(implied), DType::f64),
                         Tensor::zeros({1}, DType::f64)};
    const auto slope_and_value = [&](double factor) {
      log_sigma2.value.fill(std::log(implied * factor));
      log_sigma2.has_gradient = false;
      Tape tape;
      const Variable value = elbo::mean(gaussian_log_likelihood(x, reconstruction, log_sigma2));
      tape.backward(value);
      return std::pair(log_sigma2.gradient.item(), value.item());
    };
    CHECK(std::abs(slope_and_value(1).first) < 1e-12);
    CHECK(slope_and_value(0.9).first > 0.1);
    CHECK(slope_and_value(1.1).first < -0.1);
    CHECK(close(slope_and_value(1).second, -0.5 * d * (kLog2Pi + std::log(implied) + 1), 1e-13));
  }

  TEST_CASE("the linear VAE's ELBO, from points, from covariance and as twin, is the papers' formula") {
    // More and fewer points than dimensions; k = 1, between, and D.
    for (auto [n, d, k] : {std::array<int64_t, 3>{9, 4, 2}, {3, 6, 1}, {11, 3, 3}, {1, 5, 4}}) {
      const Tensor x = draw({n, d}, 1), w = draw({2, d, k}, 2), v = draw({2, k, d}, 3),
                   log_variance = draw({2, k}, 4), log_sigma2 = draw({2, 1}, 5);
      const Tensor covariance = (matmul_tn(x, x) / static_cast<double>(n)).value();
      const Tensor both = linear_vae_elbo(x, w, v, log_variance, log_sigma2).value();
      REQUIRE(both.shape() == Shape{2});
      for (int64_t m = 0; m < 2; ++m) {
        const Tensor wm = w.slice(m), vm = v.slice(m), lm = log_variance.slice(m), sm = log_sigma2.slice(m);
        const double expected = elbo_in_loops(x, wm, vm, lm, sm.item());
        CHECK(close(both.at(m), expected, 1e-12));
        const Variable single = linear_vae_elbo(x, wm, vm, lm, sm);
        CHECK(single.rank() == 0);
        CHECK(close(single.item(), expected, 1e-12));
        CHECK(close(linear_vae_elbo_from_covariance(covariance, wm, vm, lm, sm).item(), expected, 1e-12));
        CHECK(close(linear_vae_elbo_twin(x, wm, vm, lm, sm).item(), expected, 1e-12));
      }
    }
  }

  TEST_CASE("operands that do not fit are told in one line") {
    const Tensor x = Tensor::zeros({6, 4}), w = Tensor::zeros({4, 2}), v = Tensor::zeros({2, 4}),
                 d = Tensor::zeros({2}), s = Tensor::zeros({1});
    CHECK(error_of([&] {
            linear_vae_elbo(x, Tensor::zeros({5, 2}), v, d, s);
          }) == "[linear_vae_elbo] the data have 4 dimensions, the decoder (5, 2) is for 5");
    CHECK(mentions(error_of([&] { linear_vae_elbo(x, w, w, d, s); }), "[linear_vae_elbo] shapes disagree"));
    CHECK(mentions(error_of([&] { linear_vae_elbo(x, w, v, Tensor::zeros({3}), s); }), "log_variance (3,)"));
    CHECK(mentions(error_of([&] { linear_vae_elbo(x, w, v, d, Tensor::zeros({2})); }), "log_sigma2 (2,)"));
    CHECK(mentions(error_of([&] { linear_vae_elbo(x, d, v, d, s); }), "(D, k) or (M, D, k)"));
    CHECK(mentions(error_of([&] { linear_vae_elbo(Tensor::zeros({0, 4}), w, v, d, s); }), "N > 0"));
    CHECK(mentions(error_of([&] { linear_vae_elbo(x.to(DType::f64), w, v, d, s); }), "f64"));
    CHECK(mentions(error_of([&] { linear_vae_elbo_from_covariance(x, w, v, d, s); }),
                   "must be (D, D), got (6, 4)"));
    const RandomKey key{};
    CHECK(mentions(error_of([&] { reparameterize_kl(x, Tensor::zeros({3}), key); }),
                   "log_variance (3,) does not broadcast to mean (6, 4)"));
    CHECK(mentions(error_of([&] { reparameterize_kl(x, x, key, 5); }),
                   "5 members need a first axis of that size"));
    CHECK(mentions(error_of([&] { reparameterize_kl(x, x, key, 0); }), "0 members"));
    CHECK(
        mentions(error_of([&] { gaussian_log_likelihood(x, w, s); }), "[gaussian_log_likelihood] x (6, 4)"));
    CHECK(mentions(error_of([&] { gaussian_log_likelihood(x, x, Tensor::zeros({4})); }), "log_sigma2 (4,)"));
  }
}
