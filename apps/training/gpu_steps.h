// GpuSteps: the steps of a training loop on a GPU, a chunk at a time, and what they measured, as it arrives.
#pragma once

#include <deque>
#include <vector>

#include "datasets/device_batches.h"
#include "vae/captured_training.h"

namespace elbo {

class GpuSteps {
 public:
  struct Plan {
    CapturedTraining::Options training{};
    BatchLoader::Options batches{};
    std::vector<double> rates;  ///< of each model
    Schedule schedule{};        ///< multiplies them
    int64_t total = 0;          ///< steps
  };
  /// From step `begun` on; `sums` are those of its unfinished epoch, and the stops so far.
  GpuSteps(ParameterStore& parameters, Adam& adam, const Loss& loss, const Dataset& data,
           const Preprocessing& preprocessing, const Plan& plan, int64_t begun,
           const CapturedTraining::Sums& sums);

  /// Enqueues steps from `step` on, at most to the end of its epoch, and returns how many. Waits only while
  /// the GPU is far behind.
  int64_t take(int64_t step);

  /// From the next step on nothing moves the model.
  void rest(int64_t model) { plan_.rates.at(static_cast<size_t>(model)) = 0; }

  /// What the steps before `step` of its epoch added up to.
  struct Result {
    int64_t step = 0;
    CapturedTraining::Sums sums{};
  };
  /// The results that have arrived and were not yet received, in order; with `all`, of everything enqueued.
  std::vector<Result> receive(bool all);

 private:
  struct Waiting {
    int64_t step;
    CapturedTraining::Pending pending;
  };
  Plan plan_;
  DeviceBatches batches_;
  CapturedTraining training_;
  std::deque<Waiting> waiting_;
};

}  // namespace elbo
