// Small VAEs whose whole cost is one op (vae/small_vae.h), and their terms and gradients from that op and
// from plain ops.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "autograd/trace.h"
#include "tests/vae/parts_models.h"
#include "vae/deep_vae.h"
#include "vae/elbo_loss.h"
#include "vae/luecke_models.h"
#include "vae/small_vae.h"

namespace elbo::small_vae_tests {

using parts_models::layer;

struct Model {
  std::string name;
  std::function<std::unique_ptr<Vae>(Device, int64_t members, int64_t first_member)> make;
  int64_t dimensions;
};

inline Model deep(const std::string& name, Likelihood likelihood, std::vector<int64_t> hidden,
                  int64_t dimensions, int64_t latent, Activation activation = Activation::relu,
                  DType dtype = DType::f32) {
  return {name,
          [=](Device device, int64_t members, int64_t first_member) {
            return std::make_unique<DeepVae>(DeepVaeOptions{.dimensions = dimensions,
                                                            .latent = latent,
                                                            .encoder_hidden = hidden,
                                                            .decoder_hidden = hidden,
                                                            .encoder_activation = activation,
                                                            .decoder_activation = activation,
                                                            .likelihood = likelihood,
                                                            .sigma2 = {0.3},
                                                            .dtype = dtype,
                                                            .device = device,
                                                            .members = members,
                                                            .first_member = first_member},
                                             3);
          },
          dimensions};
}

inline Model luecke(const std::string& name, LueckeModel model, DType dtype = DType::f32) {
  return {name,
          [=](Device device, int64_t members, int64_t first_member) {
            return luecke_vae(model,
                              {.dimensions = 10,
                               .latent = 2,
                               .hidden = {50, 50},
                               .dtype = dtype,
                               .device = device,
                               .members = members,
                               .first_member = first_member},
                              5);
          },
          10};
}

inline Model made_of(const std::string& name, Parts (*parts)(ParameterStore&), DType dtype = DType::f32) {
  return {name,
          [=](Device device, int64_t members, int64_t first_member) {
            return std::make_unique<Vae>(VaeOptions{.dimensions = parts_models::kDimensions,
                                                    .latent = parts_models::kLatent,
                                                    .dtype = dtype,
                                                    .device = device,
                                                    .members = members,
                                                    .first_member = first_member},
                                         parts, 11);
          },
          parts_models::kDimensions};
}

/// Two networks read x, and a decoder that is one layer of which part is held.
inline Parts two_networks(ParameterStore& store) {
  Network mean = layer(store, "encoder.mean", 3, 2);
  Encoder encoder = encoder_of(std::move(mean), parts_models::mlp(store, "encoder.log_variance", {3, 4, 2}));
  Network decoder = layer(store, "decoder", 2, 3);
  Parts parts{.encoder = std::move(encoder),
              .decoder = decoder_of(std::move(decoder), one_number(store, "log_sigma2", -1))};
  store.hold("decoder.bias");
  store.hold("log_sigma2");
  return parts;
}

/// As many parts of the samples as there are samples, by a width that is only said.
inline Parts many_parts(ParameterStore& store) {
  Parts parts = parts_models::own_variance_model(store);
  parts.widest = int64_t{1} << 20;
  return parts;
}

inline std::vector<Model> models(DType dtype = DType::f32) {
  return {
      deep("gaussian", Likelihood::gaussian, {20, 33}, 5, 2, Activation::relu, dtype),
      deep("bernoulli", Likelihood::bernoulli, {7}, 64, 3, Activation::tanh, dtype),
      deep("as wide as may be", Likelihood::diagonal_gaussian, {64, 63}, 64, 64, Activation::softplus, dtype),
      deep("linear", Likelihood::gaussian, {}, 4, 1, Activation::relu, dtype),
      luecke("VAE-1", LueckeModel::vae1, dtype),
      luecke("VAE-3", LueckeModel::vae3, dtype),
      made_of("two networks", two_networks, dtype)};
}

struct Batch {
  int64_t rows = 50, samples = 1;
  bool shared_x = true;
  BatchRows of{};
};

struct Found {
  LossTerms terms;
  std::vector<Tensor> gradients;  // undefined: none
  bool in_one_op = false;
};

inline Tensor x_of(const Model& model, const Batch& batch, int64_t members) {
  const Shape rows{batch.rows, model.dimensions};
  return uniform(batch.shared_x || members == 0 ? rows : Shape{members}.concatenated(rows), DType::f32,
                 {.seed = 5, .stream = kTestInput}, batch.shared_x ? 1 : std::max<int64_t>(members, 1));
}

inline bool is_in(const TapeTrace& trace) {
  return std::ranges::any_of(trace.tapes()[0].ops,
                             [](const auto& op) { return op.name == std::string("small_vae_cost"); });
}

enum class Way { as_it_is, plain_ops };

inline Found differentiated(Vae& vae, const Tensor& x, const Batch& batch, Way way = Way::as_it_is) {
  std::vector<KlWeight> weights;
  for (int64_t m = 0; m < vae.models(); ++m)
    weights.push_back({.beta = 0.5 + static_cast<double>(m + vae.first_member())});
  const Objective objective{.weights = weights};
  Loss loss = elbo_loss(vae, objective, batch.samples);
  if (way == Way::plain_ops) {
    loss.differentiate = nullptr;
    loss.value = [&](const LossInput& in) { return elbo_loss_twin(vae, objective, batch.samples, in); };
  }
  TapeTrace trace;
  Found found{differentiate(loss, x.to(vae.dtype()).to(vae.device()), {},
                            {.seed = 9, .stream = kLatentNoise, .step = 3}, batch.of),
              {}};
  found.in_one_op = is_in(trace);
  for (Parameter& parameter : vae.parameters().all()) {
    CHECK(parameter.has_gradient == parameter.trained);
    found.gradients.push_back(parameter.has_gradient ? parameter.gradient.to(Device::cpu).clone() : Tensor());
    parameter.has_gradient = false;
  }
  return found;
}

/// The largest distance, as a share of the largest number.
inline double difference(const Tensor& found, const Tensor& expected) {
  REQUIRE(found.shape() == expected.shape());
  REQUIRE(found.dtype() == expected.dtype());
  const std::vector<double> a = found.to_vector(), b = expected.to_vector();
  double largest = 0, distance = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    distance = std::max(distance, std::isfinite(a[i]) ? std::abs(a[i] - b[i]) : INFINITY);
  }
  return largest > 0 ? distance / largest : distance;
}

