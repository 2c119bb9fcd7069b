// idx: LeCun's IDX format, in which MNIST and its relatives come: a big-endian header and the elements.
//
// Only unsigned bytes, the one element type in use; plain or gzip (told by content, not by name).
//
//   Tensor images = read_idx("train-images-idx3-ubyte.gz");   // u8 (60000, 28, 28)
//   read_idx_shape("train-images-idx3-ubyte.gz");             // its shape alone
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace elbo {

/// The u8 array in an IDX file, in its own shape of 1 to 8 axes: images (N, H, W), labels (N).
/// Throws Error on a wrong magic number, another element type, an empty array, and a file that is shorter or
/// longer than its header says; nothing large is allocated before the header is known to fit the file.
Tensor read_idx(const std::string& path);

/// The shape alone, from the header, which is checked in the same way; the elements are not looked at.
Shape read_idx_shape(const std::string& path);

}  // namespace elbo
