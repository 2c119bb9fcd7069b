#include "vae/set_batches.h"

#include <algorithm>
#include <memory>

#include "tensor/copy.h"

namespace elbo {

BatchSource shuffled_batches(const Tensor& x, int64_t batch, uint64_t seed) {
  if (batch < 1) fail("[batches] a batch must hold at least one point, got {}", batch);
  const int64_t n = x.size(-2), each = std::min(batch, n), per_epoch = (n + each - 1) / each;
  struct Order {
    int64_t epoch = -1;
    Tensor rows;
  };
  auto order = std::make_shared<Order>();
  const auto next = [x, seed, n, each, per_epoch, order](int64_t step) {
    const int64_t epoch = step / per_epoch, begin = step % per_epoch * each;
    if (order->epoch != epoch)
      *order = {epoch,
                permutation(n, {.seed = seed, .stream = kShuffle, .step = static_cast<uint64_t>(epoch)})};
    const Tensor rows = order->rows.slice(begin, std::min(begin + each, n));
    if (x.rank() == 2) return gather_rows(x, rows);
    const Tensor all = Tensor::empty({x.size(0), rows.size(0), x.size(2)}, x.dtype(), x.device());
    for (int64_t m = 0; m < x.size(0); ++m) all.slice(m).copy_from(gather_rows(x.slice(m), rows));
    return all;
  };
  return {per_epoch, next};
}

}  // namespace elbo
