// The fused ops of variational autoencoders: every row of the op table, and each value against a formula
// written out in loops or against sampling.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "autograd/tape.h"
#include "tensor/map_loops.h"
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

using Op = Variable (*)(const std::vector<Variable>&);

Variable gaussian(const std::vector<Variable>& in) { return gaussian_log_likelihood(in[0], in[1], in[2]); }
Variable diagonal(const std::vector<Variable>& in) {
  return diagonal_gaussian_log_likelihood(in[0], in[1], in[2]);
}
Variable bernoulli(const std::vector<Variable>& in) { return bernoulli_log_likelihood(in[0], in[1]); }

/// The op's value, then the gradient of each input, all for one cotangent of the value.
std::vector<Tensor> value_and_gradients(Op op, const std::vector<Tensor>& inputs, const Tensor& cotangent) {
  std::vector<Parameter> leaves;
  for (const Tensor& input : inputs)
    leaves.push_back({"input", input, Tensor::zeros(input.shape(), input.dtype()), false});
  Tape tape;
  const Variable y = op(std::vector<Variable>(leaves.begin(), leaves.end()));
  tape.backward(y, cotangent);
  std::vector<Tensor> result{y.value()};
  for (const Parameter& leaf : leaves) result.push_back(leaf.gradient);
  return result;
}

/// z and kl of reparameterize_kl and the gradients of mean and log_variance, for cotangents dz and dkl.
struct PosteriorRun {
  Tensor z, kl;
  Parameter mean, log_variance;
  void step(const RandomKey& key, int64_t members, int64_t samples, const Tensor& dz, const Tensor& dkl) {
    Tape tape;
    const PosteriorTerms terms = reparameterize_kl(mean, log_variance, key, members, samples);
    z = terms.z.value();
    kl = terms.kl.value();
    tape.backward(sum(terms.z * dz) + sum(terms.kl * dkl));
  }
};

PosteriorRun run_posterior(const Tensor& mean, const Tensor& log_variance, const RandomKey& key,
                           int64_t members, int64_t samples, const Tensor& dz, const Tensor& dkl) {
  PosteriorRun run{{},
                   {},
                   {"mean", mean, Tensor::zeros(mean.shape(), mean.dtype()), false},
                   {"log_variance", log_variance, Tensor::zeros(log_variance.shape(), mean.dtype()), false}};
  run.step(key, members, samples, dz, dkl);
  return run;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.to_vector() == b.to_vector();
}

