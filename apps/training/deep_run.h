// Training an ensemble of deep VAEs in a run directory: the loop that `train`, `collapse` and `encoders`
// share.
//
// Writes config-independent things only: metrics.csv (a row for each epoch and member), validation.csv
// (apps/training/validation.h), evaluations/ (all metrics at chosen epochs), checkpoint/ (on a cadence, and
// at Ctrl-C). All members see the same batches. A run resumed from a checkpoint equals an unbroken one bit
// for bit.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "apps/support/run_directory.h"
#include "apps/training/epochs.h"
#include "apps/training/training_options.h"
#include "vae/deep_metrics.h"
#include "vae/deep_vae.h"

namespace elbo {

struct DeepRun {
  std::unique_ptr<DeepVae> vae;
  std::vector<Member> members;
  std::vector<DeepVaeMetrics>
      metrics;  ///< at the end, on the training data; empty when the run was interrupted
  std::map<int64_t, std::vector<DeepVaeMetrics>> evaluations;  ///< after the epochs asked for
  std::vector<MemberHistory> history;
  std::vector<StoppedMember> stopped;
  std::vector<MemberValidation> validation;  ///< of each member; empty: there was none
  std::unique_ptr<DeepVae> best;  ///< each member at its best on the validation split, on the CPU; or null
  int64_t steps_done = 0, steps_total = 0;
  double seconds = 0;            ///< of training, with that of the processes that this one resumes
  double points_per_second = 0;  ///< in this process; counts every member's points

  bool finished() const { return !metrics.empty(); }
  /// The member's entry in `stopped`, or null.
  const StoppedMember* stop_of(int64_t member) const;
};

struct DeepRunOptions {
  uint64_t seed = 0;
  Device device = Device::cpu;
  const LoadedData* validation = nullptr;  ///< needed where the options ask for validation
  bool quiet = false, resume = false;
  std::function<void()> resumed = {};  ///< called when a resumed run is found fit to go on
  std::string name = "train";          ///< before the progress
  std::string folder = "";  ///< inside the run directory, e.g. "linear/", where there are several runs in one
};

DeepRun run_deep(const TrainingOptions& options, const std::vector<Member>& members, const LoadedData& data,
                 const RunDirectory& run, const DeepRunOptions& how);

/// The member with the highest ELBO of those that were not stopped. There is one: a run whose members were
/// all stopped ends in an Error.
size_t best_of(const DeepRun& run);

/// What an interrupted run prints: how to go on.
void say_interrupted(const DeepRun& run, const char* command, const std::string& directory);

}  // namespace elbo
