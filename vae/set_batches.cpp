#include "vae/set_batches.h"

#include <algorithm>
#include <memory>

#include "tensor/copy.h"

namespace elbo {
namespace {

struct Cut {
  int64_t n, each, per_epoch;
  uint64_t seed;

  Tensor order(int64_t epoch) const {
    return permutation(n, {.seed = seed, .stream = kShuffle, .step = static_cast<uint64_t>(epoch)});
  }
  int64_t rows_of(int64_t batch) const { return std::min(each, n - batch * each); }
};

/// The rows of each batch of an epoch, as those of x (M N, D): (batches, M B) i64, of which a smaller batch
/// has the first.
Tensor rows_of_batches(const Cut& cut, int64_t sets, int64_t epoch) {
  const Tensor order = cut.order(epoch);
  const Tensor table = Tensor::zeros({cut.per_epoch, sets * cut.each}, DType::i64);
  for (int64_t batch = 0; batch < cut.per_epoch; ++batch) {
    int64_t* to = table.slice(batch).data<int64_t>();
    for (int64_t set = 0; set < sets; ++set)
      for (int64_t i = 0; i < cut.rows_of(batch); ++i)
        *to++ = set * cut.n + order.data<int64_t>()[batch * cut.each + i];
  }
  return table;
}

GpuBatches gathered_on_gpu(const Tensor& x, const Cut& cut) {
  const int64_t sets = x.rank() == 2 ? 1 : x.size(0);
  const Tensor all = x.reshape({sets * cut.n, x.size(-1)}),
               table = Tensor::zeros({cut.per_epoch, sets * cut.each}, DType::i64, Device::cuda);
  const auto begin_epoch = [cut, sets, table, there = std::make_shared<int64_t>(-1)](int64_t epoch) {
    if (*there == epoch) return;
    table.copy_from(rows_of_batches(cut, sets, epoch));
    *there = epoch;
  };
  const auto make = [x, all, table, sets](int64_t rows, const Tensor& place) {
    const Tensor batch = gather_rows(table, place.slice(0, 1)).slice(0).slice(0, sets * rows);
    const Tensor found = gather_rows(all, batch);
    return x.rank() == 2 ? found : found.reshape({sets, rows, x.size(2)});
  };
  return {.rows_of = [cut](int64_t batch) { return cut.rows_of(batch); },
          .first_of = [](int64_t batch) { return batch; },
          .begin_epoch = begin_epoch,
          .make = make};
}

}  // namespace

BatchSource shuffled_batches(const Tensor& x, int64_t batch, uint64_t seed) {
  if (batch < 1) fail("[batches] a batch must hold at least one point, got {}", batch);
  if (x.rank() < 2 || x.size(-2) < 1) fail("[batches] there are no points in {}", x.shape().str());
  const int64_t n = x.size(-2), each = std::min(batch, n), per_epoch = (n + each - 1) / each;
  const Cut cut{n, each, per_epoch, seed};
  if (x.device() == Device::cuda) return made_on_gpu(per_epoch, gathered_on_gpu(x, cut));
  struct Order {
    int64_t epoch = -1;
    Tensor rows;
  };
  auto order = std::make_shared<Order>();
  const auto next = [x, cut, order](int64_t step) {
    const int64_t epoch = step / cut.per_epoch, at = step % cut.per_epoch, begin = at * cut.each;
    if (order->epoch != epoch) *order = {epoch, cut.order(epoch)};
    const Tensor rows = order->rows.slice(begin, begin + cut.rows_of(at));
    if (x.rank() == 2) return gather_rows(x, rows);
    const Tensor all = Tensor::empty({x.size(0), rows.size(0), x.size(2)}, x.dtype(), x.device());
    for (int64_t m = 0; m < x.size(0); ++m) all.slice(m).copy_from(gather_rows(x.slice(m), rows));
    return all;
  };
  return {per_epoch, next};
}

}  // namespace elbo
