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
  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all) override {
    ranks_.exchange(mine, bounds, all);
  }
  void gather(std::byte* whole, std::span<const int64_t> bounds) override { ranks_.gather(whole, bounds); }

 private:
  Ranks& ranks_;
};

}  // namespace elbo
