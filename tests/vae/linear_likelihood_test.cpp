// Gaussian decoders with a linear last layer, whose output many samples do without, beside plain ops that
// make it.
#include "vae/linear_likelihood.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "autograd/tape.h"
#include "autograd/trace.h"
#include "tests/thread_count.h"
#include "tests/vae/helpers.h"
#include "vae/elbo_loss.h"
#include "vae/luecke_models.h"
#include "vae/parts.h"

using namespace elbo;

namespace {

struct Model {
  const char* name;
  LueckeModel kind;
  LueckeOptions options;
  int64_t samples, points = 53;
};

std::unique_ptr<Vae> made(const Model& model, int64_t members = 0, int64_t first_member = 0) {
  LueckeOptions options = model.options;
  options.members = members;
  options.first_member = first_member;
  return luecke_vae(model.kind, options, 5);
}

/// Hidden layers in one pass; samples in parts, of more points than a block has; a prior that is learned, and
/// ln sigma^2 itself; a decoder without hidden layers; layers too wide for one pass.
std::vector<Model> models(DType dtype) {
  const auto options = [&](int64_t dimensions, int64_t latent, std::vector<int64_t> hidden,
                           bool softplus = true) {
    return LueckeOptions{
        .dimensions = dimensions, .latent = latent, .hidden = hidden, .softplus = softplus, .dtype = dtype};
  };
  return {{"VAE-1", LueckeModel::vae1, options(130, 3, {9, 7}), 4},
          {"VAE-1, in parts", LueckeModel::vae1, options(784, 40, {50, 50}), 20, 403},
          {"VAE-2", LueckeModel::vae2, options(150, 2, {6, 5, 4}, false), 6},
          {"one layer", LueckeModel::vae1, options(129, 4, {}), 5},
          {"wide", LueckeModel::vae1, options(520, 2, {130}), 4}};
}

Tensor x_of(const Model& model, int64_t points, int64_t members) {
  const Shape rows{points, model.options.dimensions};
  return uniform(members == 0 ? rows : Shape{members}.concatenated(rows), DType::f64,
                 {.seed = 6, .stream = kTestInput})
      .to(model.options.dtype);
}

struct Found {
  LossTerms terms;
  std::vector<Tensor> gradients;
  bool is_fused = false;
  size_t tapes = 0;  // one of all, or of each part and of what is done once
};

enum class Way { as_it_is, plain_ops };

Found differentiated(Vae& vae, const Tensor& x, int64_t samples, Way way = Way::as_it_is,
                     const Objective& objective = {}, const BatchRows& rows = {}) {
  Loss loss = elbo_loss(vae, objective, samples);
  if (way == Way::plain_ops) {
    loss.differentiate = nullptr;
    loss.value = [&](const LossInput& in) { return elbo_loss_twin(vae, objective, samples, in); };
  }
  TapeTrace trace;
  Found found{differentiate(loss, x, {}, {.seed = 9, .stream = kLatentNoise, .step = 3}, rows), {}};
  found.tapes = trace.tapes().size();
  for (const auto& tape : trace.tapes())
    found.is_fused = found.is_fused || std::ranges::any_of(tape.ops, [](const auto& op) {
                       return op.name == std::string("linear_squared_error");
                     });
  for (Parameter& parameter : vae.parameters().all())
    if (parameter.trained) {
      CHECK(parameter.has_gradient);
      found.gradients.push_back(parameter.gradient.clone());
      parameter.has_gradient = false;
    }
  return found;
}

double distance(const Tensor& a, const Tensor& b) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < b.elements(); ++i) {
    difference += std::pow(a.at(i) - b.at(i), 2);
    size += b.at(i) * b.at(i);
  }
  return std::sqrt(difference / std::max(size, 1e-300));
}

/// The largest relative distance of costs, probes and gradients.
double distance(const Found& a, const Found& b) {
  double most = distance(a.terms.cost, b.terms.cost);
  REQUIRE(a.terms.probes.size() == 5);
  for (size_t i = 0; i < 5; ++i) most = std::max(most, distance(a.terms.probes[i], b.terms.probes[i]));
  REQUIRE(a.gradients.size() == b.gradients.size());
  for (size_t i = 0; i < a.gradients.size(); ++i)
    most = std::max(most, distance(a.gradients[i], b.gradients[i]));
  return most;
}

