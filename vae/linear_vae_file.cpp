#include "vae/linear_vae_file.h"

#include <cmath>

#include "tensor/gemm.h"

namespace elbo {

void save_linear_vae(const std::string& path, const LinearVae& vae, int64_t member,
                     const std::map<std::string, std::string>& more) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : vae.parameters().all()) {
    const Tensor own = vae.options().members > 0 ? parameter.value.slice(member) : parameter.value;
    tensors.push_back({parameter.name, own.to(Device::cpu)});
  }
  tensors.push_back({"mean", vae.mean()});
  std::map<std::string, std::string> description = more;
  description.insert({"model", "linear"});
  write_safetensors(path, tensors, description);
}

LinearVaeWeights load_linear_vae(const SafetensorsFile& file) {
  const std::string& path = file.path;
  const auto part = [&](const char* name, int rank) {
    const Tensor tensor = file.at(name).to(DType::f64);
    if (tensor.rank() != rank)
      fail("[load] {}: {} has shape {}, a linear VAE needs {} axes", path, name, tensor.shape().str(), rank);
    return tensor;
  };
  const LinearVaeWeights w{part("decoder.weight", 2), part("encoder.weight", 2), part("log_variance", 1),
                           part("mean", 1), part("log_sigma2", 1).item()};
  const int64_t d = w.decoder.size(0), k = w.decoder.size(1);
  if (!(w.encoder.shape() == Shape{k, d}) || !(w.log_variance.shape() == Shape{k}) ||
      !(w.mean.shape() == Shape{d}))
    fail(
        "[load] {}: the shapes of a linear VAE disagree: decoder {}, encoder {}, log_variance {}, mean "
        "{}",
        path, w.decoder.shape().str(), w.encoder.shape().str(), w.log_variance.shape().str(),
        w.mean.shape().str());
  return w;
}

std::unique_ptr<DeepVae> as_deep_vae(const LinearVaeWeights& w) {
  const int64_t d = w.decoder.size(0), k = w.decoder.size(1);
  auto vae = std::make_unique<DeepVae>(DeepVaeOptions{.dimensions = d,
                                                      .latent = k,
                                                      .encoder_hidden = {},
                                                      .decoder_hidden = {},
                                                      .encoder_activation = Activation::none,
                                                      .decoder_activation = Activation::none,
                                                      .sigma2 = {std::exp(w.log_sigma2)},
                                                      .dtype = DType::f64},
                                       0);
  ParameterStore& to = vae->parameters();
  const Tensor code_of_mean = matmul(w.encoder, Transpose::no, w.mean.reshape({d, 1}), Transpose::no);
  to.at("encoder.mean.weight").value.copy_from(w.encoder);
  to.at("encoder.mean.bias").value.copy_from((-Variable(code_of_mean)).value().reshape({k}));
  to.at("encoder.log_variance.weight").value.fill(0);
  to.at("encoder.log_variance.bias").value.copy_from(w.log_variance);
  to.at("decoder.0.weight").value.copy_from(w.decoder);
  to.at("decoder.0.bias").value.copy_from(w.mean);
  to.at("log_sigma2").value.fill(w.log_sigma2);
  return vae;
}

}  // namespace elbo
