// AllReduce over the ranks that mpirun started, which stop together at the step after a signal to one of
// them.
#pragma once

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
  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all,
                Waiting waiting) override {
    ranks_.exchange(mine, bounds, all, as_ranks_do(waiting));
  }
  void gather(std::byte* whole, std::span<const int64_t> bounds, Waiting waiting) override {
    ranks_.gather(whole, bounds, as_ranks_do(waiting));
  }

 private:
  static RankWaiting as_ranks_do(Waiting waiting) {
    return waiting == Waiting::awake ? RankWaiting::awake : RankWaiting::asleep;
  }

  Ranks& ranks_;
};

}  // namespace elbo
