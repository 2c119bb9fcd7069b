// safetensors: named tensors in a file that PyTorch, NumPy and JAX read too
// (huggingface.co/docs/safetensors).
//
// A file is 8 bytes with the little-endian length of a header, the header in JSON, then the elements. The
// header names every tensor with its dtype, shape and place, and may carry text under "__metadata__". Reading
// trusts nothing: every size is checked against the file before memory is asked for, and a damaged file is
// one clean Error. Values are not judged: a NaN is stored and read like any number.
//
//   write_safetensors("model.safetensors", {{"decoder.weight", weight}}, {{"framework", "elbo"}});
//   Tensor weight = read_safetensors("model.safetensors").at("decoder.weight");
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace elbo {

struct NamedTensor {
  std::string name;
  Tensor value;
};

struct SafetensorsFile {
  std::vector<NamedTensor> tensors;             ///< in the order of the header
  std::map<std::string, std::string> metadata;  ///< empty when the file has none
  std::string path;                             ///< where it was read from, for messages

  /// The tensor of that name, or an Error that lists the names there are.
  const Tensor& at(std::string_view name) const;
  bool contains(std::string_view name) const;
};

/// Writes CPU tensors of any dtype, atomically (tensor/file.h): on any Error `path` is as it was. The header
/// lists them in the order given; the same tensors and metadata give the same bytes. Throws for a repeated
/// name, the reserved name "__metadata__", a tensor without a value, and text that is not UTF-8.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// Reads a file's tensors to the CPU: F32, F64, U8 and I64 as they are, F16 and BF16 as f32 (exactly). Throws
/// Error for another dtype, more than Shape::kMaxRank axes, and whatever the format does not allow.
SafetensorsFile read_safetensors(const std::string& path);

}  // namespace elbo
