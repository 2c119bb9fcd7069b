// What the metadata of a model's file say of it, read with the errors that a damaged file deserves.
#pragma once

#include <string>
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

/// Throws where dense layers between these widths would hold more numbers than the file: before a network of
/// such sizes is made.
void check_sizes(const SafetensorsFile& file, const std::vector<int64_t>& widths);

}  // namespace elbo