bool same(const Found& a, const Found& b) {
  const auto equal = [](const Tensor& x, const Tensor& y) { return x.to_vector() == y.to_vector(); };
  return equal(a.terms.cost, b.terms.cost) && std::ranges::equal(a.terms.probes, b.terms.probes, equal) &&
         std::ranges::equal(a.gradients, b.gradients, equal);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("linear likelihood: cost, probes and gradients are those of plain ops") {
    for (const DType dtype : {DType::f64, DType::f32})
      for (const Model& model : models(dtype))
        for (const auto& [members, apart] : {std::pair{0, false}, {2, false}, {2, true}}) {
          CAPTURE(std::string(name(dtype)));
          CAPTURE(std::string(model.name));
          CAPTURE(members);
          CAPTURE(apart);
          const auto vae = made(model, members);
          REQUIRE(suits_linear_likelihood(*vae, model.samples));
          const Tensor x = x_of(model, model.points, apart ? members : 0);
          const Objective objective{.penalty = Objective::Penalty::free_bits, .free_nats = 0.1};
          for (const Objective& each : {Objective{}, objective}) {
            const Found own = differentiated(*vae, x, model.samples, Way::as_it_is, each);
            const Found plain = differentiated(*vae, x, model.samples, Way::plain_ops, each);
            CHECK(own.is_fused ==
                  (std::string(model.name) != "one layer" && std::string(model.name) != "wide"));
            CHECK(!plain.is_fused);
            CHECK(distance(own, plain) < (dtype == DType::f64 ? 1e-11 : 1e-4));
          }
        }
  }

  TEST_CASE("linear likelihood: rows of a batch have the noise of the whole batch") {
    const Model model = models(DType::f64)[0];
    const auto vae = made(model);
    const Tensor x = x_of(model, 7, 0);
    const BatchRows rows{5, 20};
    const Found own = differentiated(*vae, x, model.samples, Way::as_it_is, {}, rows);
    CHECK(distance(own, differentiated(*vae, x, model.samples, Way::plain_ops, {}, rows)) < 1e-11);
    CHECK(distance(own, differentiated(*vae, x, model.samples)) > 1e-6);
  }

  TEST_CASE("linear likelihood: the same bits on one to three threads, and for a member alone") {
    // More points than two blocks have, in parts; and few, whose samples are shared between threads.
    const Model model = models(DType::f32)[1];
    const auto all = made(model, 3);
    for (const int64_t points : {1100, 90}) {
      CAPTURE(points);
      const Tensor x = x_of(model, points, 0);
      Found first;
      for (int threads = 1; threads <= 3; ++threads) {
        CAPTURE(threads);
        const ThreadCount count(threads);
        const Found found = differentiated(*all, x, 10);
        if (threads == 1) first = found;
        CHECK(same(found, first));
        const auto alone = made(model, 0, threads - 1);
        const Found own = differentiated(*alone, x, 10);
        for (size_t p = 0; p < own.gradients.size(); ++p)
          CHECK(own.gradients[p].to_vector() == first.gradients[p].slice(threads - 1).to_vector());
      }
    }
  }

  TEST_CASE("linear likelihood: processes that share a batch have its gradient together") {
    const Model model = models(DType::f64)[1];
    const auto vae = made(model, 2);
    for (const int64_t points : {53, 403}) {  // in one part, and in several
      CAPTURE(points);
      const int64_t own = points / 2;
      const Tensor x = x_of(model, points, 0);
      const Found whole = differentiated(*vae, x, model.samples);
      CHECK((whole.tapes > 1) == (points > 53));
      const Found first =
          differentiated(*vae, x.slice(0, own), model.samples, Way::as_it_is, {}, {0, points});
      const Found second =
          differentiated(*vae, x.slice(own, points), model.samples, Way::as_it_is, {}, {own, points});
      const auto together = [&](const Tensor& a, const Tensor& b) {
        const double share = static_cast<double>(own) / static_cast<double>(points);
        return (share * Variable(a) + (1 - share) * Variable(b)).value();
      };
      CHECK(distance(together(first.terms.cost, second.terms.cost), whole.terms.cost) < 1e-12);
      for (size_t p = 0; p < whole.gradients.size(); ++p)
        CHECK(distance(together(first.gradients[p], second.gradients[p]), whole.gradients[p]) < 1e-11);
    }
  }

  TEST_CASE("linear likelihood: a member that breaks leaves the others as they are") {
    const Model model = models(DType::f32)[1];
    for (const int64_t points : {53, 403})
      for (const char* spoiled :
           {"decoder.0.weight", "decoder.1.bias", "decoder.2.weight", "decoder.2.bias"}) {
        CAPTURE(points);
        CAPTURE(std::string(spoiled));
        const auto whole = made(model, 3), broken = made(model, 3);
        broken->parameters().at(spoiled).value.slice(1).fill(std::nan(""));
        const Tensor x = x_of(model, points, 0);
        const ThreadCount one(1);  // all members' numbers go through the same memory
        const Found right = differentiated(*whole, x, 20), found = differentiated(*broken, x, 20);
        CHECK((right.tapes > 1) == (points > 53));
        for (const int64_t m : {0, 1, 2}) {
          CHECK((found.terms.cost.at(m) == right.terms.cost.at(m)) == (m != 1));
          for (size_t p = 0; p < right.gradients.size(); ++p)
            if (m != 1)
              CHECK(found.gradients[p].slice(m).to_vector() == right.gradients[p].slice(m).to_vector());
        }
      }
  }

  TEST_CASE("linear likelihood: in f32 it is right also where sigma is far below the data's deviation") {
    Model model{"VAE-1", LueckeModel::vae1, {.dimensions = 784, .latent = 3, .softplus = false}, 4};
    const auto single = made(model);
    model.options.dtype = DType::f64;
    const auto exact = made(model);
    for (size_t p = 0; p < exact->parameters().all().size(); ++p) {
      // Numbers as large as a trained model's.
      Parameter& own = single->parameters().all()[p];
      if (own.name.ends_with("weight")) own.value.copy_from((3.0 * Variable(own.value)).value());
      exact->parameters().all()[p].value.copy_from(own.value.to(DType::f64));
    }
    const auto drawn = [](const Shape& shape, uint64_t seed) {
      return Variable(normal(shape, DType::f64, {.seed = seed, .stream = kTestInput}));
    };
    const int64_t points = 300;
    const Variable z = drawn({points, 3}, 7);
    for (const double sigma : {0.1, 1e-2, 1e-3, 1e-4}) {
      CAPTURE(sigma);
      // Posteriors as narrow as the noise makes them; their mean is that far from the truth.
      const Tensor mean_z = (z + 0.1 * sigma * drawn({points, 3}, 8)).value().to(DType::f32),
                   samples = (z + 0.1 * sigma * drawn({4, points, 3}, 9)).value().to(DType::f32);
      const Tensor x = (exact->decode(z).mean + sigma * drawn({points, 784}, 10)).value().to(DType::f32);
      const auto gradient = [&](Vae& vae, bool linear) {
        Parameter& log_sigma2 = vae.parameters().at("log_sigma2");
        log_sigma2.value.fill(2 * std::log(sigma));
        const auto like = [&](const Tensor& from) { return from.to(vae.dtype()); };
        Tape tape;
        tape.backward(
            linear ? mean_log_likelihood(vae, linear_target(vae, like(x), like(mean_z)), like(samples)).mean
                   : mean(vae.log_likelihood(like(x), vae.decode(like(samples)))));
        const double found = log_sigma2.gradient.item();
        vae.parameters().consume_gradients();
        return found;
      };
      const double right = gradient(*exact, false);
      CHECK(std::abs(gradient(*exact, true) - right) < 1e-8);
      MESSAGE("sigma " << sigma << ": " << right << ", in f32 by " << gradient(*single, true) - right
                       << " more, of the output by " << gradient(*single, false) - right);
      // Of 392, half the dimensions; f32 rounds x itself to 1e-7.
      CHECK(std::abs(gradient(*single, true) - right) < 392 * (1e-6 + 1e-6 / sigma));
    }
  }

  TEST_CASE("linear likelihood: where it is of no use the output is made") {
    const auto suits = [](LueckeModel kind, int64_t dimensions, std::vector<int64_t> hidden,
                          int64_t samples) {
      return suits_linear_likelihood(
          *luecke_vae(kind, {.dimensions = dimensions, .latent = 2, .hidden = hidden}, 5), samples);
    };
    CHECK(suits(LueckeModel::vae1, 132, {33}, 4));
    CHECK(!suits(LueckeModel::vae1, 132, {33}, 3));
    CHECK(!suits(LueckeModel::vae1, 131, {33}, 4));
    CHECK(!suits(LueckeModel::vae1, 128, {5}, 4));
    CHECK(!suits(LueckeModel::vae3, 132, {33}, 4));
    const auto made_of = [](const Parts& with, Likelihood likelihood, bool mixes, Activation last) {
      Vae vae(
          {.dimensions = 132, .latent = 2},
          [&](ParameterStore& store) {
            const Initializer drawn{Initializer::Kind::normal, 0.4};
            Parts parts = with;
            parts.encoder = encoder_of(network(Linear(store, "encoder.mean", 132, 2, drawn)),
                                       same_for_all(store, "encoder.log_variance", 2));
            parts.decoder =
                decoder_of(network(Linear(store, "decoder", 2, 132, drawn, last)),
                           likelihood == Likelihood::bernoulli ? Network() : one_number(store, "s"));
            parts.likelihood = likelihood;
            parts.mixes_points = mixes;
            return parts;
          },
          3);
      return suits_linear_likelihood(vae, 100);
    };
    CHECK(made_of({}, Likelihood::gaussian, false, Activation::none));
    CHECK(!made_of({}, Likelihood::gaussian, true, Activation::none));
    CHECK(!made_of({}, Likelihood::gaussian, false, Activation::tanh));
    CHECK(!made_of({}, Likelihood::bernoulli, false, Activation::none));
  }
}