/// The op on a device beside plain ops on the CPU. In f32 both round, and a normal's last bits differ between
/// the devices.
inline void check_as_plain(const Model& model, const Batch& batch, int64_t members, Device device) {
  CAPTURE(model.name);
  CAPTURE(members);
  CAPTURE(batch.rows);
  CAPTURE(batch.samples);
  CAPTURE(batch.shared_x);
  const Tensor x = x_of(model, batch, members);
  const auto of_plain = model.make(Device::cpu, members, 2), vae = model.make(device, members, 2);
  const double tolerance = vae->dtype() == DType::f64 ? 1e-13 : 2e-5;
  const Found plain = differentiated(*of_plain, x, batch, Way::plain_ops),
              found = differentiated(*vae, x, batch);
  CHECK(found.in_one_op);
  CHECK(!plain.in_one_op);
  CHECK(found.terms.cost.device() == device);
  CHECK(difference(found.terms.cost, plain.terms.cost) < tolerance);
  REQUIRE(found.terms.probes.size() == plain.terms.probes.size());
  for (size_t i = 0; i < plain.terms.probes.size(); ++i) {
    CAPTURE(i);
    CHECK(found.terms.probes[i].device() == device);
    CHECK(difference(found.terms.probes[i], plain.terms.probes[i]) < tolerance);
  }
  for (size_t i = 0; i < plain.gradients.size(); ++i) {
    CAPTURE(vae->parameters().all()[i].name);
    REQUIRE(found.gradients[i].defined() == plain.gradients[i].defined());
    if (plain.gradients[i].defined()) CHECK(difference(found.gradients[i], plain.gradients[i]) < tolerance);
  }
}

inline void check_every_model(DType dtype, Device device, int64_t most_rows) {
  for (const Model& model : models(dtype))
    for (const int64_t members : {0, 3})
      for (const bool shared_x : {true, false})
        for (const Batch& batch :
             {Batch{1, 1, shared_x}, Batch{50, 2, shared_x}, Batch{most_rows, 1, shared_x}})
          if (members > 0 || shared_x) check_as_plain(model, batch, members, device);
}

