// The VAEs of Yacoby et al.: what they are made of, their decoders as the models that made the data, and
// LinearJTEx's ELBO beside its closed form.
#include "vae/yacoby_models.h"

#include <doctest/doctest.h>

#include <cmath>

#include "datasets/yacoby_toys.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

struct Kind {
  const char* name;
  YacobyModel model;
  MakeToy toys;
  int64_t encoder, decoder;  // how many numbers they learn
};
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {"linear-jtex", YacobyModel::linear_jtex, linear_jtex_toys(), 2 * (2 * 2 + 2), 4},
      {"cubic-jtex", YacobyModel::cubic_jtex, cubic_jtex_toys(),
       2 * (2 * 2 + 2) + (4 * 20 + 20) + 2 * (20 * 2 + 2), 4},
      {"gaussian", YacobyModel::gaussian, gaussian_toys(), 2 * (4 * 2 + 2), 8},
      {"mobius", YacobyModel::mobius, mobius_toys(), (2 * 50 + 50) + 2 * (50 * 2 + 2),
       (2 * 50 + 50) + (50 * 2 + 2)}};
  return all;
}

std::vector<double> values_of(Vae& vae, const std::string& beginning, int64_t member = -1) {
  std::vector<double> all;
  for (const Parameter& parameter : vae.parameters().all()) {
    if (!parameter.name.starts_with(beginning)) continue;
    const std::vector<double> own =
        (member < 0 ? parameter.value : parameter.value.slice(member)).to_vector();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

void train(Vae& vae, const Tensor& x, const std::vector<std::string>& moves = {}) {
  Training training(vae.parameters(), {{.loss = elbo_loss(vae), .steps = 5, .rates = {0.01}, .moves = moves}},
                    whole_set(x), {.seed = 4});
  while (training.step())
    for (int64_t m = 0; m < vae.models(); ++m) REQUIRE(training.stopped(m) == -1);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("Yacoby's models: what each learns, under which names, and that the noise is the truth's") {
    for (const Kind& kind : kinds()) {
      CAPTURE(kind.name);
      CHECK(parse_yacoby_model(kind.name) == kind.model);
      const Toy toy = kind.toys(1, 0);
      CHECK(toy.name == kind.name);
      const auto vae = yacoby_vae(kind.model, toy.truth, {}, 3);
      CHECK(vae->dtype() == DType::f64);
      CHECK(vae->dimensions() == toy.dimensions);
      CHECK(static_cast<int64_t>(values_of(*vae, "encoder.").size()) == kind.encoder);
      CHECK(static_cast<int64_t>(values_of(*vae, "decoder.").size()) == kind.decoder);
      for (const Parameter& parameter : vae->parameters().all())
        CHECK(parameter.trained ==
              (parameter.name.starts_with("encoder.") || parameter.name.starts_with("decoder.")));
      const Observation seen = vae->decode(draw({3, 2}, 1));
      CHECK(close(std::exp(seen.log_variance.value().item()) / toy.truth.at("noise_variance").item(), 1,
                  1e-12));
      const std::vector<double> sigma = values_of(*vae, "log_sigma2");
      const std::vector<double> encoder = values_of(*vae, "encoder."), decoder = values_of(*vae, "decoder.");
      const Tensor x = toy.draw(20, Split::train);
      train(*vae, x, {"encoder."});
      CHECK(values_of(*vae, "encoder.") != encoder);
      CHECK(values_of(*vae, "decoder.") == decoder);
      train(*vae, x);
      CHECK(values_of(*vae, "decoder.") != decoder);
      CHECK(values_of(*vae, "log_sigma2") == sigma);
      YacobyTruth less = toy.truth;
      less.erase("noise_variance");
      CHECK(mentions(error_of([&] { yacoby_vae(kind.model, less, {}, 1); }), "says no 'noise_variance'"));
    }
    CHECK(mentions(error_of([] { parse_yacoby_model("moebius"); }), "no model 'moebius'"));
  }

  TEST_CASE("Yacoby's models: members with data of their own train as they do alone, bit for bit") {
    for (const Kind& kind : kinds()) {
      CAPTURE(kind.name);
      const ToySets data =
          draw_sets(kind.toys, {.sets = 3, .train = 25, .test = 1, .seed = 2, .dtype = DType::f64});
      const YacobyTruth& truth = data.toys[0].truth;
      const auto all = yacoby_vae(kind.model, truth, {.members = 3}, 7);
      CHECK(values_of(*all, "decoder.", 0) != values_of(*all, "decoder.", 1));
      train(*all, data.train);
      for (int64_t m = 0; m < 3; ++m) {
        const auto alone = yacoby_vae(kind.model, truth, {.first_member = m}, 7);
        train(*alone, data.train.slice(m));
        CHECK(values_of(*all, "", m) == values_of(*alone, ""));
      }
    }
  }

  TEST_CASE("Yacoby's models: a decoder set to the truth makes the data of their z, but for the noise") {
    const int64_t points = 3000;
    for (const Kind& kind : kinds()) {
      CAPTURE(kind.name);
      const Toy toy = kind.toys(4, 1);
      const auto vae = yacoby_vae(kind.model, toy.truth, {.members = 2}, 1);
      set_decoder(*vae, toy.truth);
      CHECK(values_of(*vae, "decoder.", 0) == values_of(*vae, "decoder.", 1));
      const Tensor x = toy.draw(points, Split::test), z = toy.latents(points, Split::test);
      const Tensor of_both = Tensor::empty({2, points, 2}, DType::f64);
      for (int64_t m = 0; m < 2; ++m) of_both.slice(m).copy_from(z);
      const Tensor mean = vae->decode(of_both).mean.value().slice(1);
      double squares = 0;
      for (int64_t i = 0; i < x.elements(); ++i) squares += std::pow(x.at(i) - mean.at(i), 2);
      const auto count = static_cast<double>(x.elements());
      CHECK(std::abs(squares / count / toy.truth.at("noise_variance").item() - 1) < 5 * std::sqrt(2 / count));
      const bool is_linear = kind.model == YacobyModel::linear_jtex || kind.model == YacobyModel::gaussian;
      if (is_linear) {
        const LinearGaussian model = linear_gaussian_of(*vae, 1);
        const Tensor ours = log_density(model, x), theirs = toy.log_density(x);
        for (int64_t n = 0; n < 20; ++n) CHECK(close(ours.at(n), theirs.at(n), 1e-7));
      } else {
        CHECK(mentions(error_of([&] { linear_gaussian_of(*vae); }), "[yacoby] the decoder is not linear"));
      }
      const std::vector<double> before = values_of(*vae, "decoder.");
      YacobyTruth wrong = toy.truth;
      const std::string last = kind.model == YacobyModel::mobius     ? "1.bias"
                               : kind.model == YacobyModel::gaussian ? "weight"
                                                                     : "factor";
      wrong.at(last) = Tensor::zeros({3, 3}, DType::f64);
      CHECK(mentions(error_of([&] { set_decoder(*vae, wrong); }), "[yacoby] decoder." + last));
      wrong.erase(last);
      CHECK(mentions(error_of([&] { set_decoder(*vae, wrong); }), "says no '" + last));
      CHECK(values_of(*vae, "decoder.") == before);
    }
  }

  TEST_CASE("CubicJTEx: the encoder is the one that the recipe says, by hand") {
    const auto vae = yacoby_vae(YacobyModel::cubic_jtex, cubic_jtex_toy(0, 0).truth, {}, 9);
    const Tensor x = draw({4, 2}, 2);
    const Posterior q = vae->encode(x);
    const auto layer = [&](const std::string& name, const std::vector<double>& in) {
      const Tensor w = vae->parameters().at(name + ".weight").value,
                   b = vae->parameters().at(name + ".bias").value;
      std::vector<double> out;
      for (int64_t i = 0; i < w.size(0); ++i) {
        out.push_back(b.at(i));
        for (int64_t j = 0; j < w.size(1); ++j)
          out.back() += w.at(i * w.size(1) + j) * in[static_cast<size_t>(j)];
      }
      return out;
    };
    for (int64_t n = 0; n < 4; ++n) {
      const std::vector<double> in{x.at(2 * n), x.at(2 * n + 1)};
      std::vector<double> first;
      for (const double u : layer("encoder.0.sigmoid", in)) first.push_back(1 / (1 + std::exp(-u)));
      for (const double u : layer("encoder.0.root", in)) first.push_back(u / std::cbrt(u * u + 1e-3));
      std::vector<double> second = layer("encoder.1", first);
      for (double& value : second) value = std::max(0.0, value);
      for (size_t i = 0; i < 2; ++i) {
        const auto at = 2 * n + static_cast<int64_t>(i);
        CHECK(close(q.mean.value().at(at), layer("encoder.mean", second)[i], 1e-12));
        CHECK(close(q.log_variance.value().at(at), layer("encoder.log_variance", second)[i], 1e-12));
      }
    }
  }

  TEST_CASE("LinearJTEx: with the truth's decoder and its best encoder, the ELBO is the closed form's") {
    const Toy toy = linear_jtex_toy(6, 0);
    const auto vae = yacoby_vae(YacobyModel::linear_jtex, toy.truth, {}, 2);
    set_decoder(*vae, toy.truth);
    const LinearGaussian model = linear_gaussian_of(*vae);
    const LinearPosterior posterior = exact_posterior(model);
    const Tensor variances = mean_field_variances(posterior);
    ParameterStore& store = vae->parameters();
    store.at("encoder.mean.weight").value.copy_from(posterior.projection);
    store.at("encoder.mean.bias").value.fill(0);
    store.at("encoder.log_variance.weight").value.fill(0);
    for (int64_t i = 0; i < 2; ++i)
      store.at("encoder.log_variance.bias").value.data<double>()[i] = std::log(variances.at(i));
    const Tensor x = toy.draw(400, Split::train);
    const ElboTerms terms = elbo_terms(*vae, x, {.seed = 8, .stream = kLatentNoise}, 100);
    Estimate elbo;
    const Tensor log_p = log_density(model, x);
    for (int64_t n = 0; n < 400; ++n)
      elbo.add(terms.log_likelihood.value().at(n) - terms.kl.value().at(n) - log_p.at(n));
    // What is left is the gap, which is the same at every x.
    CHECK(elbo.standard_error() < 0.02);
    CHECK(std::abs(elbo.mean() + mean_field_gap(posterior)) < 5 * elbo.standard_error());
  }
}

}  // namespace elbo
