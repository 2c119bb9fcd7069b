#include "vae/asperti_models.h"

#include <algorithm>
#include <cmath>

#include "vae/conv_network.h"
#include "vae/parts.h"

namespace elbo {
namespace {

constexpr Initializer kGlorot{Initializer::Kind::xavier_uniform};

void check(const AspertiOptions& o) {
  if (o.dimensions < 1 || o.latent < 1)
    fail("[asperti vae] dimensions and latent dimension must be positive, got {} and {}", o.dimensions,
         o.latent);
  for (const int64_t width : o.hidden)
    if (width < 1) fail("[asperti vae] a hidden layer cannot have {} units", width);
  if (!(o.lambda > 0) || !std::isfinite(o.lambda))
    fail("[asperti vae] lambda must be positive, got {}", o.lambda);
}

Encoder with_heads(ParameterStore& store, Network body, int64_t features, int64_t latent) {
  Network mean = network(Linear(store, "encoder.mean", features, latent, kGlorot));
  return encoder_of(std::move(body), std::move(mean),
                    network(Linear(store, "encoder.log_variance", features, latent, kGlorot)));
}

Parts dense_parts(ParameterStore& store, const AspertiOptions& o) {
  std::vector<int64_t> widths{o.dimensions};
  widths.insert(widths.end(), o.hidden.begin(), o.hidden.end());
  Network body = network(Sequential(store, "encoder", widths, Activation::relu, kGlorot, true));
  Encoder encoder = with_heads(store, std::move(body), widths.back(), o.latent);
  std::vector<LayerPlan> layers;
  for (size_t i = widths.size(); i-- > 0;)
    layers.push_back({.out = widths[i], .activation = i > 0 ? Activation::relu : Activation::sigmoid});
  Network mean = network(Sequential(store, "decoder", o.latent, layers, kGlorot));
  return {.encoder = std::move(encoder),
          .decoder = decoder_of(std::move(mean), nullptr),
          .widest = *std::max_element(widths.begin(), widths.end())};
}

Parts conv_parts(ParameterStore& store, const AspertiOptions& o) {
  if (o.conv->pixels() != o.dimensions)
    fail("[asperti vae] images of {} numbers do not have {} dimensions", o.conv->pixels(), o.dimensions);
  const ConvPlan plan = plan_of({.design = ConvDesign::asperti, .image = *o.conv}, o.latent);
  Network body = network(ImageStack(store, "encoder", 0, *o.conv, plan.encoder, kGlorot));
  Encoder encoder = with_heads(store, std::move(body), plan.features, o.latent);
  Network image = network(ImageStack(store, "decoder", 0, {1, 1, o.latent}, plan.decoder, kGlorot));
  int64_t widest = 0;
  for (const ImageSize& size : sizes_along(plan.decoder, {1, 1, o.latent}))
    widest = std::max(widest, size.pixels());
  return {.encoder = std::move(encoder),
          .decoder = decoder_of(chain({std::move(image), network(Activation::sigmoid)}), nullptr),
          .mixes_points = true,
          .widest = widest};
}

}  // namespace

std::unique_ptr<Vae> asperti_vae(const AspertiOptions& o, uint64_t seed) {
  check(o);
  const auto make = [&o](ParameterStore& store) {
    Parts parts = o.conv ? conv_parts(store, o) : dense_parts(store, o);
    Network noise = one_number(store, "log_sigma2", std::log(o.lambda / 2));
    store.hold("log_sigma2");
    parts.learns_sigma2 = {false};
    parts.decoder = [mean = std::move(parts.decoder), noise = std::move(noise)](const Variable& z,
                                                                                Mode mode) {
      return Observation{mean(z, mode).mean, noise(z, mode)};
    };
    return parts;
  };
  return std::make_unique<Vae>(VaeOptions{.dimensions = o.dimensions,
                                          .latent = o.latent,
                                          .dtype = o.dtype,
                                          .device = o.device,
                                          .members = o.members,
                                          .first_member = o.first_member},
                               make, seed);
}

Loss asperti_loss(Vae& vae, KlPart part) {
  if (part == KlPart::whole) return elbo_loss(vae);
  const auto value = [&vae, part](const LossInput& in) {
    const Posterior q = vae.encode(in.x, Mode::train);
    const PosteriorTerms drawn = vae.draw(q, for_members_of(vae, in.key));
    const Variable fit = mean(vae.log_likelihood(in.x, vae.decode(drawn.z, Mode::train)), {-1});
    const Variable kl = mean(drawn.kl, {-1});
    if (part == KlPart::none) return LossValue{-fit, {fit, kl}};
    return LossValue{0.5 * mean(sum(square(q.mean), {-1}), {-1}) - fit, {fit, kl}};
  };
  return {.probes = {kExpectedLogLikelihood, kKl}, .value = value};
}

}  // namespace elbo
