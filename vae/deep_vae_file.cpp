#include "vae/deep_vae_file.h"

#include <cmath>

namespace elbo {
namespace {

constexpr const char* kModel = "mlp";

const std::string& described(const SafetensorsFile& file, const char* what) {
  const auto found = file.metadata.find(what);
  if (found == file.metadata.end())
    fail("[load] {}: the metadata do not say '{}'; is it a model that elbo train --model mlp wrote?",
         file.path, what);
  return found->second;
}

/// A layer's outputs. That its inputs are those that the layer before it gives is checked before a network of
/// these widths is made, which could be far larger than the file.
int64_t outputs_of(const SafetensorsFile& file, const std::string& name, int64_t inputs) {
  const Tensor& weight = file.at(name);
  if (weight.rank() != 2 || weight.size(1) != inputs)
    fail("[load] {}: {} must be (outputs, {}), got {}", file.path, name, inputs, weight.shape().str());
  return weight.size(0);
}

/// Output widths of prefix.0.weight, prefix.1.weight, ...
std::vector<int64_t> widths_of(const SafetensorsFile& file, const std::string& prefix, int64_t inputs) {
  std::vector<int64_t> widths;
  while (true) {
    const std::string name = fmt::format("{}.{}.weight", prefix, widths.size());
    if (!file.contains(name)) return widths;
    inputs = outputs_of(file, name, inputs);
    widths.push_back(inputs);
  }
}

}  // namespace

void save_deep_vae(const std::string& path, const DeepVae& vae, int64_t member) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : vae.parameters().all()) {
    const Tensor own = vae.options().members > 0 ? parameter.value.slice(member) : parameter.value;
    tensors.push_back({parameter.name, own.to(Device::cpu)});
  }
  write_safetensors(path, tensors,
                    {{"model", kModel},
                     {"likelihood", name(vae.options().likelihood)},
                     {"encoder_activation", name(vae.options().encoder_activation)},
                     {"decoder_activation", name(vae.options().decoder_activation)}});
}

bool is_deep_vae(const SafetensorsFile& file) {
  const auto found = file.metadata.find("model");
  return found != file.metadata.end() && found->second == kModel;
}

std::unique_ptr<DeepVae> load_deep_vae(const SafetensorsFile& file, Device device) {
  DeepVaeOptions options;
  options.device = device;
  options.likelihood = parse_likelihood(described(file, "likelihood"));
  options.encoder_activation = parse_activation(described(file, "encoder_activation"));
  options.decoder_activation = parse_activation(described(file, "decoder_activation"));
  const Tensor& mean_head = file.at("encoder.mean.weight");
  options.latent = mean_head.rank() > 0 ? mean_head.size(0) : 0;
  options.dtype = mean_head.dtype();
  options.decoder_hidden = widths_of(file, "decoder", options.latent);
  if (options.decoder_hidden.empty()) fail("[load] {}: there is no decoder.0.weight", file.path);
  options.dimensions = options.decoder_hidden.back();  // the last layer is the output
  options.decoder_hidden.pop_back();
  options.encoder_hidden = widths_of(file, "encoder", options.dimensions);
  outputs_of(file, "encoder.mean.weight",
             options.encoder_hidden.empty() ? options.dimensions : options.encoder_hidden.back());
  auto vae = std::make_unique<DeepVae>(options, 0);
  for (Parameter& parameter : vae->parameters().all()) {
    const Tensor& value = file.at(parameter.name);
    if (!(value.shape() == parameter.value.shape()) || value.dtype() != parameter.value.dtype())
      fail("[load] {}: {} is {} {}, the network needs {} {}", file.path, parameter.name, name(value.dtype()),
           value.shape().str(), name(parameter.value.dtype()), parameter.value.shape().str());
    parameter.value.copy_from(value);
  }
  if (file.tensors.size() > vae->parameters().all().size())
    fail("[load] {}: a {} network of these layers has {} tensors, the file has {}", file.path,
         name(options.likelihood), vae->parameters().all().size(), file.tensors.size());
  return vae;
}

}  // namespace elbo
