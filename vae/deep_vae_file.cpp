#include "vae/deep_vae_file.h"

#include <algorithm>
#include <cmath>

#include "nn/parameter_file.h"
#include "vae/file_description.h"

namespace elbo {
namespace {

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

/// What the widths of a file's layers say about its multilayer perceptrons.
void describe_dense(const SafetensorsFile& file, DeepVaeOptions& options) {
  options.encoder_activation = parse_activation(described(file, "encoder_activation"));
  options.decoder_activation = parse_activation(described(file, "decoder_activation"));
  options.decoder_hidden = widths_of(file, "decoder", options.latent);
  if (options.decoder_hidden.empty()) fail("[load] {}: there is no decoder.0.weight", file.path);
  options.dimensions = options.decoder_hidden.back();  // the last layer is the output
  options.decoder_hidden.pop_back();
  options.encoder_hidden = widths_of(file, "encoder", options.dimensions);
  outputs_of(file, "encoder.mean.weight",
             options.encoder_hidden.empty() ? options.dimensions : options.encoder_hidden.back());
}

void describe_convolutional(const SafetensorsFile& file, DeepVaeOptions& options) {
  ConvNetwork network{.design = parse_conv_design(described(file, "network")),
                      .image = {.height = number_in(file, "image_height"),
                                .width = number_in(file, "image_width"),
                                .channels = number_in(file, "image_channels")},
                      .width = number_in(file, "width")};
  // Before a network of this width is made, which could be far larger than the file.
  outputs_of(file, "encoder.mean.weight", plan_of(network, options.latent).features);
  options.dimensions = network.image.pixels();
  options.conv = network;
}

}  // namespace

void save_deep_vae(const std::string& path, const DeepVae& vae, int64_t member,
                   const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> description = more;
  description.insert({"likelihood", name(vae.options().likelihood)});
  if (const auto& conv = vae.options().conv) {
    description.insert({{"model", "conv"},
                        {"network", name(conv->design)},
                        {"width", std::to_string(conv->width)},
                        {"image_height", std::to_string(conv->image.height)},
                        {"image_width", std::to_string(conv->image.width)},
                        {"image_channels", std::to_string(conv->image.channels)}});
  } else {
    description.insert({{"model", "mlp"},
                        {"encoder_activation", name(vae.options().encoder_activation)},
                        {"decoder_activation", name(vae.options().decoder_activation)}});
  }
  save_parameters(path, vae.parameters(), member, description);
}

bool is_deep_vae(const SafetensorsFile& file) {
  const auto model = file.metadata.find("model");
  const bool another = model != file.metadata.end() && model->second != "mlp" && model->second != "conv";
  return !another && file.contains("encoder.mean.weight");
}

bool is_convolutional(const SafetensorsFile& file) {
  return std::any_of(file.tensors.begin(), file.tensors.end(),
                     [](const NamedTensor& tensor) { return tensor.value.rank() == 4; });
}

std::unique_ptr<DeepVae> load_deep_vae(const SafetensorsFile& file, Device device, int64_t first_member) {
  DeepVaeOptions options;
  options.first_member = first_member;
  options.device = device;
  options.likelihood = parse_likelihood(described(file, "likelihood"));
  const Tensor& mean_head = file.at("encoder.mean.weight");
  options.latent = mean_head.rank() > 0 ? mean_head.size(0) : 0;
  options.dtype = mean_head.dtype();
  if (is_convolutional(file))
    describe_convolutional(file, options);
  else
    describe_dense(file, options);
  auto vae = std::make_unique<DeepVae>(options, 0);
  load_parameters(file, vae->parameters());
  return vae;
}

}  // namespace elbo
