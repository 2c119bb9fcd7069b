// mapped_file: a file's bytes as a tensor that takes no memory: the system reads the pages that are used and
// drops them when memory is short. For data sets larger than memory. Uses POSIX.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace elbo {

/// u8 (size of the file). Writes to the tensor stay in this process and never reach the file. Meanwhile the
/// file may be renamed, deleted or replaced by a rename, but not shortened. Throws Error when the file is
/// missing, unreadable, empty or not a regular file.
Tensor map_file(const std::string& path);

}  // namespace elbo
