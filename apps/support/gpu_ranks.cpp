#include "apps/support/gpu_ranks.h"

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tensor/cuda/device.h"

namespace elbo {

std::unique_ptr<GpuRanks> GpuRanks::join(Ranks& ranks) {
  // Each rank's GPU; without NCCL, zeros.
  const auto each = static_cast<int64_t>(sizeof(cuda::Identity));
  std::vector<int64_t> bounds;
  for (int64_t p = 0; p <= ranks.count(); ++p) bounds.push_back(p * each);
  std::string all(static_cast<size_t>(bounds.back()), '\0');
  if (has_nccl()) {
    const cuda::Identity own = cuda::identity();
    std::memcpy(all.data() + ranks.rank() * each, own.data(), own.size());
  }
  ranks.gather(reinterpret_cast<std::byte*>(all.data()), bounds, RankWaiting::awake);
  std::set<std::string> different{std::string(static_cast<size_t>(each), '\0')};
  for (int64_t p = 0; p < ranks.count(); ++p)
    if (!different.insert(all.substr(static_cast<size_t>(p * each), static_cast<size_t>(each))).second)
      return nullptr;
  return with_nccl(ranks);
}

}  // namespace elbo
