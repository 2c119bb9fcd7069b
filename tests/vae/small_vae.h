// Small VAEs whose whole cost is one op (vae/small_vae.h), and their terms and gradients from that op and
// from plain ops.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

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

}  // namespace elbo::small_vae_tests
