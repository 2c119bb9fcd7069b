// AllReduce over the ranks that mpirun started, which stop together at the step after a signal to one of
// them. GPUs send gradients to each other where each rank has one of its own, and NCCL.
#pragma once

#include <memory>
#include <optional>

#include "apps/support/gpu_ranks.h"
#include "apps/support/interrupt.h"
#include "apps/support/ranks.h"
#include "nn/all_reduce.h"

namespace elbo {

class RankAllReduce : public AllReduce {
 public:
  explicit RankAllReduce(Ranks& ranks) : AllReduce(ranks.rank(), ranks.count()), ranks_(ranks) {}
  void wait_for_all() override { ranks_.wait_for_all(); }

 protected:
  bool asked_to_stop() const override { return interrupted(); }
  bool has_way_on_gpu() override {
    if (!gpus_) gpus_ = GpuRanks::join(ranks_);
    return *gpus_ != nullptr;
  }
  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all, Way way) override {
    way == Way::on_gpu ? (*gpus_)->exchange(mine, bounds, all)
                       : ranks_.exchange(mine, bounds, all, waiting(way));
  }
  void gather(std::byte* whole, std::span<const int64_t> bounds, Way way) override {
    way == Way::on_gpu ? (*gpus_)->gather(whole, bounds) : ranks_.gather(whole, bounds, waiting(way));
  }

 private:
  static RankWaiting waiting(Way way) {
    return way == Way::asleep ? RankWaiting::asleep : RankWaiting::awake;
  }

  Ranks& ranks_;
  std::optional<std::unique_ptr<GpuRanks>> gpus_;  // none: nobody has asked
};

}  // namespace elbo
