// The GPUs of this machine by the names that CUDA_VISIBLE_DEVICES gives them, for processes that take one
// each. Asks no driver.
#pragma once

#include <string>
#include <vector>

namespace elbo {

/// Those that this process may use; none where there are none, or only one, which needs no name.
std::vector<std::string> visible_gpus();

}  // namespace elbo