/// Samples in shares, of parts, of rows of a larger batch.
inline void check_shares(DType dtype, Device device) {
  const Model own_variance = made_of("own variance", parts_models::own_variance_model, dtype);
  check_as_plain(own_variance, {.rows = 3, .samples = 45}, 0, device);
  check_as_plain(own_variance, {.rows = 100, .samples = 9}, 2, device);
  check_as_plain(made_of("in parts", many_parts, dtype), {.rows = 10, .samples = 6}, 2, device);
  check_as_plain(own_variance, {.rows = 10, .samples = 3, .of = {.first = 7, .all = 40}}, 2, device);
}

/// That plain ops have these models, those that neither device takes, and any objective but a weighted KL.
inline void check_left_to_plain_ops(Device device, std::vector<Model> also) {
  also.push_back(made_of("learned prior", parts_models::learned_prior_model));
  also.push_back(made_of("a variance for all points", parts_models::global_variance_model));
  also.push_back(made_of("a variance for each dimension", parts_models::variance_of_dimensions_model));
  const Batch batch;
  for (const Model& model : also) {
    CAPTURE(model.name);
    const auto vae = model.make(device, 0, 0);
    CHECK(!suits_small_vae_cost(*vae));
    CHECK(!differentiated(*vae, x_of(model, batch, 0), batch).in_one_op);
  }
  const Model model = models()[0];
  const auto vae = model.make(device, 0, 0);
  CHECK(suits_small_vae_cost(*vae));
  const Loss loss = elbo_loss(*vae, {.penalty = Objective::Penalty::free_bits});
  TapeTrace trace;
  differentiate(loss, x_of(model, batch, 0).to(device), {}, {.seed = 9, .stream = kLatentNoise});
  CHECK(!is_in(trace));
}

/// That a member's bits are those that it has alone, beside one that broke.
inline void check_members_apart(Device device, int64_t rows) {
  const Model model = models()[5];
  const Batch batch{.rows = rows, .samples = 9, .shared_x = false};
  constexpr int64_t kMembers = 3;
  const Tensor x = x_of(model, batch, kMembers);
  const auto together = model.make(device, kMembers, 0);
  together->parameters().at("decoder.1.weight").value.slice(1).fill(NAN);
  const Found all = differentiated(*together, x, batch);
  for (const int64_t m : {0, 2}) {
    CAPTURE(m);
    const auto alone = model.make(device, 1, m);
    const Found own = differentiated(*alone, x.slice(m, m + 1), batch);
    CHECK(own.terms.cost.at(0) == all.terms.cost.at(m));
    for (size_t i = 0; i < own.gradients.size(); ++i)
      CHECK(own.gradients[i].to_vector() == all.gradients[i].slice(m, m + 1).to_vector());
  }
  CHECK(std::isnan(all.terms.cost.at(1)));
}

/// That gradients add up, and that without a tape there are none.
inline void check_gradients_add_up(Device device) {
  const Model model = models()[0];
  const auto vae = model.make(device, 2, 0);
  const Tensor x = x_of(model, {}, 2).to(device), weight = Tensor::full({2}, 1, DType::f32, device);
  const RandomKey key{.seed = 9, .stream = kLatentNoise};
  const auto cost = [&] { return small_vae_cost(*vae, x, weight, key, 1, 1, {}).cost; };
  const auto backward = [&] {
    Tape tape;
    const Variable found = cost();
    backward_of_each(tape, found);
    return found.value().to_vector();
  };
  const std::vector<double> value = backward();
  const Tensor& gradient = vae->parameters().at("decoder.0.weight").gradient;
  CHECK(gradient.device() == device);
  const Tensor once = gradient.to(Device::cpu).clone();
  backward();
  CHECK(difference(gradient, (Variable(once) * 2).value()) < 1e-7);
  vae->parameters().consume_gradients();
  CHECK(cost().value().to_vector() == value);
  CHECK(!vae->parameters().at("decoder.0.weight").has_gradient);
}

}  // namespace elbo::small_vae_tests
