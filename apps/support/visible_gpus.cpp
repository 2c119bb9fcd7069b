#include "apps/support/visible_gpus.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace elbo {

std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (const char* named = std::getenv("CUDA_VISIBLE_DEVICES")) {
    const std::string all = named;
    for (size_t begin = 0; begin < all.size();) {
      const size_t end = std::min(all.find(',', begin), all.size());
      gpus.push_back(all.substr(begin, end - begin));
      begin = end + 1;
    }
    return gpus;
  }
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc/driver/nvidia/gpus", error), end; !error && it != end;
       it.increment(error))
    gpus.push_back(std::to_string(gpus.size()));
  return gpus.size() > 1 ? gpus : std::vector<std::string>{};
}

}  // namespace elbo
