#include "vae/yacoby_models.h"

#include <cmath>

namespace elbo {
namespace {

constexpr int64_t kLatent = 2, kHidden = 50;
constexpr const char* kDecoder = "decoder.";

const Tensor& number_of(const YacobyTruth& truth, std::string_view name) {
  const auto found = truth.find(std::string(name));
  if (found == truth.end()) fail("[yacoby] the truth of the data says no '{}'", name);
  return found->second;
}

Initializer uniform_for(int64_t inputs) {
  return {Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(inputs))};
}

class Maker {
 public:
  Maker(ParameterStore& store, YacobyModel model, const YacobyTruth& truth)
      : store_(store), model_(model), truth_(truth) {}

  Parts parts() {
    Encoder encoder = make_encoder();
    Network mean = make_decoder();
    const double noise_variance = number_of(truth_, "noise_variance").item();
    Network log_sigma2 = one_number(store_, "log_sigma2", std::log(noise_variance));
    store_.hold("log_sigma2");
    return {.encoder = std::move(encoder),
            .decoder = decoder_of(std::move(mean), std::move(log_sigma2)),
            .widest = model_ == YacobyModel::mobius ? kHidden : 0,
            .learns_sigma2 = {false}};
  }

 private:
  /// A layer whose weights and biases start uniform.
  Network layer(const std::string& name, int64_t in, int64_t out, Activation activation = Activation::none) {
    Parameter& weight = store_.add(name + ".weight", {out, in}, uniform_for(in));
    Parameter& bias = store_.add(name + ".bias", {out}, uniform_for(in));
    return network(Linear(weight, bias, activation));
  }

  Encoder make_encoder() {
    switch (model_) {
      case YacobyModel::linear_jtex:
        return heads(kLatent);
      case YacobyModel::gaussian:
        return heads(4);
      case YacobyModel::mobius: {
        Network body = layer("encoder.0", 2, kHidden, Activation::relu);
        return on(std::move(body), kHidden);
      }
      case YacobyModel::cubic_jtex:
        break;
    }
    // The slope of the cube root itself is infinite at 0.
    const Network root = [](const Variable& u, Mode) { return u / pow(square(u) + 1e-3, 1.0 / 3); };
    Network sigmoids = layer("encoder.0.sigmoid", 2, 2, Activation::sigmoid);
    Network roots = chain({layer("encoder.0.root", 2, 2), root});
    Network second = layer("encoder.1", 4, 20, Activation::relu);
    return on(chain({beside({std::move(sigmoids), std::move(roots)}), std::move(second)}), 20);
  }

  Encoder heads(int64_t features) {
    Network mean = layer("encoder.mean", features, kLatent);
    return encoder_of(std::move(mean), layer("encoder.log_variance", features, kLatent));
  }
  Encoder on(Network body, int64_t features) {
    Network mean = layer("encoder.mean", features, kLatent);
    return encoder_of(std::move(body), std::move(mean), layer("encoder.log_variance", features, kLatent));
  }

  Network make_decoder() {
    if (model_ == YacobyModel::gaussian)
      return network(
          Linear(store_, "decoder", kLatent, 4, uniform_for(kLatent), Activation::none, Linear::Bias::none));
    if (model_ == YacobyModel::mobius) {
      Network hidden = layer("decoder.0", kLatent, kHidden, Activation::relu);
      return chain({std::move(hidden), layer("decoder.1", kHidden, 2)});
    }
    Network root = cholesky_map(store_, "decoder", kLatent, {Initializer::Kind::normal, 1},
                                number_of(truth_, "floor").item());
    return model_ == YacobyModel::cubic_jtex ? chain({std::move(root), network(Activation::cube)}) : root;
  }

  ParameterStore& store_;
  const YacobyModel model_;
  const YacobyTruth& truth_;
};

}  // namespace

const char* name(YacobyModel model) {
  switch (model) {
    case YacobyModel::linear_jtex:
      return "linear-jtex";
    case YacobyModel::cubic_jtex:
      return "cubic-jtex";
    case YacobyModel::gaussian:
      return "gaussian";
    case YacobyModel::mobius:
      return "mobius";
  }
  return "";
}

YacobyModel parse_yacoby_model(std::string_view text) {
  for (const YacobyModel model :
       {YacobyModel::linear_jtex, YacobyModel::cubic_jtex, YacobyModel::gaussian, YacobyModel::mobius})
    if (text == name(model)) return model;
  fail("[yacoby] there is no model '{}'; there are linear-jtex, cubic-jtex, gaussian and mobius", text);
}

std::unique_ptr<Vae> yacoby_vae(YacobyModel model, const YacobyTruth& truth, const YacobyOptions& o,
                                uint64_t seed) {
  return std::make_unique<Vae>(
      VaeOptions{.dimensions = model == YacobyModel::gaussian ? 4 : 2,
                 .latent = kLatent,
                 .dtype = DType::f64,
                 .device = o.device,
                 .members = o.members,
                 .first_member = o.first_member},
      [&](ParameterStore& store) { return Maker(store, model, truth).parts(); }, seed);
}

void set_decoder(Vae& vae, const YacobyTruth& truth) {
  const std::string beginning = kDecoder;
  // All of them are looked at before the first is set.
  for (const bool set : {false, true})
    for (Parameter& parameter : vae.parameters().all()) {
      if (!parameter.name.starts_with(beginning)) continue;
      const Tensor& value = number_of(truth, parameter.name.substr(beginning.size()));
      const Shape own = (vae.has_members() ? parameter.value.slice(0) : parameter.value).shape();
      if (value.shape() != own)
        fail("[yacoby] {} is {}, and of the truth {}", parameter.name, own.str(), value.shape().str());
      if (!set) continue;
      const Tensor here = value.to(vae.dtype()).to(vae.device());
      for (int64_t m = 0; m < vae.models(); ++m)
        (vae.has_members() ? parameter.value.slice(m) : parameter.value).copy_from(here);
    }
}

LinearGaussian linear_gaussian_of(const Vae& vae, int64_t member) {
  // The columns of W are where the unit vectors go, whatever the matrix is made of. What is not linear does
  // not take twice their sum to twice their images' sum, and 0 to 0.
  const int64_t k = vae.latent(), d = vae.dimensions(), probes = k + 2;
  const Shape shape = vae.has_members() ? Shape{vae.models(), probes, k} : Shape{probes, k};
  const Tensor z = Tensor::zeros(shape, DType::f64);
  for (int64_t m = 0; m < vae.models(); ++m)
    for (int64_t i = 0; i < k; ++i) {
      z.data<double>()[(m * probes + i) * k + i] = 1;
      z.data<double>()[(m * probes + k) * k + i] = 2;
    }
  const Observation seen = vae.decode(z.to(vae.dtype()).to(vae.device()));
  const auto own = [&](const Variable& x) {
    return (vae.has_members() ? x.value().slice(member) : x.value()).to(DType::f64).to(Device::cpu);
  };
  const Tensor images = own(seen.mean);
  LinearGaussian model{Tensor::empty({d, k}, DType::f64),
                       Tensor::full({d}, std::exp(own(seen.log_variance).at(0)), DType::f64)};
  for (int64_t i = 0; i < d; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) {
      model.weight.data<double>()[i * k + j] = images.at(j * d + i);
      sum += 2 * images.at(j * d + i);
    }
    if (images.at((k + 1) * d + i) != 0 || std::abs(images.at(k * d + i) - sum) > 1e-6 * (1 + std::abs(sum)))
      fail("[yacoby] the decoder is not linear");
  }
  return model;
}

}  // namespace elbo
