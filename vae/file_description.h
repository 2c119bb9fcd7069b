// What the metadata of a model's file say of it, read with the errors that a damaged file deserves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nn/safetensors.h"

namespace elbo {

/// Text under a name. Throws where there is none.
const std::string& described(const SafetensorsFile& file, const char* what);
/// A positive number, at most 2^20. Throws for anything else.
int64_t number_in(const SafetensorsFile& file, const char* what);
/// A positive, finite number. Throws for anything else.
double decimal_in(const SafetensorsFile& file, const char* what);
/// "50,50", or "" for none.
std::vector<int64_t> numbers_in(const SafetensorsFile& file, const char* what);

/// Whether the metadata's "model" begins so: "luecke-".
bool is_model_of(const SafetensorsFile& file, std::string_view prefix);

/// Throws where dense layers from `dimensions` over `hidden` to `latent` would hold more numbers than the
/// file: before a network of such sizes is made.
void check_sizes(const SafetensorsFile& file, int64_t dimensions, const std::vector<int64_t>& hidden,
                 int64_t latent);

}  // namespace elbo
