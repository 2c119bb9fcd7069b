// Models made of parts (vae/parts.h), one for each kind that a paper asks for, in the few lines that each of
// them takes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/vae/helpers.h"
#include "vae/parts.h"

namespace elbo::parts_models {

inline constexpr Initializer kDrawn{Initializer::Kind::normal, 0.4};
inline constexpr int64_t kDimensions = 3, kLatent = 2;

struct Model {
  const char* name;
  int64_t latent;
  Parts (*make)(ParameterStore& store);
  std::vector<std::string> given{};  // beginnings of the names of what is not trained
};

inline Network mlp(ParameterStore& store, const std::string& name, const std::vector<int64_t>& widths) {
  return network(Sequential(store, name, widths, Activation::tanh, kDrawn));
}

inline Network layer(ParameterStore& store, const std::string& name, int64_t in, int64_t out) {
  return network(Linear(store, name, in, out, kDrawn));
}

inline Encoder two_heads(ParameterStore& store) {
  Network body = network(Sequential(store, "encoder", {kDimensions, 5}, Activation::softplus, kDrawn, true));
  Network mean = layer(store, "encoder.mean", 5, kLatent);
  return encoder_of(std::move(body), std::move(mean), layer(store, "encoder.log_variance", 5, kLatent));
}

/// A learned prior, and a decoder whose first matrix has columns of length 1 (Lücke et al., VAE-2).
inline Parts learned_prior_model(ParameterStore& store) {
  Encoder encoder = two_heads(store);
  Network first = unit_columns(store, "decoder.0", kLatent, 4, kDrawn, Activation::tanh);
  Network mean = chain({std::move(first), layer(store, "decoder.1", 4, kDimensions)});
  return {.encoder = std::move(encoder),
          .prior = learned_prior(store, kLatent),
          .decoder = decoder_of(std::move(mean), one_number(store, "log_sigma2", -1))};
}

/// sigma^2_d(z) from a network of its own with two hidden layers (Lücke et al., VAE-3).
inline Parts own_variance_model(ParameterStore& store) {
  Encoder encoder = two_heads(store);
  Network mean = mlp(store, "decoder", {kLatent, 5, kDimensions});
  return {.encoder = std::move(encoder),
          .decoder =
              decoder_of(std::move(mean), mlp(store, "decoder.log_variance", {kLatent, 4, 4, kDimensions})),
          .likelihood = Likelihood::diagonal_gaussian};
}

/// A linear mean and a variance that is the same for all points; a linear decoder without a bias.
inline Parts global_variance_model(ParameterStore& store) {
  Network mean = layer(store, "encoder.mean", kDimensions, kLatent);
  Encoder encoder = encoder_of(std::move(mean), same_for_all(store, "encoder.log_variance", kLatent, -0.5));
  Network decoder =
      network(Linear(store, "decoder", kLatent, kDimensions, kDrawn, Activation::none, Linear::Bias::none));
  return {.encoder = std::move(encoder),
          .prior = learned_prior(store, kLatent),
          .decoder = decoder_of(std::move(decoder), one_number(store, "log_sigma2"))};
}

/// A formula as decoder: the cube of L z, L a Cholesky factor, with noise that is given. The encoder has a
/// mean of one kind, its first layer half sigmoids and half cube roots, and a linear variance.
inline Parts cubic_model(ParameterStore& store) {
  Network halves =
      beside({network(Sequential(store, "encoder.sigmoid", kDimensions, {{2, Activation::sigmoid}}, kDrawn)),
              network(Sequential(store, "encoder.cbrt", kDimensions, {{2, Activation::cbrt}}, kDrawn))});
  Network mean = chain({std::move(halves), layer(store, "encoder.mean", 4, kDimensions)});
  Encoder encoder =
      encoder_of(std::move(mean), layer(store, "encoder.log_variance", kDimensions, kDimensions));
  Network decoder =
      chain({cholesky_map(store, "decoder", kDimensions, kDrawn, 0.5), network(Activation::cube)});
  return {.encoder = std::move(encoder),
          .decoder = decoder_of(std::move(decoder), one_number(store, "log_sigma2", -1.5))};
}

/// A decoder that is given, of layers that differ; a linear mean and a variance from a network.
inline Parts given_decoder_model(ParameterStore& store) {
  Network mean = layer(store, "encoder.mean", kDimensions, kLatent);
  Encoder encoder =
      encoder_of(std::move(mean), mlp(store, "encoder.log_variance", {kDimensions, 4, kLatent}));
  const std::vector<LayerPlan> layers{{.out = 4, .activation = Activation::cbrt},
                                      {.out = 3, .activation = Activation::elu, .bias = Linear::Bias::none},
                                      {.out = kDimensions}};
  Network logits = network(Sequential(store, "decoder", kLatent, layers, kDrawn));
  store.hold("decoder.");
  return {.encoder = std::move(encoder),
          .decoder = decoder_of(std::move(logits), nullptr),
          .likelihood = Likelihood::bernoulli};
}

/// A sigma^2 for each dimension, the same for all z.
inline Parts variance_of_dimensions_model(ParameterStore& store) {
  Encoder encoder = two_heads(store);
  Network mean = mlp(store, "decoder", {kLatent, 5, kDimensions});
  return {.encoder = std::move(encoder),
          .decoder = decoder_of(std::move(mean), same_for_all(store, "log_sigma2", kDimensions, -1)),
          .likelihood = Likelihood::diagonal_gaussian};
}

inline const std::vector<Model>& models() {
  static const std::vector<Model> all{{"learned prior", kLatent, learned_prior_model},
                                      {"own variance", kLatent, own_variance_model},
                                      {"global variance", kLatent, global_variance_model},
                                      {"cubic", kDimensions, cubic_model},
                                      {"variance of dimensions", kLatent, variance_of_dimensions_model},
                                      {"given decoder", kLatent, given_decoder_model, {"decoder."}}};
  return all;
}

inline std::unique_ptr<Vae> make(const Model& model, int64_t members, int64_t first_member = 0,
                                 Device device = Device::cpu) {
  return std::make_unique<Vae>(VaeOptions{.dimensions = kDimensions,
                                          .latent = model.latent,
                                          .dtype = DType::f64,
                                          .device = device,
                                          .members = members,
                                          .first_member = first_member},
                               model.make, 11);
}

/// A model whose prior and variances are far from 1.
inline std::unique_ptr<Vae> wide_prior(int64_t members) {
  auto vae = make(models()[0], members);
  const Tensor prior = vae->parameters().at("prior.log_variance").value;
  prior.copy_from((draw(prior.shape(), 3) * 1.5).value());
  return vae;
}

/// Data for all of them, also for the Bernoulli likelihood: (N, D) or (M, N, D).
inline Tensor data(const Shape& shape, uint64_t seed = 5) {
  return uniform(shape, DType::f64, {.seed = seed, .stream = kTestInput});
}

}  // namespace elbo::parts_models
