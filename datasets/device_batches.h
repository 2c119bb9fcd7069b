// DeviceBatches: batches of a data set that lives on a GPU, gathered and preprocessed there by one kernel.
//
// The batches are those of BatchLoader, in its order and with its noise. The pixels are copied once and stay
// 8 bits; of every epoch only the order of the points follows, through pinned memory, while the GPU is at
// work. Which batch `fill` makes is read from device memory, so that one captured training step serves all
// batches of a size. Uses tensor/ and the rest of datasets/.
#pragma once

#include <array>

#include "datasets/batch_loader.h"
#include "tensor/cuda/device.h"

namespace elbo {

class DeviceBatches {
 public:
  /// Throws Error when the options, or the preprocessing of this data, make no sense, or there is no GPU.
  DeviceBatches(const Dataset& data, const Preprocessing& preprocessing, const BatchLoader::Options& options);
  ~DeviceBatches();
  DeviceBatches(const DeviceBatches&) = delete;
  DeviceBatches& operator=(const DeviceBatches&) = delete;

  int64_t batches_per_epoch() const { return batches_per_epoch_; }
  /// Points of a batch of an epoch, and which of the epoch's points is its first.
  int64_t rows_of(int64_t batch) const;
  int64_t first_of(int64_t batch) const { return batch * batch_; }

  /// Brings the order of an epoch to the GPU, in the main stream. Must precede the epoch's batches.
  void begin_epoch(int64_t epoch);
  /// Draws that order on the host ahead of time, for when the GPU is busy anyway.
  void prepare(int64_t epoch);

  /// x (B, D) = the epoch's points first .. first + B - 1, preprocessed. place (2) i64 in device memory:
  /// first and epoch.
  void fill(const Tensor& x, const Tensor& place) const;

 private:
  struct Staged {
    int64_t* order = nullptr;  // pinned
    int64_t epoch = -1;
    cuda::Event copied;
  };
  const Dataset data_;
  const Preprocessing preprocessing_;
  const BatchLoader::Options options_;
  int64_t batch_, batches_per_epoch_, epoch_ = -1;
  Tensor points_, order_;  // on the GPU
  std::array<Staged, 2> staged_;
};

}  // namespace elbo
