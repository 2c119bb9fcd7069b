// mapped_file: a file's bytes as a tensor without memory of its own: the system reads the pages that are
// used and drops them when memory runs short. For data sets larger than memory. Uses POSIX.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace elbo {

/// u8 (size of the file). What is written to the tensor stays in this process and never reaches the file,
/// which may be renamed, deleted or replaced by a rename meanwhile, but not shortened. Throws Error when the
/// file is missing, unreadable, empty or not a regular file.
Tensor map_file(const std::string& path);

}  // namespace elbo
