// CapturedSteps: the steps of a Training, on a GPU as replays of captured graphs (captured_training.h).
//
//   CapturedSteps steps(training);
//   while (steps.take() > 0)
//     for (const CapturedSteps::Result& result : steps.receive(false)) record(result.step, result.sums);
//
// They are given to the GPU a chunk at a time, and what they measured follows as it arrives. A phase has a
// program of its own, with its loss, its Adam and its clipping, from its first step to its last. Some steps
// stay plain ones of the training, one at a time: all on a CPU, those whose batches the GPU cannot make by
// itself, those of phases that look at something between steps (hooks before and beside a step, `until`), and
// those of batches that processes share. Either way the training is in the same phase after the same
// number of steps, and has the same numbers.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "vae/captured_training.h"
#include "vae/training.h"

namespace elbo {

class CapturedSteps {
 public:
  /// From the training's present step on; it must outlive this, and stay where it is. `watched` and `capture`
  /// are CapturedTraining's.
  explicit CapturedSteps(Training& training, const std::string& watched = "", bool capture = true);

  /// Takes at most so many steps and returns how many; 0 where the training's `step` would be false. Captured
  /// ones are enqueued, at most to the end of a phase, or of an epoch where its batches must be prepared.
  /// That waits only while the GPU is far behind, and at a phase's end, whose `after` hook sees everything
  /// done.
  int64_t take(int64_t most = CapturedTraining::kMostSteps);
  /// Whether the latest were captured. What a plain one measured, `receive` does not have.
  bool captured() const { return captured_; }

  /// What the steps before `step` added up to, of the present phase's loss: those since the beginning of its
  /// epoch where batches are prepared for each (BatchSource::begin_epoch), which a chunk of steps never
  /// crosses; otherwise those since the latest chunk that ended with an epoch, or since the phase's
  /// beginning.
  struct Result {
    int64_t step = 0;
    CapturedTraining::Sums sums{};
  };
  /// The results that have arrived and were not yet received, in order; with `all`, of everything enqueued.
  /// From then on the training knows who was stopped in these steps: before it is saved, all of them must
  /// have been received.
  std::vector<Result> receive(bool all);
  /// Where the training is within an epoch: what that has added up to so far, [probe][model].
  void begin_sums(std::vector<std::vector<double>> probes) { begun_ = std::move(probes); }

 private:
  bool can_capture() const;
  void begin_program();
  void stop(const CapturedTraining::Sums& sums);

  struct Waiting {
    int64_t step;
    CapturedTraining::Pending pending;
  };
  Training& training_;
  const std::string watched_;
  const bool capture_;
  std::optional<CapturedTraining> program_;  // of the present phase; none before its first captured step
  std::vector<std::vector<double>> begun_;
  std::deque<Waiting> waiting_;
  bool captured_ = false;
};

}  // namespace elbo
