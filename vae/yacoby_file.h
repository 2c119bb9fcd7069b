// The VAEs of Yacoby et al. as files: parameters by name (nn/parameter_file.h), and in the metadata which of
// the models it is and what is given of it, so that a file alone makes it.
#pragma once

#include "nn/safetensors.h"
#include "vae/yacoby_models.h"

namespace elbo {

/// Writes one member as a model of its own, atomically. The truth is the one that made `vae`; `more` is added
/// to the metadata.
void save_yacoby_vae(const std::string& path, YacobyModel model, const YacobyTruth& truth, const Vae& vae,
                     int64_t member = 0, const std::map<std::string, std::string>& more = {});

/// Whether the metadata speak of one.
bool is_yacoby_vae(const SafetensorsFile& file);

/// The model of a file that save_yacoby_vae wrote, on a device; it draws the noise of `first_member`. Throws
/// when tensors and description do not fit together.
std::unique_ptr<Vae> load_yacoby_vae(const SafetensorsFile& file, Device device = Device::cpu,
                                     int64_t first_member = 0);

}  // namespace elbo
