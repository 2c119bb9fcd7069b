// parameter_file: the parameters of one model, or of one member of an ensemble, in a safetensors file under
// their names, in PyTorch's layouts. In the file a convolution's weight is (C_out, C_in, KH, KW), and that of
// a transposed one (C_in, C_out, KH, KW): channels that are innermost in elbo come second there, in every
// parameter of four axes.
//
//   save_parameters("model.safetensors", vae.parameters(), member);
//   load_parameters(read_safetensors("model.safetensors"), other.parameters());    // made by the same code
#pragma once

#include "nn/parameters.h"
#include "nn/safetensors.h"

namespace elbo {

/// Writes the parameters of a member, trained or not, and `metadata`, atomically.
void save_parameters(const std::string& path, const ParameterStore& store, int64_t member = 0,
                     const std::map<std::string, std::string>& metadata = {});

/// Sets the parameters of a member to what a file holds. Throws, and changes nothing, unless the file has one
/// tensor for each parameter, of its shape and type, and no others.
void load_parameters(const SafetensorsFile& file, ParameterStore& store, int64_t member = 0);

}  // namespace elbo
