// GpuRanks in builds without NCCL: there are none.
#include "apps/support/gpu_ranks.h"

namespace elbo {

bool GpuRanks::has_nccl() { return false; }
std::unique_ptr<GpuRanks> GpuRanks::with_nccl(Ranks&) { return nullptr; }

}  // namespace elbo
