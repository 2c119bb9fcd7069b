// The VAEs of Asperti 2019 as files: parameters by name (nn/parameter_file.h), and in the metadata the
// network and lambda, so that a file alone makes it.
#pragma once

#include "nn/safetensors.h"
#include "vae/asperti_models.h"

namespace elbo {

/// Writes one member as a model of its own, atomically. The options are those that made `vae`; `more` is
/// added to the metadata.
void save_asperti_vae(const std::string& path, const AspertiOptions& options, const Vae& vae,
                      int64_t member = 0, const std::map<std::string, std::string>& more = {});

/// Whether the metadata speak of one.
bool is_asperti_vae(const SafetensorsFile& file);

/// The model of a file that save_asperti_vae wrote, on a device; it draws the noise of `first_member`. Throws
/// when tensors and description do not fit together.
std::unique_ptr<Vae> load_asperti_vae(const SafetensorsFile& file, Device device = Device::cpu,
                                      int64_t first_member = 0);

}  // namespace elbo