/// One sample, before there could be several: the formulas that reparameterize_kl is held to, bit for bit.
struct OneSample {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance, T eps) const {
    return mean + math::exp(T(0.5) * log_variance) * eps;
  }
};
struct OneSampleMeanGradient {
  template <class T>
  ELBO_HD T operator()(T mean, T dz, T dkl) const {
    return dz + dkl * mean;
  }
};
struct OneSampleLogVarianceGradient {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance, T z, T dz, T dkl) const {
    return T(0.5) * (dz * (z - mean) + dkl * math::expm1(log_variance));
  }
};

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("every op of the table: f64 gradient, f32 against f64, fused against twin") {
    for (const OpRow& row : vae_op_table()) {
      const OpCheck check = check_row(row);
      CHECK(check.twin_error >= 0);
    }
  }

  TEST_CASE("every op that vae/ declares has a row, and the whole table has those of autograd too") {
    std::set<std::string> ops = declared_ops("vae/fused.h");
    ops.merge(declared_ops("vae/henze_zirkler.h"));
    ops.merge(declared_ops("vae/linear_squared_error.h"));
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

  TEST_CASE("member m draws all its samples as `normal` draws them for it alone") {
    const RandomKey key{.seed = 3, .member = 4, .stream = kLatentNoise, .step = 9};
    const Tensor mean = draw({3, 5, 2}, 1), log_variance = draw({3, 1, 2}, 2);
    const PosteriorTerms terms = reparameterize_kl(mean, log_variance, key, 3, 7);
    REQUIRE(terms.z.shape() == Shape{3, 7, 5, 2});
    REQUIRE(terms.kl.shape() == Shape{3, 5});
    for (uint32_t m = 0; m < 3; ++m) {
      RandomKey own = key;
      own.member += m;
      const Tensor eps = normal({7, 5, 2}, DType::f64, own), z = terms.z.value().slice(m);
      for (int64_t i = 0; i < 70; ++i)
        CHECK(close(z.at(i),
                    mean.slice(m).at(i % 10) + std::exp(log_variance.at(2 * m + i % 2) / 2) * eps.at(i),
                    1e-14));
    }
    // The KL does not depend on how many are drawn, and the first of them is the one that is drawn alone.
    const PosteriorTerms single = reparameterize_kl(mean, log_variance, key, 3);
    REQUIRE(single.z.shape() == mean.shape());
    CHECK(same(single.kl.value(), terms.kl.value()));
    for (int64_t m = 0; m < 3; ++m) CHECK(same(single.z.value().slice(m), terms.z.value().slice(m).slice(0)));
    // Without members the sample axis is the first.
    CHECK(reparameterize_kl(mean.slice(0), log_variance.slice(0), key, 1, 7).z.shape() == Shape{7, 5, 2});
    CHECK(same(reparameterize_kl(mean.slice(0), draw({2}, 5), key, 1, 7).kl.value(),
               reparameterize_kl(mean.slice(0), draw({2}, 5), key).kl.value()));
  }

  TEST_CASE("samples of several parts are what each part draws by a step of its own") {
    const RandomKey key{.seed = 3, .member = 4, .stream = kLatentNoise, .step = 9};
    const Tensor mean = draw({3, 5, 2}, 1), log_variance = draw({3, 1, 2}, 2);
    const auto part_of = [&](const Tensor& m, const Tensor& lv, int64_t members, int64_t samples,
                             uint64_t part) {
      RandomKey own = key;
      own.step += part;
      return reparameterize_kl(m, lv, own, members, samples).z.value();
    };
    for (int64_t samples : {1, 2}) {
      const PosteriorTerms all = reparameterize_kl(mean, log_variance, key, 3, 4 * samples, 4);
      REQUIRE(all.z.shape() == Shape{3, 4 * samples, 5, 2});
      CHECK(same(all.kl.value(), reparameterize_kl(mean, log_variance, key, 3).kl.value()));
      const Tensor alone =
          reparameterize_kl(mean.slice(0), log_variance.slice(0), key, 1, 4 * samples, 4).z.value();
      CHECK(same(alone, all.z.value().slice(0)));
      for (int64_t part = 0; part < 4; ++part) {
        const Tensor own = part_of(mean, log_variance, 3, samples, static_cast<uint64_t>(part));
        for (int64_t m = 0; m < 3; ++m)
          CHECK(all.z.value().slice(m).slice(part * samples, (part + 1) * samples).to_vector() ==
                own.slice(m).to_vector());
      }
    }
    CHECK(mentions(error_of([&] { reparameterize_kl(mean, log_variance, key, 3, 4, 3); }),
                   "4 samples are not 3 equal parts"));
    CHECK(mentions(error_of([&] { reparameterize_kl(mean, log_variance, key, 3, 4, 0); }), "0 equal parts"));
    CHECK(mentions(error_of([&] { reparameterize_kl(mean, log_variance, key, 2, 4, 2); }),
                   "(3, 5, 2) is not that of 2 members"));
  }

  TEST_CASE("with one sample every bit is what it was before there could be several") {
    const RandomKey key{.seed = 3, .stream = kLatentNoise};
    for (DType dtype : {DType::f32, DType::f64}) {
      const Tensor mean = draw({2, 70, 33}, 1, dtype), dz = draw({2, 70, 33}, 3, dtype),
                   dkl = draw({2, 70}, 4, dtype), dkl_point = dkl.reshape({2, 70, 1}),
                   eps = normal({2, 70, 33}, dtype, key, 2);
      for (const Shape& shape : {Shape{2, 70, 33}, Shape{2, 1, 33}, Shape{33}}) {
        const Tensor log_variance = draw(shape, 2, dtype);
        const PosteriorRun run = run_posterior(mean, log_variance, key, 2, 1, dz, dkl);
        const Tensor z = map(OneSample{}, mean, log_variance, eps);
        CHECK(same(run.z, z));
        CHECK(same(run.mean.gradient, map(OneSampleMeanGradient{}, mean, dz, dkl_point)));
        Tensor gradient = Tensor::empty(shape, dtype);
        if (shape == mean.shape())
          map_into(gradient, OneSampleLogVarianceGradient{}, mean, log_variance, z, dz, dkl_point);
        else
          map_reduce_into<Sum>(gradient, false, OneSampleLogVarianceGradient{}, mean, log_variance, z, dz,
                               dkl_point);
        CHECK(same(run.log_variance.gradient, gradient));
      }
    }
  }

  TEST_CASE("gradients of several samples: summed over them, the KL counted once, added to what is there") {
    const int64_t samples = 6, n = 4, k = 3;
    const RandomKey key{.seed = 3, .stream = kLatentNoise};
    const Tensor mean = draw({n, k}, 1), log_variance = draw({n, k}, 2), dz = draw({samples, n, k}, 3),
                 dkl = draw({n}, 4), eps = normal({samples, n, k}, DType::f64, key);
    PosteriorRun run = run_posterior(mean, log_variance, key, 1, samples, dz, dkl);
    for (int round = 1; round <= 2; ++round) {
      for (int64_t i = 0; i < n * k; ++i) {
        double by_mean = dkl.at(i / k) * mean.at(i),
               by_log_variance = dkl.at(i / k) * (std::exp(log_variance.at(i)) - 1) / 2;
        for (int64_t s = 0; s < samples; ++s) {
          by_mean += dz.at(s * n * k + i);
          by_log_variance +=
              dz.at(s * n * k + i) * eps.at(s * n * k + i) * std::exp(log_variance.at(i) / 2) / 2;
        }
        CHECK(close(run.mean.gradient.at(i), round * by_mean, 1e-13));
        CHECK(close(run.log_variance.gradient.at(i), round * by_log_variance, 1e-13));
      }
      run.step(key, 1, samples, dz, dkl);
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

  TEST_CASE("the Gaussian log-likelihood of samples is that of each sample, with and without members") {
    const Tensor x = draw({5, 4}, 1), mean = draw({2, 3, 5, 4}, 2), log_sigma2 = draw({2, 1, 1}, 3);
    const Tensor y = gaussian_log_likelihood(x, mean, log_sigma2).value();
    REQUIRE(y.shape() == Shape{2, 3, 5});
    for (int64_t m = 0; m < 2; ++m) {
      const Tensor own = log_sigma2.slice(m).reshape({1});
      const double sigma2 = std::exp(own.item());
      CHECK(same(gaussian_log_likelihood(x, mean.slice(m), own).value(), y.slice(m)));
      for (int64_t s = 0; s < 3; ++s)
        for (int64_t p = 0; p < 5; ++p) {
          double expected = 0;
          for (int64_t j = 0; j < 4; ++j) {
            const double offset = x.at(4 * p + j) - mean.slice(m).slice(s).at(4 * p + j);
            expected -= 0.5 * (offset * offset / sigma2 + std::log(2 * std::acos(-1.0) * sigma2));
          }
          CHECK(close(y.slice(m).slice(s).at(p), expected, 1e-13));
        }
    }
  }

  TEST_CASE("the diagonal log-likelihood is a product of one-dimensional densities") {
    const auto of_one = [](double x, double mean, double log_variance) {
      const auto point = [](double value) { return Tensor::full({1, 1}, value, DType::f64); };
      return diagonal_gaussian_log_likelihood(point(x), point(mean), point(log_variance)).item();
    };
    // By hand: N(0|0, 1) = 1 / sqrt(2 pi) = 0.39894228; N(3|1, 4) = e^-1/2 / sqrt(8 pi) = 0.12098536;
    // N(1|1.5, 1/4) = 2 e^-1/2 / sqrt(2 pi) = 0.48394145.
    CHECK(close(of_one(0, 0, 0), std::log(0.3989422804014327), 1e-14));
    CHECK(close(of_one(3, 1, std::log(4.0)), std::log(0.12098536225957168), 1e-14));
    CHECK(close(of_one(1, 1.5, -std::log(4.0)), std::log(0.48394144903828670), 1e-14));
    const int64_t n = 6, d = 4;
    const Tensor x = draw({n, d}, 1), mean = draw({2, 3, n, d}, 2), log_variance = draw({2, 3, n, d}, 3);
    const Tensor y = diagonal_gaussian_log_likelihood(x, mean, log_variance).value();
    REQUIRE(y.shape() == Shape{2, 3, n});
    for (int64_t p = 0; p < 6 * n; ++p) {
      double expected = 0;
      for (int64_t j = 0; j < d; ++j) {
        const double variance = std::exp(log_variance.at(p * d + j)),
                     offset = x.at(p % n * d + j) - mean.at(p * d + j);
        expected +=
            std::log(std::exp(-offset * offset / (2 * variance)) / std::sqrt(2 * std::acos(-1.0) * variance));
      }
      CHECK(close(y.at(p), expected, 1e-12));
    }
    // With one variance everywhere it is the other one.
    const Tensor flat = Tensor::full({n, d}, -0.7, DType::f64), sigma2 = Tensor::full({1}, -0.7, DType::f64);
    const Tensor ours = diagonal_gaussian_log_likelihood(x, mean.slice(0).slice(0), flat).value(),
                 theirs = gaussian_log_likelihood(x, mean.slice(0).slice(0), sigma2).value();
    for (int64_t p = 0; p < n; ++p) CHECK(close(ours.at(p), theirs.at(p), 1e-13));
  }

  TEST_CASE("the diagonal log-likelihood bears any variance that has a likelihood in f32") {
    // In f32 e^-lv is infinite at -100, which is not to meet an error of 0. There: no error; an error of 2 in
    // units of sigma; at +100 neither matters.
    const float small = std::exp(-50.0f);
    const auto row = [](const std::vector<float>& values) { return Tensor::from<float>({4, 1}, values); };
    const std::vector<Tensor> result = value_and_gradients(
        diagonal,
        {row({0.5f, 2 * small, 0.5f, 3.0f}), row({0.5f, 0.0f, 0.5f, 0.0f}), row({-100, -100, 100, 100})},
        Tensor::full({4}, 1));
    const double half = kLog2Pi / 2;
    const double expected[] = {50 - half, 48 - half, -50 - half, -50 - half};
    const double by_log_variance[] = {-0.5, 1.5, -0.5, -0.5};
    const double by_mean[] = {0, 2 / std::exp(-50.0), 0, 3 * std::exp(-100.0)};
    for (int64_t p = 0; p < 4; ++p) {
      CAPTURE(p);
      CHECK(close(result[0].at(p), expected[p], 1e-6));
      CHECK(close(result[3].at(p), by_log_variance[p], 1e-5));
      CHECK(std::abs(result[2].at(p) - by_mean[p]) <= 1e-5 * by_mean[p] + 1e-37);
      CHECK(result[1].at(p) == -result[2].at(p));
    }
  }

  TEST_CASE("the Bernoulli log-likelihood is the logarithm of the probability, for bits and intensities") {
    const auto of_one = [](double x, double p) {
      return bernoulli_log_likelihood(Tensor::full({1, 1}, x, DType::f64),
                                      Tensor::full({1, 1}, std::log(p / (1 - p)), DType::f64))
          .item();
    };
    CHECK(close(of_one(1, 0.75), std::log(0.75), 1e-15));
    CHECK(close(of_one(0, 0.75), std::log(0.25), 1e-15));
    CHECK(close(of_one(1, 0.001), std::log(0.001), 1e-15));
    CHECK(close(of_one(0.5, 0.75), 0.5 * std::log(3.0 / 16), 1e-15));
    CHECK(close(of_one(0.2, 0.5), -std::log(2.0), 1e-15));
    // All patterns of three bits, and only they, have probability 1 between them; x is shared by members and
    // samples.
    Tensor bits = Tensor::empty({8, 3}, DType::f64);
    for (int64_t i = 0; i < 24; ++i) bits.data<double>()[i] = static_cast<double>(i / 3 >> (i % 3) & 1);
    const Tensor one = draw({2, 4, 1, 3}, 1);
    const Tensor logits = broadcast_to(one, {2, 4, 8, 3}).value();
    const Tensor y = bernoulli_log_likelihood(bits, logits).value();
    REQUIRE(y.shape() == Shape{2, 4, 8});
    for (int64_t row = 0; row < 8; ++row) {
      double total = 0;
      for (int64_t pattern = 0; pattern < 8; ++pattern) {
        double product = 1;
        for (int64_t j = 0; j < 3; ++j) {
          const double p = 1 / (1 + std::exp(-one.at(3 * row + j)));
          product *= bits.at(3 * pattern + j) == 1 ? p : 1 - p;
        }
        CHECK(close(std::exp(y.at(8 * row + pattern)), product, 1e-14));
        total += std::exp(y.at(8 * row + pattern));
      }
      CHECK(close(total, 1, 1e-14));
    }
  }

  TEST_CASE("the Bernoulli log-likelihood is exact and finite however large the logits") {
    std::vector<double> bits, signed_sizes;
    for (double size : {0.0, 1e-3, 0.3, 1.0, 5.0, 20.0, 80.0, 100.0, 1e4})
      for (double logit : {size, -size})
        for (double x : {0.0, 1.0, 0.25}) {
          signed_sizes.push_back(logit);
          bits.push_back(x);
        }
    const auto n = static_cast<int64_t>(bits.size());
    for (DType dtype : {DType::f32, DType::f64}) {
      const double tolerance = dtype == DType::f32 ? 1e-6 : 1e-14;
      // Relative, down to where e^-|l| is no longer a normal number in f32.
      const auto agrees = [&](double got, double expected) {
        return std::isfinite(got) && std::abs(got - expected) <= tolerance * std::abs(expected) + 1e-37;
      };
      const Tensor x = Tensor::from<double>({n, 1}, bits).to(dtype),
                   logits = Tensor::from<double>({n, 1}, signed_sizes).to(dtype);
      const std::vector<Tensor> result =
          value_and_gradients(bernoulli, {x, logits}, Tensor::full({n}, -2, dtype));
      for (int64_t i = 0; i < n; ++i) {
        const double bit = x.at(i), logit = logits.at(i);
        CAPTURE(logit);
        CAPTURE(bit);
        // The library's functions, each on the side where nothing cancels.
        const double tail = std::log1p(std::exp(-std::abs(logit))), log_p = std::min(logit, 0.0) - tail,
                     log_not_p = std::min(-logit, 0.0) - tail;
        const double p = 1 / (1 + std::exp(-logit)), not_p = 1 / (1 + std::exp(logit));
        CHECK(agrees(result[0].at(i), bit * log_p + (1 - bit) * log_not_p));
        CHECK(agrees(result[1].at(i), -2 * logit));
        CHECK(agrees(result[2].at(i), -2 * (bit * not_p - (1 - bit) * p)));
      }
    }
  }

  TEST_CASE("likelihoods of many dimensions in f32 are those in f64") {
    const int64_t n = 20, d = 784;
    const Tensor dy = draw({n}, 9), x = draw({n, d}, 1), mean = draw({n, d}, 2),
                 log_variance = draw({n, d}, 3),
                 pixels = uniform({n, d}, DType::f64, {.seed = 4, .stream = kTestInput});
    const std::pair<Op, std::vector<Tensor>> cases[] = {
        {gaussian, {x, mean, draw({1}, 5)}},
        {diagonal, {x, mean, log_variance}},
        {bernoulli, {pixels, (4.0 * Variable(mean)).value()}}};
    for (const auto& [op, inputs] : cases) {
      std::vector<Tensor> singles, rounded;  // the inputs as f32 has them, in both types
      for (const Tensor& input : inputs) {
        singles.push_back(input.to(DType::f32));
        rounded.push_back(singles.back().to(DType::f64));
      }
      const Tensor dy_single = dy.to(DType::f32);
      const std::vector<Tensor> single = value_and_gradients(op, singles, dy_single),
                                exact = value_and_gradients(op, rounded, dy_single.to(DType::f64));
      for (size_t k = 0; k < exact.size(); ++k) {
        double worst = 0;
        for (int64_t i = 0; i < exact[k].elements(); ++i)
          worst = std::max(
              worst, std::abs(single[k].at(i) - exact[k].at(i)) / std::max(1.0, std::abs(exact[k].at(i))));
        CAPTURE(k);
        CHECK(worst < (k == 0 ? 3e-7 : 1e-5));  // gradients of log_sigma2 cancel between points
      }
    }
  }

  TEST_CASE("a member of an ensemble has the values and gradients that it has alone, bit for bit") {
    const int64_t members = 3, samples = 5, n = 37, d = 45;
    const Shape all{members, samples, n, d};
    const Tensor x = uniform({n, d}, DType::f32, {.seed = 4, .stream = kTestInput}),
                 mean = draw(all, 1, DType::f32), log_variance = draw(all, 2, DType::f32),
                 log_sigma2 = draw({members, 1, 1}, 3, DType::f32),
                 dy = draw({members, samples, n}, 4, DType::f32);
    const std::pair<Op, std::vector<Tensor>> cases[] = {
        {gaussian, {x, mean, log_sigma2}}, {diagonal, {x, mean, log_variance}}, {bernoulli, {x, mean}}};
    for (const auto& [op, inputs] : cases) {
      const std::vector<Tensor> together = value_and_gradients(op, inputs, dy);
      for (int64_t m = 0; m < members; ++m) {
        std::vector<Tensor> own{x};
        for (size_t k = 1; k < inputs.size(); ++k) own.push_back(inputs[k].slice(m));
        const std::vector<Tensor> alone = value_and_gradients(op, own, dy.slice(m));
        CHECK(same(together[0].slice(m), alone[0]));
        for (size_t k = 1; k < inputs.size(); ++k) CHECK(same(together[k + 1].slice(m), alone[k + 1]));
      }
    }
    const RandomKey key{.seed = 3, .member = 2, .stream = kLatentNoise};
    const Tensor dkl = draw({members, n}, 5, DType::f32), means = draw({members, n, d}, 6, DType::f32);
    for (const Shape& shape : {Shape{members, n, d}, Shape{members, 1, d}}) {
      const Tensor spread = draw(shape, 7, DType::f32);
      const PosteriorRun together = run_posterior(means, spread, key, members, samples, mean, dkl);
      for (int64_t m = 0; m < members; ++m) {
        RandomKey own = key;
        own.member += static_cast<uint32_t>(m);
        const PosteriorRun alone =
            run_posterior(means.slice(m), spread.slice(m), own, 1, samples, mean.slice(m), dkl.slice(m));
        CHECK(same(together.z.slice(m), alone.z));
        CHECK(same(together.kl.slice(m), alone.kl));
        CHECK(same(together.mean.gradient.slice(m), alone.mean.gradient));
        CHECK(same(together.log_variance.gradient.slice(m), alone.log_variance.gradient));
      }
    }
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

  TEST_CASE("the cost of a batch is weight times the mean KL less the mean log-likelihood") {
    const auto draw = [](const Shape& shape, uint64_t step) {
      return normal(shape, DType::f64, {.seed = 8, .stream = kTestInput, .step = step});
    };
    const auto mean_of = [](const Tensor& x) {
      const std::vector<double> numbers = x.to_vector();
      return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
    };
    const Tensor likelihood = draw({3, 4, 50}, 0), kl = draw({3, 50}, 1);
    const Tensor weight = Tensor::from<double>({3}, {1, 0, 0.25});
    const BatchCost made = batch_cost(likelihood, kl, weight);
    for (int64_t m = 0; m < 3; ++m) {
      const double a = mean_of(likelihood.slice(m)), b = mean_of(kl.slice(m));
      CHECK(std::abs(made.log_likelihood.at(m) - a) < 1e-14);
      CHECK(std::abs(made.kl.at(m) - b) < 1e-14);
      CHECK(std::abs(made.cost.value().at(m) - (weight.at(m) * b - a)) < 1e-14);
      // As it is alone, bit for bit.
      const BatchCost alone = batch_cost(likelihood.slice(m), kl.slice(m), weight.slice(m).reshape({}));
      CHECK(alone.cost.value().item() == made.cost.value().at(m));
    }
    CHECK(mentions(error_of([&] {
                     batch_cost(likelihood, draw({2, 50}, 1), weight);
                   }),
                   "[batch_cost] kl (2, 50) has no points of the members of weight (3,)"));
    CHECK(mentions(error_of([&] { batch_cost(draw({}, 1), draw({5}, 1), Tensor::full({}, 1, DType::f64)); }),
                   "[batch_cost] log_likelihood () has no points"));
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
    CHECK(mentions(error_of([&] { reparameterize_kl(x, x, key, 1, 0); }), "[reparameterize_kl] 0 samples"));
    CHECK(mentions(error_of([&] { reparameterize_kl(d, d, key, 1, 2); }), "(N, k) or (M, N, k), got (2,)"));
    // Without a check the two samples would pass for the two members.
    CHECK(mentions(error_of([&] { reparameterize_kl(v, v, key, 2, 2); }), "got (2, 4) for 2 members"));
    CHECK(
        mentions(error_of([&] { gaussian_log_likelihood(x, w, s); }), "[gaussian_log_likelihood] x (6, 4)"));
    CHECK(mentions(error_of([&] { gaussian_log_likelihood(x, x, Tensor::zeros({4})); }), "log_sigma2 (4,)"));
    CHECK(error_of([&] { diagonal_gaussian_log_likelihood(x, x, Tensor::zeros({4})); }) ==
          "[diagonal_gaussian_log_likelihood] log_variance (4,) must have the shape of mean, (6, 4)");
    CHECK(mentions(error_of([&] { diagonal_gaussian_log_likelihood(w, x, x); }),
                   "x (4, 2) does not broadcast to mean (6, 4)"));
    CHECK(error_of([&] { bernoulli_log_likelihood(x, w); }) ==
          "[bernoulli_log_likelihood] x (6, 4) does not broadcast to logits (4, 2)");
  }
}
