// GpuRanks by NCCL. Sends and receives between two calls of `group` are one operation, in which none waits
// for another.
#include <nccl.h>

#include <vector>

#include "apps/support/gpu_ranks.h"
#include "tensor/cuda/device.h"
#include "tensor/error.h"

namespace elbo {
namespace {

void check(ncclResult_t result) {
  if (result != ncclSuccess && result != ncclInProgress) fail("[nccl] {}", ncclGetErrorString(result));
}

class NcclRanks : public GpuRanks {
 public:
  explicit NcclRanks(Ranks& ranks) : rank_(ranks.rank()), count_(ranks.count()) {
    ncclUniqueId meeting{};
    if (rank_ == 0) check(ncclGetUniqueId(&meeting));
    std::vector<int64_t> bounds(static_cast<size_t>(count_) + 1, sizeof meeting);
    bounds[0] = 0;
    ranks.gather(reinterpret_cast<std::byte*>(&meeting), bounds, RankWaiting::awake);
    check(ncclCommInitRank(&communicator_, count_, meeting, rank_));
  }
  /// The others may have gone.
  ~NcclRanks() override { ncclCommAbort(communicator_); }

  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all) override {
    const int64_t own = size_of(bounds, rank_);
    group([&](int p) {
      send(mine + bounds[static_cast<size_t>(p)], size_of(bounds, p), p);
      receive(all + p * own, own, p);
    });
  }

  void gather(std::byte* whole, std::span<const int64_t> bounds) override {
    group([&](int p) {
      if (p == rank_) return;
      send(whole + bounds[static_cast<size_t>(rank_)], size_of(bounds, rank_), p);
      receive(whole + bounds[static_cast<size_t>(p)], size_of(bounds, p), p);
    });
  }

 private:
  static int64_t size_of(std::span<const int64_t> bounds, int p) {
    return bounds[static_cast<size_t>(p) + 1] - bounds[static_cast<size_t>(p)];
  }
  template <class WithRank>
  void group(const WithRank& with_rank) {
    check(ncclGroupStart());
    for (int p = 0; p < count_; ++p) with_rank(p);
    check(ncclGroupEnd());
  }
  void send(const std::byte* bytes, int64_t count, int to) {
    if (count > 0) check(ncclSend(bytes, static_cast<size_t>(count), ncclUint8, to, communicator_, stream()));
  }
  void receive(std::byte* bytes, int64_t count, int from) {
    if (count > 0)
      check(ncclRecv(bytes, static_cast<size_t>(count), ncclUint8, from, communicator_, stream()));
  }
  static cudaStream_t stream() { return static_cast<cudaStream_t>(cuda::stream()); }

  const int rank_, count_;
  ncclComm_t communicator_ = nullptr;
};

}  // namespace

bool GpuRanks::has_nccl() { return true; }
std::unique_ptr<GpuRanks> GpuRanks::with_nccl(Ranks& ranks) { return std::make_unique<NcclRanks>(ranks); }

}  // namespace elbo
