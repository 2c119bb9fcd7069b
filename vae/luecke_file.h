// The VAEs of Lücke et al. as files: parameters by name (nn/parameter_file.h), and in the metadata which of
// the models it is and with what options, so that a file alone makes it.
#pragma once

#include "nn/safetensors.h"
#include "vae/luecke_models.h"

namespace elbo {

/// Writes one member as a model of its own, atomically. The options are those that made `vae`; `more` is
/// added to the metadata.
void save_luecke_vae(const std::string& path, LueckeModel model, const LueckeOptions& options, const Vae& vae,
                     int64_t member = 0, const std::map<std::string, std::string>& more = {});

/// Whether the metadata speak of one.
bool is_luecke_vae(const SafetensorsFile& file);

/// The model of a file that save_luecke_vae wrote, on a device; it draws the noise of `first_member`. Throws
/// when tensors and description do not fit together.
std::unique_ptr<Vae> load_luecke_vae(const SafetensorsFile& file, Device device = Device::cpu,
                                     int64_t first_member = 0);

}  // namespace elbo
