#include "datasets/device_batches.h"

#include <algorithm>
#include <numeric>

#include "datasets/preprocess_kernel.h"
#include "tensor/random.h"

namespace elbo {
namespace {

Preprocessing on_gpu(Preprocessing preprocessing) {
  for (Tensor* of_each : {&preprocessing.mean, &preprocessing.scale})
    if (of_each->defined()) *of_each = of_each->to(Device::cuda);
  return preprocessing;
}

}  // namespace

DeviceBatches::DeviceBatches(const Dataset& data, const Preprocessing& preprocessing,
                             const BatchLoader::Options& options)
    : data_(data),
      preprocessing_(on_gpu(preprocessing)),
      options_(options),
      batch_(std::min(options.batch, data.points())),
      batches_per_epoch_(elbo::batches_per_epoch(data, preprocessing, options)),
      points_(data.x.to(Device::cuda)),
      order_(Tensor::empty({data.points()}, DType::i64, Device::cuda)) {
  for (Staged& staged : staged_)
    staged.order =
        static_cast<int64_t*>(cuda::allocate_pinned(static_cast<size_t>(data.points()) * sizeof(int64_t)));
}

DeviceBatches::~DeviceBatches() {
  for (Staged& staged : staged_) cuda::free_pinned(staged.order);
}

int64_t DeviceBatches::rows_of(int64_t batch) const {
  return std::min(batch_, data_.points() - batch * batch_);
}

void DeviceBatches::prepare(int64_t epoch) {
  Staged& staged = staged_[static_cast<size_t>(epoch % 2)];
  if (staged.epoch == epoch) return;
  staged.copied.wait();  // what it held may still be on its way
  staged.epoch = epoch;
  if (!options_.shuffle) {
    std::iota(staged.order, staged.order + data_.points(), int64_t{0});
    return;
  }
  const Tensor order = epoch_order(data_, options_, epoch);
  std::copy_n(order.data<int64_t>(), data_.points(), staged.order);
}

void DeviceBatches::begin_epoch(int64_t epoch) {
  if (epoch == epoch_) return;
  prepare(epoch);
  Staged& staged = staged_[static_cast<size_t>(epoch % 2)];
  cuda::copy_pinned_to_device(order_.bytes(), staged.order, static_cast<size_t>(order_.byte_count()));
  staged.copied.record();
  epoch_ = epoch;
}

void DeviceBatches::fill(const Tensor& x, const Tensor& place) const {
  RandomKey noise = noise_key(preprocessing_, options_.seed, 0);
  if (preprocessing_.fresh_noise) noise.counter = place.data<int64_t>() + 1;
  if constexpr (kHasGpuCode) cuda::preprocess_rows(points_, preprocessing_, noise, order_, place, x);
}

}  // namespace elbo
