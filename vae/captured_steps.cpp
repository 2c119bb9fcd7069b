#include "vae/captured_steps.h"

#include <algorithm>

namespace elbo {
namespace {

constexpr size_t kMostChunks = 3;  // enqueued at a time, so that progress and Ctrl-C are about the present

}  // namespace

CapturedSteps::CapturedSteps(Training& training, const std::string& watched, bool capture)
    : training_(training), watched_(watched), capture_(capture) {}

bool CapturedSteps::can_capture() const {
  const Phase& phase = training_.phase();
  return training_.parameters().device() == Device::cuda && training_.batches().on_gpu.make &&
         !training_.settings().all_reduce && !phase.before && !phase.beside && !phase.until;
}

void CapturedSteps::begin_program() {
  const Phase& phase = training_.phase();
  program_.emplace(training_.parameters(), training_.adam(), phase.loss,
                   CapturedTraining::Options{.clip = phase.clip,
                                             .moves = phase.moves,
                                             .seed = training_.settings().seed,
                                             .watched = watched_,
                                             .capture = capture_},
                   training_.batches().on_gpu.make);
  const auto models = static_cast<size_t>(std::max<int64_t>(training_.parameters().members(), 1));
  CapturedTraining::Sums sums{std::move(begun_), {}, {}};
  begun_.clear();
  sums.probes.resize(phase.loss.probes.size(), std::vector<double>(models));
  for (size_t m = 0; m < models; ++m) sums.stopped.push_back(training_.stopped(static_cast<int64_t>(m)));
  program_->begin_sums(sums);
}

int64_t CapturedSteps::take(int64_t most) {
  captured_ = false;
  if (most < 1 || !training_.begin_step()) return 0;
  if (!can_capture()) return training_.step() ? 1 : 0;
  captured_ = true;
  if (!program_) begin_program();
  const GpuBatches& batches = training_.batches().on_gpu;
  const TrainingTime time = training_.time();
  const int64_t begin = training_.steps(), per_epoch = time.steps_per_epoch, epoch = begin / per_epoch;
  int64_t count = std::min({most, CapturedTraining::kMostSteps, time.total_steps - time.step});
  if (batches.begin_epoch) {
    count = std::min(count, per_epoch - begin % per_epoch);
    batches.begin_epoch(epoch);
  }
  std::vector<CapturedTraining::Step> steps;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t number = begin + i, batch = number % per_epoch;
    steps.push_back({.number = number,
                     .time = {time.step + i, per_epoch, time.total_steps},
                     .rows = batches.rows_of(batch),
                     .first = batches.first_of(batch),
                     .epoch = number / per_epoch,
                     .rates = training_.rates_now(i)});
  }
  program_->run(steps);
  const bool ends_phase = time.step + count == time.total_steps;
  if (ends_phase) stop(program_->read().wait());
  training_.took(count, program_->terms());
  waiting_.push_back({begin + count, program_->read()});
  if (ends_phase) {
    waiting_.back().pending.wait();
    program_.reset();
  } else if ((begin + count) % per_epoch == 0) {
    program_->begin_sums();
  }
  if (batches.prepare) batches.prepare(epoch + 1);
  if (waiting_.size() > kMostChunks) waiting_[waiting_.size() - kMostChunks - 1].pending.wait();
  return count;
}

void CapturedSteps::stop(const CapturedTraining::Sums& sums) {
  for (size_t m = 0; m < sums.stopped.size(); ++m)
    if (sums.stopped[m] >= 0) training_.stop(static_cast<int64_t>(m), sums.stopped[m]);
}

std::vector<CapturedSteps::Result> CapturedSteps::receive(bool all) {
  std::vector<Result> results;
  while (!waiting_.empty() && (all || waiting_.front().pending.arrived())) {
    results.push_back({waiting_.front().step, waiting_.front().pending.wait()});
    stop(results.back().sums);
    waiting_.pop_front();
  }
  return results;
}

}  // namespace elbo
