#include "apps/training/gpu_steps.h"

#include <algorithm>

namespace elbo {
namespace {

constexpr size_t kMostChunks = 3;  // enqueued at a time, so that progress and Ctrl-C are about the present

}  // namespace

GpuSteps::GpuSteps(ParameterStore& parameters, Adam& adam, const Loss& loss, const Dataset& data,
                   const Preprocessing& preprocessing, const Plan& plan, int64_t begun,
                   const CapturedTraining::Sums& sums)
    : plan_(plan),
      batches_(data, preprocessing, plan.batches),
      training_(parameters, adam, loss, plan.training,
                [this](const Tensor& x, const Tensor& place) { batches_.fill(x, place); }) {
  training_.begin_sums(sums);
  batches_.begin_epoch(begun / batches_.batches_per_epoch());
}

int64_t GpuSteps::take(int64_t step) {
  const int64_t per_epoch = batches_.batches_per_epoch(), epoch = step / per_epoch, first = step % per_epoch;
  const int64_t count = std::min(CapturedTraining::kMostSteps, per_epoch - first);
  batches_.begin_epoch(epoch);
  std::vector<CapturedTraining::Step> steps;
  for (int64_t batch = first; batch < first + count; ++batch) {
    const int64_t now = epoch * per_epoch + batch;
    steps.push_back({{now, per_epoch, plan_.total},
                     batches_.rows_of(batch),
                     batches_.first_of(batch),
                     epoch,
                     plan_.rates});
    for (double& rate : steps.back().rates) rate *= plan_.schedule.at(now);
  }
  training_.run(steps);
  waiting_.push_back({step + count, training_.read()});
  if (first + count == per_epoch) training_.begin_sums();
  batches_.prepare(epoch + 1);
  if (waiting_.size() > kMostChunks) waiting_[waiting_.size() - kMostChunks - 1].pending.wait();
  return count;
}

std::vector<GpuSteps::Result> GpuSteps::receive(bool all) {
  std::vector<Result> results;
  while (!waiting_.empty() && (all || waiting_.front().pending.arrived())) {
    results.push_back({waiting_.front().step, waiting_.front().pending.wait()});
    waiting_.pop_front();
  }
  return results;
}

}  // namespace elbo
