#include "datasets/batch_loader.h"

#include <algorithm>
#include <numeric>

#include "tensor/random.h"

namespace elbo {
namespace {

const BatchLoader::Options& checked(const Dataset& data, const Preprocessing& preprocessing,
                                    const BatchLoader::Options& options) {
  check_preprocessing(data, preprocessing);
  if (options.batch < 1) fail("[loader] a batch needs at least one point, got --batch {}", options.batch);
  if (options.drop_last && options.batch > data.points())
    fail("[loader] {} points are less than one batch of {}; use a smaller --batch", data.points(),
         options.batch);
  if (options.parts < 1 || options.part < 0 || options.part >= options.parts)
    fail("[loader] there is no part {} of {}", options.part, options.parts);
  if (options.ahead < 1) fail("[loader] at least one batch must be made ahead, got {}", options.ahead);
  if (!is_floating(options.dtype)) fail("[loader] batches are f32 or f64, not {}", name(options.dtype));
  return options;
}

}  // namespace

BatchLoader::BatchLoader(const Dataset& data, const Preprocessing& preprocessing, const Options& options)
    : data_(data),
      preprocessing_(preprocessing),
      options_(checked(data, preprocessing, options)),
      batch_(std::min(options.batch, data.points())),
      batches_per_epoch_(elbo::batches_per_epoch(data, preprocessing, options)),
      slots_(static_cast<size_t>(options.ahead + Prefetcher::kHeldSlots)),
      prefetcher_(static_cast<int>(slots_.size()), [this](int64_t item, int slot) { fill(item, slot); }) {}

int64_t batches_per_epoch(const Dataset& data, const Preprocessing& preprocessing,
                          const BatchLoader::Options& options) {
  checked(data, preprocessing, options);
  const int64_t batch = std::min(options.batch, data.points());
  return options.drop_last ? data.points() / batch : (data.points() + batch - 1) / batch;
}

Tensor epoch_order(const Dataset& data, const BatchLoader::Options& options, int64_t epoch) {
  return permutation(data.points(),
                     {.seed = options.seed, .stream = kShuffle, .step = static_cast<uint64_t>(epoch)});
}

BatchPart batch_part(int64_t points, const BatchLoader::Options& options, int64_t batch) {
  const int64_t whole = std::min(options.batch, points), all = std::min(whole, points - batch * whole);
  const int64_t first = part_begin(all, options.part, options.parts);
  return {{first, all}, part_begin(all, options.part + 1, options.parts) - first};
}

void BatchLoader::fill(int64_t item, int slot) {
  const int64_t epoch = item / batches_per_epoch_, batch = item % batches_per_epoch_;
  if (epoch != order_epoch_) {
    order_epoch_ = -1;
    order_ = Tensor();  // first, so that the new order takes the old one's storage
    if (options_.shuffle) order_ = epoch_order(data_, options_, epoch);
    order_epoch_ = epoch;
  }
  Slot& to = slots_[static_cast<size_t>(slot)];
  // A caller that kept a batch keeps its values: the slot gets storage of its own again.
  const int64_t largest = (batch_ + options_.parts - 1) / options_.parts;
  if (!to.x.sole_owner()) to.x = Tensor::empty({largest, data_.dimensions()}, options_.dtype);
  if (!to.rows.sole_owner()) to.rows = Tensor::empty({largest}, DType::i64);
  const auto [shared, count] = batch_part(data_.points(), options_, batch);
  const int64_t first = batch * batch_ + shared.first;
  const Tensor rows = to.rows.slice(0, count);
  if (options_.shuffle)
    rows.copy_from(order_.slice(first, first + count));
  else
    std::iota(rows.data<int64_t>(), rows.data<int64_t>() + count, first);
  preprocess_rows(data_, preprocessing_, options_.seed, epoch, rows.span<int64_t>(), to.x.slice(0, count));
}

BatchLoader::Batch BatchLoader::next() {
  const Slot& slot = slots_[static_cast<size_t>(prefetcher_.next())];
  const Position here = position();
  const int64_t count = batch_part(data_.points(), options_, here.batch).count;
  ++next_item_;
  return {slot.x.slice(0, count), slot.rows.slice(0, count), here};
}

BatchLoader::Position BatchLoader::position() const {
  return {next_item_ / batches_per_epoch_, next_item_ % batches_per_epoch_};
}

void BatchLoader::seek(const Position& position) {
  constexpr int64_t kLastEpoch = 0xffffffff;  // a random key's step has 32 bits
  if (position.epoch < 0 || position.epoch > kLastEpoch || position.batch < 0 ||
      position.batch > batches_per_epoch_)
    fail("[loader] there is no batch {} of epoch {}; an epoch has {}", position.batch, position.epoch,
         batches_per_epoch_);
  next_item_ = position.epoch * batches_per_epoch_ + position.batch;
  prefetcher_.seek(next_item_);
}

}  // namespace elbo
