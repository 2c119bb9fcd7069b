// Two stages: what the second is made of, the z that it is trained on, and draws from both, where the
// decoders' laws are known.
#include "vae/two_stage.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "vae/elbo_loss.h"
#include "vae/two_sample.h"

using namespace elbo;

namespace {

/// Codes of n points, k units and members, with means i + 100 j + 1000 m.
Codes numbered(int64_t members, int64_t n, int64_t k, double log_variance) {
  std::vector<double> mean;
  for (int64_t m = 0; m < std::max<int64_t>(members, 1); ++m)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < k; ++j) mean.push_back(static_cast<double>(i + 100 * j + 1000 * m));
  const Shape shape = members > 0 ? Shape{members, n, k} : Shape{n, k};
  return {Tensor::from<double>(shape, mean), Tensor::full(shape, log_variance, DType::f64)};
}

DeepVae first_stage(int64_t members, int64_t first_member = 0) {
  return DeepVae({.dimensions = 4,
                  .latent = 3,
                  .encoder_hidden = {6},
                  .decoder_hidden = {5},
                  .dtype = DType::f64,
                  .members = members,
                  .first_member = first_member},
                 1);
}

/// z with mean b and covariance W W^T + gamma^2 I.
void set_linear(DeepVae& vae, const Tensor& w, const Tensor& b, double gamma) {
  vae.parameters().at("decoder.0.weight").value.copy_from(w);
  vae.parameters().at("decoder.0.bias").value.copy_from(b);
  vae.parameters().at("log_sigma2").value.fill(2 * std::log(gamma));
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("two stages: the second is a VAE of z, with gamma learned and random numbers of its own") {
    const DeepVae first = first_stage(2);
    DeepVae second(second_stage(first, {.hidden = {8, 7}, .sigma2 = 0.5}, 10), 1);
    CHECK(second.dimensions() == 3);
    CHECK(second.latent() == 3);
    CHECK(second.models() == 2);
    CHECK(second.first_member() == 10);
    CHECK(second.dtype() == DType::f64);
    CHECK(second.has_scalar_sigma2());
    CHECK(second.learns_sigma2(1));
    CHECK(close(second.sigma2(1), 0.5, 1e-12));
    CHECK(second.options().encoder_hidden == std::vector<int64_t>{8, 7});
    CHECK(second.options().decoder_hidden == std::vector<int64_t>{8, 7});
    CHECK(SecondStage{}.hidden == std::vector<int64_t>{1024, 1024, 1024});
    CHECK(!DeepVae(second_stage(first_stage(0), {.hidden = {4}}, 10), 1).has_members());
  }

  TEST_CASE("two stages: an epoch's batches hold every point once, each with noise drawn anew") {
    const int64_t n = 11;
    const DeepVae first = first_stage(0);
    const BatchSource exact = code_batches(first, numbered(0, n, 3, -200), 4, 5);
    CHECK(exact.per_epoch == 3);
    std::vector<int64_t> order[2];
    for (int64_t step = 0; step < 6; ++step) {
      const Tensor z = exact.batch(step);
      CHECK(z.shape() == Shape{step % 3 == 2 ? 3 : 4, 3});
      for (int64_t i = 0; i < z.size(0); ++i) {
        order[step / 3].push_back(std::llround(z.at(3 * i)));
        CHECK(z.at(3 * i + 2) == z.at(3 * i) + 200);
      }
    }
    CHECK(order[0] != order[1]);
    for (auto& points : order) CHECK(std::set(points.begin(), points.end()).size() == static_cast<size_t>(n));

    // sigma = 1/2: noise of that deviation, new in each step, the same whenever a step is asked for.
    const Codes codes{Tensor::zeros({n, 3}, DType::f64), Tensor::full({n, 3}, std::log(0.25), DType::f64)};
    const BatchSource noisy = code_batches(first, codes, n, 5);
    Estimate mean, square;
    std::set<double> seen;
    for (int64_t step = 0; step < 200; ++step)
      for (const double value : noisy.batch(step).to_vector()) {
        seen.insert(value);
        mean.add(value);
        square.add(value * value);
      }
    CHECK(std::abs(mean.mean()) < 4 * mean.standard_error());
    CHECK(std::abs(square.mean() - 0.25) < 4 * square.standard_error());
    CHECK(seen.size() > static_cast<size_t>(0.999 * 200 * 3 * n));
    CHECK(noisy.batch(7).to_vector() == noisy.batch(7).to_vector());
    CHECK(noisy.batch(7).to_vector() != code_batches(first, codes, n, 6).batch(7).to_vector());
    // It is not the noise that the training of the second stage draws in that step.
    const Tensor own = normal({n, 3}, DType::f64, {.seed = 5, .stream = kLatentNoise, .step = 7});
    CHECK(noisy.batch(7).at(0) != 0.5 * own.at(0));
  }

  TEST_CASE("two stages: a member's z, noise and draws are those that it would have alone") {
    const DeepVae all = first_stage(3), alone = first_stage(0, 2);
    const Codes codes = numbered(3, 9, 3, 0.3), own{codes.mean.slice(2), codes.log_variance.slice(2)};
    for (const int64_t step : {0, 3})
      CHECK(code_batches(all, codes, 4, 1).batch(step).slice(2).to_vector() ==
            code_batches(alone, own, 4, 1).batch(step).to_vector());
    const DeepVae seconds(second_stage(all, {.hidden = {5}}, 10), 1),
        second(second_stage(alone, {.hidden = {5}}, 12), 1);
    const TwoStageDraws of_all = draw_two_stages(all, seconds, 6, 4),
                        of_one = draw_two_stages(alone, second, 6, 4);
    CHECK(of_all.z.shape() == Shape{3, 6, 3});
    CHECK(of_all.x.shape() == Shape{3, 6, 4});
    CHECK(of_all.z.slice(2).to_vector() == of_one.z.to_vector());
    CHECK(of_all.x.slice(2).to_vector() == of_one.x.to_vector());
    CHECK(error_of([&] { code_batches(all, own, 4, 1); }) ==
          "[two-stage] codes (9, 3) are not those of this model");
    CHECK(error_of([&] { draw_two_stages(all, second, 6, 4); }) ==
          "[two-stage] 1 models of 3 dimensions are no second stage of 3 with 3 latent ones");
  }

  TEST_CASE("two stages: of a linear second stage z has its Gaussian's moments, and x is the first's mean") {
    const DeepVae first = first_stage(0);
    DeepVae second(second_stage(first, {.hidden = {}}, 10), 1);
    const Tensor w = draw({3, 3}, 3), b = draw({3}, 4);
    const double gamma = 0.7;
    set_linear(second, w, b, gamma);
    const int64_t n = 20000;
    const TwoStageDraws drawn = draw_two_stages(first, second, n, 9);
    const Tensor expected = matmul_nt(Variable(w), w).value();
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        Estimate mean, product;
        for (int64_t point = 0; point < n; ++point) {
          const double a = drawn.z.at(3 * point + i) - b.at(i), c = drawn.z.at(3 * point + j) - b.at(j);
          mean.add(a);
          product.add(a * c);
        }
        CHECK(std::abs(mean.mean()) < 4 * mean.standard_error());
        CHECK(std::abs(product.mean() - expected.at(3 * i + j) - (i == j ? gamma * gamma : 0)) <
              4 * product.standard_error());
      }
    CHECK(drawn.x.to_vector() == first.decode(drawn.z).mean.value().to_vector());
  }

  TEST_CASE("two stages: z in two heaps, which no draw of the prior is like, are learned") {
    const DeepVae first({.dimensions = 2, .latent = 1, .encoder_hidden = {}, .decoder_hidden = {}}, 1);
    const int64_t n = 400;
    std::vector<double> means;
    for (int64_t i = 0; i < n; ++i) means.push_back(i % 2 == 0 ? 1 : -1);
    const Codes codes{Tensor::from<double>({n, 1}, means).to(DType::f32),
                      Tensor::full({n, 1}, 2 * std::log(0.1), DType::f32)};
    DeepVae second(second_stage(first, {.hidden = {16, 16}}, 10), 1);
    const int64_t steps = 500;
    Training training(second.parameters(), {{.loss = elbo_loss(second), .steps = steps, .rates = {1e-2}}},
                      code_batches(first, codes, 100, 1), {.seed = 1});
    while (training.step()) {
    }
    const Tensor z = draw_codes(codes, {.seed = 2, .stream = kTestInput}),
                 drawn = draw_two_stages(first, second, n, 3).z,
                 prior = normal({n, 1}, DType::f64, {.seed = 4, .stream = kTestInput});
    const auto near_zero = [](const Tensor& points) {
      const std::vector<double> values = points.to_vector();
      return std::count_if(values.begin(), values.end(), [](double value) { return std::abs(value) < 0.3; });
    };
    CHECK(near_zero(prior) > n / 6);
    CHECK(near_zero(z) < n / 30);
    CHECK(near_zero(drawn) < n / 10);
    const auto apart = [&](const Tensor& points) {
      return smooth_knn(points, z, {.sharpness = 10}).statistic;
    };
    CHECK(apart(drawn) < 0.7 * apart(prior));
    CHECK(second.sigma2() < 0.2);
  }
}
