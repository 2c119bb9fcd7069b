// BatchLoader: shuffled, preprocessed batches of a data set, made ahead of the training loop by one thread.
//
// Batch b of epoch e is a pure function of the seed, e and b: each epoch is a permutation drawn by counter,
// cut into batches. So a run resumed by `seek` sees the same batches, whatever the thread count. The tensors
// are a fixed ring: once warm, a batch allocates nothing. Uses tensor/ and the rest of datasets/; never
// OpenMP, whose threads belong to the training step.
//
//   BatchLoader loader(data, {.kind = Preprocessing::Kind::scale}, {.batch = 128, .seed = 7});
//   for (int64_t step = 0; step < 10 * loader.batches_per_epoch(); ++step) {
//     const BatchLoader::Batch batch = loader.next();
//     train_on(batch.x);                               // (128, D)
//   }
#pragma once

#include <vector>

#include "datasets/dataset.h"
#include "datasets/prefetcher.h"
#include "datasets/preprocessing.h"
#include "tensor/batch_rows.h"

namespace elbo {

class BatchLoader {
 public:
  struct Options {
    int64_t batch = 128;  ///< rows of a batch; a larger number than there are points means all of them
    uint64_t seed = 0;    ///< of the order and of the dequantisation noise
    DType dtype = DType::f32;
    bool shuffle = true;          ///< otherwise every epoch runs through the points in their order
    bool drop_last = false;       ///< leave out an epoch's last batch when it is smaller than the others
    int ahead = 2;                ///< batches made ahead of the caller
    int64_t part = 0, parts = 1;  ///< of each batch, the rows of this part alone (part_begin), perhaps none
  };
  struct Position {
    int64_t epoch = 0, batch = 0;
    bool operator==(const Position&) const = default;
  };
  struct Batch {
    Tensor x;     ///< (B, D) f32 or f64, or fewer where it is a part
    Tensor rows;  ///< (B) i64: which points of the data set these are
    Position position;
  };

  /// Throws Error when the options, or the preprocessing of this data, make no sense.
  BatchLoader(const Dataset& data, const Preprocessing& preprocessing, const Options& options);

  /// The next batch; epoch follows epoch without end. Its tensors are views of the ring: let go of them
  /// before the second `next` after this one, and their storage is used again; keep them, and the ring takes
  /// new storage. Rethrows what went wrong in the loader's thread.
  Batch next();
  /// Where `next` continues; `seek` goes there, at any time. Batch `batches_per_epoch()` is the next epoch's
  /// first.
  Position position() const;
  void seek(const Position& position);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }

 private:
  struct Slot {
    Tensor x, rows;  // of a whole batch
  };
  void fill(int64_t item, int slot);  // on the prefetcher's thread

  const Dataset data_;
  const Preprocessing preprocessing_;
  const Options options_;
  int64_t batch_ = 0, batches_per_epoch_ = 0;
  int64_t next_item_ = 0;  // the caller's: epoch * batches_per_epoch_ + batch
  std::vector<Slot> slots_;
  Tensor order_;  // the prefetcher's thread's: points in the order of order_epoch_
  int64_t order_epoch_ = -1;
  Prefetcher prefetcher_;  // last: its thread uses everything above
};

// What any loader of these batches needs, on whatever device.

/// Throws Error when the options, or the preprocessing of this data, make no sense.
int64_t batches_per_epoch(const Dataset& data, const Preprocessing& preprocessing,
                          const BatchLoader::Options& options);
/// Of a batch of an epoch of so many points: how many rows it has, and which of them are the options' part.
struct BatchPart {
  BatchRows rows;
  int64_t count = 0;
};
BatchPart batch_part(int64_t points, const BatchLoader::Options& options, int64_t batch);
/// The points in the order of an epoch that is shuffled.
Tensor epoch_order(const Dataset& data, const BatchLoader::Options& options, int64_t epoch);

}  // namespace elbo
