// source_file: where the files of the checkout lie that tests read.
#pragma once

#include <string>

namespace elbo {

/// The path of a file or folder, named from the repository's root; "" is the root.
std::string source_file(const std::string& name);

}  // namespace elbo
