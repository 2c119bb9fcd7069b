// ln p(x) by quadrature over one latent dimension: against closed forms where there are any, against a sum
// over a fine grid where there are none.
#include "vae/latent_quadrature.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/linear_gaussian.h"
#include "vae/parts.h"

namespace elbo {
namespace {

constexpr Initializer kDrawn{Initializer::Kind::normal, 0.8};

using MakeDecoder = Decoder (*)(ParameterStore& store);

/// A VAE of three dimensions and one latent one, about its decoder and prior alone.
std::unique_ptr<Vae> vae_of(MakeDecoder decoder, int64_t members,
                            Likelihood likelihood = Likelihood::gaussian, DType dtype = DType::f64,
                            int64_t latent = 1) {
  return std::make_unique<Vae>(
      VaeOptions{.dimensions = 3, .latent = latent, .dtype = dtype, .members = members},
      [&](ParameterStore& store) {
        Network mean = network(Linear(store, "encoder.mean", 3, latent, kDrawn));
        Encoder encoder = encoder_of(std::move(mean), same_for_all(store, "encoder.log_variance", latent));
        Prior prior = learned_prior(store, latent);
        return Parts{.encoder = std::move(encoder),
                     .prior = std::move(prior),
                     .decoder = decoder(store),
                     .likelihood = likelihood};
      },
      5);
}

Decoder linear_decoder(ParameterStore& store) {
  Network mean = network(Linear(store, "decoder", 1, 3, kDrawn, Activation::none, Linear::Bias::none));
  return decoder_of(std::move(mean), one_number(store, "log_sigma2"));
}

Decoder curved_decoder(ParameterStore& store) {
  Network mean = network(Sequential(store, "decoder", {1, 6, 3}, Activation::tanh, kDrawn));
  return decoder_of(std::move(mean), one_number(store, "log_sigma2", -3));
}

Decoder varying_decoder(ParameterStore& store) {
  Network mean = network(Sequential(store, "decoder", {1, 5, 3}, Activation::relu, kDrawn, true));
  Network heads = network(Linear(store, "decoder.mean", 3, 3, kDrawn));
  return decoder_of(std::move(mean), std::move(heads),
                    network(Linear(store, "decoder.log_variance", 3, 3, kDrawn)));
}

/// ln N(x | 0, w w^T + sigma^2 I), without the matrix, which a small sigma^2 makes ill to invert.
Tensor rank_one(const Tensor& w, double sigma2, const Tensor& x) {
  const Tensor all = Tensor::empty({x.size(0)}, DType::f64);
  double square = 0;
  for (int64_t i = 0; i < 3; ++i) square += w.at(i) * w.at(i);
  for (int64_t n = 0; n < x.size(0); ++n) {
    double along = 0, length = 0;
    for (int64_t i = 0; i < 3; ++i) {
      along += w.at(i) * x.at(3 * n + i);
      length += x.at(3 * n + i) * x.at(3 * n + i);
    }
    all.data<double>()[n] = -1.5 * (math::kLogTwoPi + std::log(sigma2)) - 0.5 * std::log1p(square / sigma2) -
                            0.5 * (length - along * along / (sigma2 + square)) / sigma2;
  }
  return all;
}

/// The integral as a sum over an even grid, of member m at one point.
double by_grid(const Vae& vae, int64_t member, const Tensor& x, int64_t count, double reach) {
  const Tensor prior = vae.prior_log_variance().value();
  const int64_t models = vae.models();
  const double deviation = std::exp(0.5 * prior.at(member)), step = 2 * reach / static_cast<double>(count);
  const Tensor z = Tensor::empty({models, count + 1, 1, 1}, DType::f64);
  for (int64_t i = 0; i < z.elements(); ++i)
    z.data<double>()[i] = (static_cast<double>(i % (count + 1)) * step - reach) * deviation;
  const Tensor log_p = vae.log_likelihood(x.reshape({1, 3}), vae.decode(z)).value();
  double sum = 0;
  for (int64_t i = 0; i <= count; ++i) {
    const double u = static_cast<double>(i) * step - reach;
    sum += std::exp(log_p.at(member * (count + 1) + i) - 0.5 * u * u) * step / std::sqrt(2 * math::kPi);
  }
  return std::log(sum);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE(
      "quadrature: a linear decoder's likelihood is the closed form, whatever its noise and its prior") {
    const Tensor x = draw({40, 3}, 3);
    // From a noise wider than the prior to one that a panel is thousands of deviations of.
    for (double log_sigma2 : {1.0, -2.0, -8.0, -14.0})
      for (int64_t members : {0, 3}) {
        CAPTURE(log_sigma2);
        CAPTURE(members);
        const auto vae = vae_of(linear_decoder, members);
        vae->parameters().at("log_sigma2").value.fill(log_sigma2);
        Tensor& prior = vae->parameters().at("prior.log_variance").value;
        for (int64_t i = 0; i < prior.elements(); ++i) prior.data<double>()[i] = 0.8 - static_cast<double>(i);
        // Far points for a narrow noise: their posteriors lie where the prior is small.
        const Tensor points = (Variable(x) * (log_sigma2 < -4 ? 0.05 : 2.0)).value();
        const QuadraturePoints found = quadrature_points(*vae, points);
        const std::vector<QuadratureEstimate> all = quadrature_log_likelihood(*vae, points);
        for (int64_t m = 0; m < vae->models(); ++m) {
          const Tensor weight = vae->parameters().at("decoder.weight").value;
          const double scale = std::exp(0.5 * prior.at(m));
          const Tensor w = (Variable(members > 0 ? weight.slice(m) : weight) * scale).value();
          const Tensor expected = rank_one(w, std::exp(log_sigma2), points);
          if (log_sigma2 > -5) {
            const Tensor whole =
                log_density({w, Tensor::full({3}, std::exp(log_sigma2), DType::f64)}, points);
            for (int64_t i = 0; i < 40; ++i) CHECK(std::abs(expected.at(i) - whole.at(i)) < 1e-8);
          }
          double largest = 0, sum = 0;
          for (int64_t i = 0; i < 40; ++i) {
            CHECK(std::abs(found.log_likelihood.at(m * 40 + i) - expected.at(i)) < 1e-8);
            CHECK(found.error.at(m * 40 + i) < 1e-9);
            largest = std::max(largest, found.error.at(m * 40 + i));
            sum += expected.at(i);
          }
          CHECK(all[static_cast<size_t>(m)].mean == doctest::Approx(sum / 40).epsilon(1e-11));
          CHECK(all[static_cast<size_t>(m)].error == largest);
        }
      }
  }

  TEST_CASE("quadrature: any decoder's likelihood is what a fine grid says, for every kind of likelihood") {
    const Tensor x = draw({6, 3}, 4), inside = uniform({6, 3}, DType::f64, {.seed = 4, .stream = kTestInput});
    const auto check = [&](const Vae& vae, const Tensor& points, double tolerance, int64_t grid) {
      const QuadraturePoints found = quadrature_points(vae, points);
      for (int64_t m = 0; m < vae.models(); ++m)
        for (int64_t i = 0; i < 6; ++i)
          CHECK(std::abs(found.log_likelihood.at(m * 6 + i) - by_grid(vae, m, points.slice(i), grid, 12)) <
                tolerance);
    };
    check(*vae_of(curved_decoder, 2), x, 1e-9, 4000);
    check(*vae_of(curved_decoder, 2, Likelihood::bernoulli), inside, 1e-9, 4000);
    check(*vae_of(varying_decoder, 2, Likelihood::diagonal_gaussian), x, 1e-6, 40000);  // it meets kinks
  }

  TEST_CASE("quadrature: where the integrand lies too far out, the error says so") {
    const auto vae = vae_of(linear_decoder, 0);
    vae->parameters().at("decoder.weight").value.fill(0.01);
    vae->parameters().at("log_sigma2").value.fill(std::log(1e-6));
    const auto error_at = [&](double x) {
      return quadrature_points(*vae, Tensor::full({1, 3}, x, DType::f64)).error.at(0);
    };
    CHECK(error_at(0.3) < 1e-9);  // some 30 deviations of the prior away
    CHECK(std::isinf(error_at(3)));
    vae->parameters().at("decoder.weight").value.fill(std::nan(""));
    CHECK(std::isnan(quadrature_points(*vae, Tensor::full({1, 3}, 1, DType::f64)).log_likelihood.at(0)));
  }

  TEST_CASE("quadrature: a member's own data, f32, points in parts, and what is refused") {
    const auto vae = vae_of(curved_decoder, 2);
    const Tensor x = draw({2, 270, 3}, 6);
    const QuadraturePoints own = quadrature_points(*vae, x);
    for (int64_t m = 0; m < 2; ++m) {
      const QuadraturePoints shared = quadrature_points(*vae, x.slice(m));
      for (int64_t i = 0; i < 270; ++i)
        CHECK(std::abs(own.log_likelihood.at(m * 270 + i) - shared.log_likelihood.at(m * 270 + i)) < 1e-10);
    }
    const auto in_float = vae_of(curved_decoder, 2, Likelihood::gaussian, DType::f32);
    for (const Parameter& parameter : vae->parameters().all())
      in_float->parameters().at(parameter.name).value.copy_from(parameter.value.to(DType::f32));
    const QuadratureEstimate exact = quadrature_log_likelihood(*vae, x)[1],
                             rounded = quadrature_log_likelihood(*in_float, x.to(DType::f32))[1];
    CHECK(rounded.mean == doctest::Approx(exact.mean).epsilon(1e-5));
    CHECK(rounded.error < 1e-4);
    const auto two = vae_of(
        [](ParameterStore& store) {
          Network mean = network(Linear(store, "decoder", 2, 3, kDrawn));
          return decoder_of(std::move(mean), one_number(store, "log_sigma2"));
        },
        0, Likelihood::gaussian, DType::f64, 2);
    CHECK(error_of([&] { quadrature_points(*two, x.slice(0)); }) ==
          "[quadrature] it is for one latent dimension, and the model has 2; there is importance sampling");
    CHECK(error_of([&] {
            quadrature_log_likelihood(*vae, Tensor::empty({0, 3}, DType::f64));
          }) == "[quadrature] there are no points");
  }
}

}  // namespace elbo
