// The deep VAE: its networks and densities against loops, its gradients against finite differences, and its
// simplest case against the linear VAE's closed forms.
#include "vae/deep_vae.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/tape.h"
#include "nn/optimizer.h"
#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "vae/elbo_loss.h"

using namespace elbo;

namespace {

DeepVaeOptions tiny(Likelihood likelihood, int64_t members) {
  DeepVaeOptions options{.dimensions = 4,
                         .latent = 2,
                         .encoder_hidden = {5, 3},
                         .decoder_hidden = {6},
                         .encoder_activation = Activation::tanh,
                         .decoder_activation = Activation::softplus,
                         .likelihood = likelihood,
                         .sigma2 = {0.7},
                         .dtype = DType::f64,
                         .members = members};
  if (members == 2) options.sigma2 = {0.7, 1.9};
  return options;
}

std::vector<std::string> names_of(const DeepVae& vae) {
  std::vector<std::string> names;
  for (const Parameter& parameter : vae.parameters().all())
    names.push_back(parameter.name + " " + parameter.value.shape().str());
  return names;
}

/// An axis, or none for size 0.
Shape axis(int64_t size) { return size > 0 ? Shape{size} : Shape{}; }

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("deep VAE: parameters have PyTorch's names and shapes, whatever the likelihood") {
    DeepVaeOptions options = tiny(Likelihood::gaussian, 0);
    std::vector<std::string> common{"encoder.0.weight (5, 4)",
                                    "encoder.0.bias (5,)",
                                    "encoder.1.weight (3, 5)",
                                    "encoder.1.bias (3,)",
                                    "encoder.mean.weight (2, 3)",
                                    "encoder.mean.bias (2,)",
                                    "encoder.log_variance.weight (2, 3)",
                                    "encoder.log_variance.bias (2,)",
                                    "decoder.0.weight (6, 2)",
                                    "decoder.0.bias (6,)",
                                    "decoder.1.weight (4, 6)",
                                    "decoder.1.bias (4,)"};
    const auto and_also = [&](const std::vector<std::string>& more) {
      std::vector<std::string> all = common;
      all.insert(all.end(), more.begin(), more.end());
      return all;
    };
    CHECK(names_of(DeepVae(options, 1)) == and_also({"log_sigma2 (1,)"}));
    options.likelihood = Likelihood::diagonal_gaussian;
    CHECK(names_of(DeepVae(options, 1)) ==
          and_also({"decoder.log_variance.weight (4, 6)", "decoder.log_variance.bias (4,)"}));
    options.likelihood = Likelihood::bernoulli;
    CHECK(names_of(DeepVae(options, 1)) == common);
    options.encoder_hidden = options.decoder_hidden = {};
    options.likelihood = Likelihood::gaussian;
    options.members = 3;
    CHECK(names_of(DeepVae(options, 1)) ==
          std::vector<std::string>{"encoder.mean.weight (3, 2, 4)", "encoder.mean.bias (3, 2)",
                                   "encoder.log_variance.weight (3, 2, 4)",
                                   "encoder.log_variance.bias (3, 2)", "decoder.0.weight (3, 4, 2)",
                                   "decoder.0.bias (3, 4)", "log_sigma2 (3, 1)"});
  }

