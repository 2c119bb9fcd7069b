#include "vae/luecke_models.h"

#include <cmath>

namespace elbo {
namespace {

class Maker {
 public:
  Maker(ParameterStore& store, LueckeModel model, const LueckeOptions& options)
      : store_(store), model_(model), o_(options) {}

  Parts parts() {
    Encoder encoder = make_encoder();
    Prior prior;
    if (model_ == LueckeModel::vae2) prior = learned_prior(store_, o_.latent);
    Network mean = make_decoder();
    Network log_sigma2 =
        model_ == LueckeModel::vae3
            ? networks("decoder.log_variance", o_.latent, o_.dimensions, o_.hidden)
            : log_of_square(one_number(store_, o_.softplus ? "sigma_raw" : "log_sigma2", start_of_sigma()));
    if (o_.fixed_sigma) store_.hold(o_.softplus ? "sigma_raw" : "log_sigma2");
    int64_t widest = std::max(o_.latent, o_.dimensions);
    if (model_ != LueckeModel::linear)
      for (const int64_t width : o_.hidden) widest = std::max(widest, width);
    return {.encoder = std::move(encoder),
            .prior = std::move(prior),
            .decoder = decoder_of(std::move(mean), std::move(log_sigma2)),
            .likelihood = model_ == LueckeModel::vae3 ? Likelihood::diagonal_gaussian : Likelihood::gaussian,
            .widest = widest,
            .learns_sigma2 = {!o_.fixed_sigma}};
  }

 private:
  /// A layer that starts as the paper's framework starts it.
  Network layer(const std::string& name, int64_t in, int64_t out, Activation activation = Activation::none) {
    const Initializer drawn{Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(in))};
    Parameter& weight = store_.add(name + ".weight", {out, in}, drawn);
    Parameter& bias = store_.add(name + ".bias", {out}, drawn);
    return network(Linear(weight, bias, activation));
  }

  /// Hidden layers name.0, name.1, ..., and the last.
  Network networks(const std::string& name, int64_t in, int64_t out, const std::vector<int64_t>& hidden) {
    std::vector<Network> all = body(name, in, hidden);
    all.push_back(layer(fmt::format("{}.{}", name, hidden.size()), hidden.empty() ? in : hidden.back(), out));
    return chain(std::move(all));
  }
  std::vector<Network> body(const std::string& name, int64_t in, const std::vector<int64_t>& hidden) {
    std::vector<Network> all;
    for (const int64_t width : hidden) {
      all.push_back(layer(fmt::format("{}.{}", name, all.size()), in, width, Activation::relu));
      in = width;
    }
    return all;
  }

  /// ln of the square of a deviation, from what is learned of it.
  Network log_of_square(Network learned) const {
    if (!o_.softplus) return learned;
    const auto square = [](const Variable& raw) { return 2 * log(softplus(raw)); };
    if (learned.constant())
      return Network::constant([square, number = learned.constant()] { return square(number()); });
    return [square, learned = std::move(learned)](const Variable& x, Mode mode) {
      return square(learned(x, mode));
    };
  }

  double start_of_sigma() const {
    if (!o_.fixed_sigma) return 0;
    return o_.softplus ? *o_.fixed_sigma + std::log(-std::expm1(-*o_.fixed_sigma))
                       : 2 * std::log(*o_.fixed_sigma);
  }

  Encoder make_encoder() {
    if (model_ == LueckeModel::linear) {
      Network mean = layer("encoder.mean", o_.dimensions, o_.latent);
      return encoder_of(
          std::move(mean),
          log_of_square(same_for_all(store_, o_.softplus ? "tau_raw" : "encoder.log_variance", o_.latent)));
    }
    // Heads are ln tau^2, as softplus cannot scale what it gives by changing a bias.
    Network hidden = chain(body("encoder", o_.dimensions, o_.hidden));
    const int64_t features = o_.hidden.empty() ? o_.dimensions : o_.hidden.back();
    Network mean = layer("encoder.mean", features, o_.latent);
    return encoder_of(std::move(hidden), std::move(mean), layer("encoder.log_variance", features, o_.latent));
  }

  Network make_decoder() {
    if (model_ == LueckeModel::linear) return layer("decoder", o_.latent, o_.dimensions);
    if (model_ != LueckeModel::vae2) return networks("decoder", o_.latent, o_.dimensions, o_.hidden);
    const Initializer drawn{Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(o_.latent))};
    std::vector<Network> all{
        unit_columns(store_, "decoder.0", o_.latent, o_.hidden[0], drawn, Activation::relu)};
    for (size_t i = 1; i <= o_.hidden.size(); ++i) {
      const bool last = i == o_.hidden.size();
      all.push_back(layer(fmt::format("decoder.{}", i), o_.hidden[i - 1], last ? o_.dimensions : o_.hidden[i],
                          last ? Activation::none : Activation::relu));
    }
    return chain(std::move(all));
  }

  ParameterStore& store_;
  const LueckeModel model_;
  const LueckeOptions& o_;
};

}  // namespace

std::unique_ptr<Vae> luecke_vae(LueckeModel model, const LueckeOptions& o, uint64_t seed) {
  if (o.dimensions < 1 || o.latent < 1)
    fail("[luecke] dimensions and latent dimension must be positive, got {} and {}", o.dimensions, o.latent);
  for (const int64_t width : o.hidden)
    if (width < 1) fail("[luecke] a hidden layer cannot have {} units", width);
  if (o.hidden.empty() && (model == LueckeModel::vae2 || model == LueckeModel::vae3))
    fail("[luecke] the networks of VAE-2 and VAE-3 need a hidden layer");
  if (o.fixed_sigma && !(*o.fixed_sigma > 0 && std::isfinite(*o.fixed_sigma)))
    fail("[luecke] sigma must be positive and finite, got {}", *o.fixed_sigma);
  if (o.fixed_sigma && model == LueckeModel::vae3) fail("[luecke] VAE-3 has no sigma that could be fixed");
  return std::make_unique<Vae>(
      VaeOptions{o.dimensions, o.latent, o.dtype, o.device, o.members, o.first_member},
      [&](ParameterStore& store) { return Maker(store, model, o).parts(); }, seed);
}

Ppca linear_decoder(const Vae& vae, int64_t member) {
  const auto own = [&](const Tensor& x) {
    return (vae.has_members() ? x.slice(member) : x).to(DType::f64).to(Device::cpu).clone();
  };
  Ppca decoder;
  for (const Parameter& parameter : vae.parameters().all()) {
    if (parameter.name == "decoder.weight") decoder.weight = own(parameter.value);
    if (parameter.name == "decoder.bias") decoder.mean = own(parameter.value);
  }
  if (!decoder.weight.defined()) fail("[luecke] the decoder is not linear");
  const Tensor z =
      Tensor::zeros(vae.has_members() ? Shape{vae.models(), 1, vae.latent()} : Shape{1, vae.latent()},
                    vae.dtype(), vae.device());
  decoder.sigma2 = std::exp(
      own(vae.decode(z).log_variance.value().reshape(vae.has_members() ? Shape{vae.models(), 1} : Shape{1}))
          .item());
  return decoder;
}

}  // namespace elbo
