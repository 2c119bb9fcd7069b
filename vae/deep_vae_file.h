// Deep VAEs as files: tensors under PyTorch's state-dict names and layouts (nn/parameter_file.h), and in the
// metadata what the network is, so that a file alone makes the model.
//
//   save_deep_vae("model.safetensors", vae);
//   const std::unique_ptr<DeepVae> again = load_deep_vae(read_safetensors("model.safetensors"));
#pragma once

#include <memory>

#include "nn/safetensors.h"
#include "vae/deep_vae.h"

namespace elbo {

/// Writes one member as a model of its own, atomically; `more` is added to the metadata.
void save_deep_vae(const std::string& path, const DeepVae& vae, int64_t member = 0,
                   const std::map<std::string, std::string>& more = {});

/// Whether the tensors are those of a deep VAE, and of a convolutional one.
bool is_deep_vae(const SafetensorsFile& file);
bool is_convolutional(const SafetensorsFile& file);

/// The model of a file that save_deep_vae wrote, on a device; it draws the noise of `first_member`. Throws
/// when names, shapes or the description do not fit together.
std::unique_ptr<DeepVae> load_deep_vae(const SafetensorsFile& file, Device device = Device::cpu,
                                       int64_t first_member = 0);

}  // namespace elbo