  TEST_CASE("deep VAE: encoder, decoder, likelihood and ELBO are those of loops, with members and samples") {
    const int64_t n = 3, d = 4, k = 2;
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 1, 2})
        for (int64_t samples : {0, 1, 3})
          for (bool deep : {true, false}) {
            CAPTURE(std::string(name(likelihood)));
            CAPTURE(members);
            CAPTURE(samples);
            CAPTURE(deep);
            DeepVaeOptions options = tiny(likelihood, members);
            if (!deep) options.encoder_hidden = options.decoder_hidden = {};
            DeepVae vae(options, 1);
            randomise(vae, 0.6, 10);
            const Tensor x = data_for(likelihood, n, d, 3);
            const Shape points = axis(members).concatenated({n}),
                        drawn = axis(members).concatenated(axis(samples)).concatenated({n});
            const Posterior q = vae.encode(x);
            REQUIRE(q.mean.shape() == points.concatenated({k}));
            REQUIRE(q.log_variance.shape() == points.concatenated({k}));
            const Tensor z = draw(drawn.concatenated({k}), 4);
            const Observation p = vae.decode(z);
            REQUIRE(p.mean.shape() == drawn.concatenated({d}));
            if (likelihood == Likelihood::gaussian)
              REQUIRE(p.log_variance.shape() == axis(members).concatenated({1}));
            if (likelihood == Likelihood::diagonal_gaussian)
              REQUIRE(p.log_variance.shape() == p.mean.shape());
            const Tensor density = vae.log_likelihood(x, p).value();
            REQUIRE(density.shape() == drawn);
            // The ELBO's z, from q and the key's noise; one sample has no axis.
            const RandomKey key{.seed = 5, .stream = kLatentNoise, .step = 9};
            const int64_t count = std::max<int64_t>(samples, 1);
            const Shape noise = axis(members).concatenated(axis(count > 1 ? count : 0)).concatenated({n, k});
            const Tensor eps = normal(noise, DType::f64, key, vae.models());
            const ElboTerms terms = elbo_terms(vae, x, key, count);
            REQUIRE(terms.log_likelihood.shape() == points);
            REQUIRE(terms.kl.shape() == points);
            REQUIRE(vae.models() == std::max<int64_t>(members, 1));
            for (int64_t m = 0; m < vae.models(); ++m) {
              const VaeTwin twin(vae, m);
              for (int64_t i = 0; i < n; ++i) {
                const Numbers point = row(x, i);
                const VaeTwin::Normal own = twin.encode(point);
                const int64_t at = m * n + i;
                double kl = 0, average = 0;
                for (int64_t u = 0; u < k; ++u) {
                  const auto unit = static_cast<size_t>(u);
                  CHECK(close(q.mean.value().at(at * k + u), own.mean[unit], 1e-13));
                  CHECK(close(q.log_variance.value().at(at * k + u), own.log_variance[unit], 1e-13));
                  kl += VaeTwin::unit_kl(own.mean[unit], own.log_variance[unit]);
                }
                for (int64_t s = 0; s < count; ++s) {
                  const int64_t point_at = (m * count + s) * n + i;
                  Numbers given, sampled;
                  for (int64_t u = 0; u < k; ++u) {
                    const auto unit = static_cast<size_t>(u);
                    given.push_back(z.at(point_at * k + u));
                    sampled.push_back(own.mean[unit] +
                                      std::exp(own.log_variance[unit] / 2) * eps.at(point_at * k + u));
                  }
                  const VaeTwin::Normal output = twin.decode(given);
                  for (int64_t j = 0; j < d; ++j) {
                    CHECK(close(p.mean.value().at(point_at * d + j), output.mean[static_cast<size_t>(j)],
                                1e-13));
                    if (likelihood == Likelihood::diagonal_gaussian)
                      CHECK(close(p.log_variance.value().at(point_at * d + j),
                                  output.log_variance[static_cast<size_t>(j)], 1e-13));
                  }
                  CHECK(close(density.at(point_at), twin.log_likelihood(point, given), 1e-12));
                  average += twin.log_likelihood(point, sampled) / static_cast<double>(count);
                }
                CHECK(close(terms.kl.value().at(at), kl, 1e-12));
                CHECK(close(terms.log_likelihood.value().at(at), average, 1e-12));
              }
            }
          }
  }

  TEST_CASE("deep VAE: the ELBO's gradient is that of finite differences, for every number of every member") {
    const int64_t n = 3;
    const RandomKey key{.seed = 5, .stream = kLatentNoise, .step = 2};
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 2}) {
        const int64_t samples = members == 0 ? 1 : 3;
        CAPTURE(std::string(name(likelihood)));
        CAPTURE(members);
        DeepVaeOptions options = tiny(likelihood, members);
        if (members == 2) options.learn_sigma2 = {true, false};
        DeepVae vae(options, 1);
        randomise(vae, 0.3, 20);
        const Tensor x = data_for(likelihood, n, 4, 3);
        const auto objective = [&] {
          const ElboTerms terms = elbo_terms(vae, x, key, samples);
          return sum(terms.log_likelihood - terms.kl) / static_cast<double>(n);
        };
        std::vector<Tensor> gradients;
        {
          Tape tape;
          tape.backward(objective());
        }
        for (const Parameter& parameter : vae.parameters().all()) {
          REQUIRE(parameter.has_gradient);
          gradients.push_back(parameter.gradient.clone());
        }
        vae.parameters().consume_gradients();
        const LossTerms terms = differentiate(elbo_loss(vae, {}, samples), x, {}, key);
        double total = 0;
        for (int64_t m = 0; m < vae.models(); ++m) total += elbo_in(terms, m);
        CHECK(close(total, objective().item(), 1e-13));
        for (size_t p = 0; p < gradients.size(); ++p) {
          Parameter& parameter = vae.parameters().all()[p];
          CAPTURE(parameter.name);
          double largest = 0;
          for (int64_t i = 0; i < parameter.value.elements(); ++i) {
            CAPTURE(i);
            double& number = parameter.value.data<double>()[i];
            const double original = number;
            const auto at = [&](double step) {
              number = original + step;
              const double value = objective().item();
              number = original;
              return value;
            };
            const double numeric = (8 * (at(1e-3) - at(-1e-3)) - (at(2e-3) - at(-2e-3))) / 12e-3;
            CHECK(close(gradients[p].at(i), numeric, 1e-9));
            CHECK(close(parameter.gradient.at(i), -gradients[p].at(i), 1e-12));  // of minus the objective
            largest = std::max(largest, std::abs(numeric));
          }
          CHECK(largest > 1e-3);
        }
        if (likelihood == Likelihood::gaussian && members == 2)  // held fixed: not a small gradient, but none
          CHECK(gradients.back().at(1) == 0);
      }
  }

  TEST_CASE("deep VAE: a fixed sigma^2 stays as it is, to the bit, beside one that is learned") {
    for (DType dtype : {DType::f32, DType::f64}) {
      DeepVaeOptions options = tiny(Likelihood::gaussian, 2);
      options.dtype = dtype;
      options.sigma2 = {0.3, 0.3};
      options.learn_sigma2 = {false, true};
      DeepVae vae(options, 1);
      CHECK_FALSE(vae.learns_sigma2(0));
      CHECK(vae.learns_sigma2(1));
      const Tensor x = data_for(Likelihood::gaussian, 7, 4, 3).to(dtype);
      const Tensor before = vae.parameters().at("log_sigma2").value.clone();
      CHECK(vae.sigma2(0) == doctest::Approx(0.3).epsilon(1e-6));
      Adam adam(vae.parameters());
      for (uint64_t step = 0; step < 30; ++step) {
        differentiate(elbo_loss(vae), x, {}, {.stream = kLatentNoise, .step = step});
        adam.step(1e-2);
      }
      const Tensor after = vae.parameters().at("log_sigma2").value;
      CHECK(after.at(0) == before.at(0));
      CHECK(std::abs(after.at(1) - before.at(1)) > 0.1);
      CHECK(vae.decode(draw({2, 1, 2}, 1).to(dtype)).log_variance.value().at(0) == before.at(0));
      CHECK(vae.sigma2(1) == std::exp(after.at(1)));
    }
    DeepVae of_logits(tiny(Likelihood::bernoulli, 0), 1);
    CHECK_FALSE(of_logits.has_scalar_sigma2());
    CHECK(std::isnan(of_logits.sigma2()));
  }

  TEST_CASE("deep VAE: centring the encoder makes its first layer give zero for the data's mean") {
    const Tensor mean = (draw({4}, 8) + 5.0).value();
    for (int64_t members : {0, 2})
      for (bool deep : {true, false}) {
        DeepVaeOptions options = tiny(Likelihood::gaussian, members);
        if (!deep) options.encoder_hidden = {};
        DeepVae vae(options, 1);
        randomise(vae, 0.5, 6);
        for (Parameter& parameter : vae.parameters().all())
          if (parameter.name.ends_with(".bias"))
            parameter.value.fill(parameter.name == "encoder.0.bias" ? 7 : 0);
        vae.centre_encoder(mean);
        // With no bias but the first layer's, tanh(0) = 0 stays 0 up to the heads.
        const Posterior q = vae.encode(mean.reshape({1, 4}));
        for (const Variable& output : {q.mean, q.log_variance})
          for (double value : output.value().to_vector()) CHECK(std::abs(value) < 1e-14);
        const Posterior other = vae.encode((mean + 1.0).value().reshape({1, 4}));
        for (double value : other.mean.value().to_vector()) CHECK(std::abs(value) > 1e-3);
        const Numbers biases =
            vae.parameters().at(deep ? "encoder.0.bias" : "encoder.mean.bias").value.to_vector();
        CHECK(std::abs(biases[0]) > 0.1);
        CHECK(error_of([&] { vae.centre_encoder(draw({5}, 1)); }) ==
              "[deep vae] the mean must be (4), got (5,)");
      }
  }

  TEST_CASE("deep VAE: a new one begins next to the prior, also on data far from zero") {
    const Tensor x = (draw({50, 4}, 3) * 20.0 + 100.0).value();
    for (bool deep : {true, false}) {
      DeepVaeOptions options = tiny(Likelihood::gaussian, 2);
      if (!deep) options.encoder_hidden = {};
      DeepVae vae(options, 1);
      vae.centre_encoder(mean(x, {0}).value());
      const Posterior q = vae.encode(x);
      for (double value : q.log_variance.value().to_vector()) CHECK(value == 0);
      const Numbers means = q.mean.value().to_vector();
      const auto [least, most] = std::minmax_element(means.begin(), means.end());
      CHECK(*least > -0.3);
      CHECK(*most < 0.3);
      CHECK(*least < 0);  // but not so near that its gradient is nothing
      CHECK(*most > 0);
      CHECK(vae.parameters().at("encoder.mean.weight").value.slice(0).to_vector() !=
            vae.parameters().at("encoder.mean.weight").value.slice(1).to_vector());
    }
  }

  TEST_CASE("deep VAE: without hidden layers it is the linear VAE, whose ELBO and gradient it estimates") {
    LinearSetting s(12, 4, 2, 5);
    const std::unique_ptr<DeepVae> vae = as_deep(s);
    const double analytic = s.differentiate();
    const LinearVaeMetrics metrics = s.metrics();
    const std::pair<const char*, const char*> pairs[] = {{"decoder.weight", "decoder.0.weight"},
                                                         {"encoder.weight", "encoder.mean.weight"},
                                                         {"log_variance", "encoder.log_variance.bias"},
                                                         {"log_sigma2", "log_sigma2"}};
    Estimate elbo;
    std::vector<std::vector<Estimate>> gradient(std::size(pairs));
    for (uint64_t step = 0; step < 300; ++step) {
      vae->parameters().consume_gradients();
      const LossTerms terms = differentiate(elbo_loss(*vae, {}, 40), s.centred, {},
                                            {.seed = 7, .stream = kLatentNoise, .step = step});
      CHECK(close(terms.probes[1].item(), metrics.kl, 1e-12));
      elbo.add(elbo_in(terms));
      for (size_t p = 0; p < std::size(pairs); ++p) {
        const Tensor own = vae->parameters().at(pairs[p].second).gradient;
        gradient[p].resize(static_cast<size_t>(own.elements()));
        for (size_t i = 0; i < gradient[p].size(); ++i) gradient[p][i].add(-own.at(static_cast<int64_t>(i)));
      }
    }
    MESSAGE("analytic ELBO " << analytic << ", deep " << elbo.mean() << " +- " << elbo.standard_error());
    CHECK(elbo.standard_error() < 0.02);
    CHECK(std::abs(elbo.mean() - analytic) < 4 * elbo.standard_error());
    for (size_t p = 0; p < std::size(pairs); ++p) {
      CAPTURE(pairs[p].first);
      const Tensor exact = s.gradient(pairs[p].first);
      REQUIRE(exact.elements() == static_cast<int64_t>(gradient[p].size()));
      for (size_t i = 0; i < gradient[p].size(); ++i) {
        const Estimate& g = gradient[p][i];
        CHECK(g.standard_error() < 0.05);
        CHECK(std::abs(g.mean() - exact.at(static_cast<int64_t>(i))) < 4.5 * g.standard_error() + 1e-12);
      }
    }
    // The same data about their mean, which centring takes away.
    const auto set = [&](const char* name, const Tensor& to) {
      vae->parameters().at(name).value.copy_from(to);
    };
    vae->centre_encoder(s.data.mean);
    set("encoder.log_variance.bias", s.value("log_variance"));
    set("decoder.0.bias", s.data.mean);
    const RandomKey key{.seed = 7, .stream = kLatentNoise};
    const ElboTerms shifted = elbo_terms(*vae, s.x, key);
    set("encoder.mean.bias", Tensor::zeros({2}, DType::f64));
    set("decoder.0.bias", Tensor::zeros({4}, DType::f64));
    const ElboTerms centred = elbo_terms(*vae, s.centred, key);
    for (int64_t i = 0; i < 12; ++i) {
      CHECK(close(shifted.log_likelihood.value().at(i), centred.log_likelihood.value().at(i), 1e-11));
      CHECK(close(shifted.kl.value().at(i), centred.kl.value().at(i), 1e-11));
    }
  }

  TEST_CASE("deep VAE: impossible networks and data are told in one line") {
    const auto make = [](auto change) {
      DeepVaeOptions options = tiny(Likelihood::gaussian, 3);
      change(options);
      return error_of([&] { DeepVae(options, 1); });
    };
    using O = DeepVaeOptions;
    CHECK(make([](O&) {}).empty());
    CHECK(make([](O& o) { o.dimensions = 0; }) ==
          "[deep vae] dimensions and latent dimension must be positive, got 0 and 2");
    CHECK(mentions(make([](O& o) { o.latent = -1; }), "got 4 and -1"));
    CHECK(make([](O& o) { o.encoder_hidden = {5, 0}; }) == "[deep vae] a hidden layer cannot have 0 units");
    CHECK(mentions(make([](O& o) { o.decoder_hidden = {-3}; }), "-3 units"));
    for (double sigma2 : {0.0, -1.0, std::nan(""), static_cast<double>(INFINITY)})
      CHECK(mentions(make([&](O& o) {
                       o.sigma2 = {1, sigma2, 1};
                     }),
                     "[deep vae] sigma^2 must be positive and finite, got"));
    for (size_t count : {0u, 2u, 4u}) {
      CHECK(mentions(make([&](O& o) { o.sigma2.assign(count, 1); }),
                     std::to_string(count) + " values of sigma^2"));
      CHECK(mentions(make([&](O& o) { o.learn_sigma2.assign(count, true); }), "for 3 members"));
    }
    CHECK(mentions(make([](O& o) { o.members = -1; }), "members cannot be -1"));
    CHECK(mentions(make([](O& o) { o.dtype = DType::u8; }), "f32 or f64"));
    DeepVae vae(tiny(Likelihood::gaussian, 0), 1);
    CHECK(mentions(error_of([&] { vae.encode(draw({3, 5}, 1)); }), "(3, 5)"));
    CHECK(mentions(error_of([&] { vae.encode(draw({3, 4}, 1, DType::f32)); }), "f32"));
    CHECK(mentions(error_of([&] { vae.decode(draw({3, 4}, 1)); }), "(3, 4)"));
    CHECK(mentions(error_of([&] { elbo_terms(vae, draw({3, 4}, 1), {}, 0); }), "0 samples"));
    for (Likelihood likelihood : kAllLikelihoods) CHECK(parse_likelihood(name(likelihood)) == likelihood);
    CHECK(error_of([&] { parse_likelihood("poisson"); }) ==
          "[likelihood] unknown likelihood 'poisson'; there are gaussian, diagonal, bernoulli");
  }
}
