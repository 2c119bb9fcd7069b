// VaeTwin: a deep VAE's networks and densities written as loops over single numbers, which the tests of the
// deep VAE compare with; and deep VAEs with known weights.
#pragma once

#include <memory>

#include "tests/vae/linear_setting.h"
#include "vae/deep_vae.h"

namespace elbo {

using Numbers = std::vector<double>;

inline constexpr Likelihood kAllLikelihoods[] = {Likelihood::gaussian, Likelihood::diagonal_gaussian,
                                                 Likelihood::bernoulli};

inline Numbers row(const Tensor& x, int64_t i) { return x.slice(i).to_vector(); }

/// Random numbers in every weight and bias; sigma^2 and averages stay as they are.
inline void randomise(DeepVae& vae, double scale, uint64_t seed) {
  for (Parameter* parameter : vae.parameters().trained())
    if (parameter->name != "log_sigma2")
      parameter->value.copy_from(
          (draw(parameter->value.shape(), seed++) * scale).value().to(vae.options().dtype));
}

/// k = 3, D = 4, with random weights.
inline std::unique_ptr<DeepVae> small_deep_vae(Likelihood likelihood, int64_t members = 0,
                                               DType dtype = DType::f64) {
  auto vae = std::make_unique<DeepVae>(DeepVaeOptions{.dimensions = 4,
                                                      .latent = 3,
                                                      .encoder_hidden = {6},
                                                      .decoder_hidden = {5},
                                                      .encoder_activation = Activation::tanh,
                                                      .decoder_activation = Activation::softplus,
                                                      .likelihood = likelihood,
                                                      .sigma2 = {0.6},
                                                      .dtype = dtype,
                                                      .members = members},
                                       1);
  randomise(*vae, 0.7, 30);
  return vae;
}

/// Data that each likelihood can have come from: in [0, 1] for Bernoulli.
inline Tensor data_for(Likelihood likelihood, int64_t n, int64_t dimensions, uint64_t seed) {
  return likelihood == Likelihood::bernoulli
             ? uniform({n, dimensions}, DType::f64, {.seed = seed, .stream = kTestInput})
             : draw({n, dimensions}, seed);
}

class VaeTwin {
 public:
  /// One member's numbers, found by PyTorch's names.
  explicit VaeTwin(DeepVae& vae, int64_t member = 0) : vae_(vae), member_(member) {}

  struct Normal {
    Numbers mean, log_variance;
  };
  Normal encode(Numbers x) const {
    const DeepVaeOptions& o = vae_.options();
    for (size_t i = 0; i < o.encoder_hidden.size(); ++i)
      x = activated(o.encoder_activation, layer("encoder." + std::to_string(i), x));
    return {layer("encoder.mean", x), layer("encoder.log_variance", x)};
  }
  /// The output layer; for the Bernoulli likelihood its mean are logits, and it has no variance.
  Normal decode(Numbers z) const {
    const DeepVaeOptions& o = vae_.options();
    const size_t hidden = o.decoder_hidden.size();
    for (size_t i = 0; i < hidden; ++i)
      z = activated(o.decoder_activation, layer("decoder." + std::to_string(i), z));
    Normal output{layer("decoder." + std::to_string(hidden), z), {}};
    if (o.likelihood == Likelihood::gaussian)
      output.log_variance.assign(output.mean.size(), std::log(vae_.sigma2(member_)));
    if (o.likelihood == Likelihood::diagonal_gaussian) output.log_variance = layer("decoder.log_variance", z);
    return output;
  }
  double log_likelihood(const Numbers& x, const Numbers& z) const {
    const Normal output = decode(z);
    double total = 0;
    for (size_t j = 0; j < x.size(); ++j)
      if (output.log_variance.empty()) {
        const double p = 1 / (1 + std::exp(-output.mean[j]));
        total += x[j] * std::log(p) + (1 - x[j]) * std::log(1 - p);
      } else {
        total += log_normal(x[j], output.mean[j], output.log_variance[j]);
      }
    return total;
  }
  /// |x - E[x|z]|^2.
  double squared_error(const Numbers& x, const Numbers& z) const {
    const Normal output = decode(z);
    double total = 0;
    for (size_t j = 0; j < x.size(); ++j)
      total += std::pow(
          x[j] - (output.log_variance.empty() ? 1 / (1 + std::exp(-output.mean[j])) : output.mean[j]), 2);
    return total;
  }
  static double log_normal(double x, double mean, double log_variance) {
    return -0.5 *
           (std::log(2 * std::acos(-1.0)) + log_variance + (x - mean) * (x - mean) / std::exp(log_variance));
  }
  /// KL(N(mean, e^log_variance) || N(0, 1)) of one unit.
  static double unit_kl(double mean, double log_variance) {
    return 0.5 * (mean * mean + std::exp(log_variance) - 1 - log_variance);
  }

 private:
  Numbers layer(const std::string& name, const Numbers& x) const {
    const auto own = [&](const char* what) {
      const Tensor& value = vae_.parameters().at(name + what).value;
      return (vae_.options().members > 0 ? value.slice(member_) : value).to_vector();
    };
    const Numbers weight = own(".weight");
    Numbers y = own(".bias");
    for (size_t o = 0; o < y.size(); ++o)
      for (size_t i = 0; i < x.size(); ++i) y[o] += weight.at(o * x.size() + i) * x[i];
    return y;
  }
  static Numbers activated(Activation activation, Numbers x) {
    for (double& value : x) {
      if (activation == Activation::relu) value = std::max(value, 0.0);
      if (activation == Activation::tanh) value = std::tanh(value);
      if (activation == Activation::softplus) value = std::log(1 + std::exp(value));
    }
    return x;
  }

  DeepVae& vae_;
  int64_t member_;
};

/// The linear VAE of the setting, for its centred data, as a deep one without hidden layers.
inline std::unique_ptr<DeepVae> as_deep(LinearSetting& s) {
  auto vae = std::make_unique<DeepVae>(DeepVaeOptions{.dimensions = s.x.size(1),
                                                      .latent = s.value("encoder.weight").size(0),
                                                      .encoder_hidden = {},
                                                      .decoder_hidden = {},
                                                      .dtype = DType::f64},
                                       1);
  const auto value = [&](const char* name) { return vae->parameters().at(name).value; };
  value("encoder.mean.weight").copy_from(s.value("encoder.weight"));
  value("encoder.log_variance.weight").fill(0);
  value("encoder.log_variance.bias").copy_from(s.value("log_variance"));
  value("decoder.0.weight").copy_from(s.value("decoder.weight"));
  value("log_sigma2").copy_from(s.value("log_sigma2"));
  return vae;
}

}  // namespace elbo
