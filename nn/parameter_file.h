// parameter_file: the parameters of one model, or of one member of an ensemble, in a safetensors file under
// their names, in PyTorch's layouts. A convolution's weight is (C_out, C_in, KH, KW) there, a transposed
// one's (C_in, C_out, KH, KW): the channels that are innermost here come second, as they do in any parameter
// of four axes.
//
//   save_parameters("model.safetensors", vae.parameters(), member);
//   load_parameters(read_safetensors("model.safetensors"), other.parameters());    // made by the same code
#pragma once

#include "nn/parameters.h"
#include "nn/safetensors.h"

namespace elbo {

/// Writes those of a member, trained or not, atomically, and `metadata`.
void save_parameters(const std::string& path, const ParameterStore& store, int64_t member = 0,
                     const std::map<std::string, std::string>& metadata = {});

/// Sets those of a member to what a file holds. Throws, changing nothing, unless it has a tensor for each of
/// them, of its shape and type, and no others.
void load_parameters(const SafetensorsFile& file, ParameterStore& store, int64_t member = 0);

}  // namespace elbo
