// GpuRanks: the GPUs of ranks (apps/support/ranks.h), which send bytes of their memory to each other.
//
// NCCL does the work (gpu_ranks_nccl_found.cpp): over NVLink, PCIe or the network, without the host's memory.
// It wants a GPU for each rank. Calls only enqueue, on the current stream (tensor/cuda/device.h), and come
// from one thread. Knows nothing of what is sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "apps/support/ranks.h"

namespace elbo {

class GpuRanks {
 public:
  /// Every rank calls it at the same time. Null, in all of them, where one has no NCCL or two have the same
  /// GPU.
  static std::unique_ptr<GpuRanks> join(Ranks& ranks);
  virtual ~GpuRanks() = default;

  /// As Ranks has them, of GPU memory.
  virtual void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all) = 0;
  virtual void gather(std::byte* whole, std::span<const int64_t> bounds) = 0;

 private:
  /// Whether this build can have one.
  static bool has_nccl();
  static std::unique_ptr<GpuRanks> with_nccl(Ranks& ranks);
};

}  // namespace elbo
