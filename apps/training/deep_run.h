// Training an ensemble of deep VAEs in a run directory: the loop that `train`, `collapse` and `encoders`
// share.
//
// Writes config-independent things only: metrics.csv (a row for each epoch and member), validation.csv
// (apps/training/validation.h), evaluations/ (all metrics at chosen epochs), checkpoint/ (on a cadence, and
// at Ctrl-C). All members see the same batches. A run resumed from a checkpoint equals an unbroken one bit
// for bit.
#pragma once

#include <functional>
#include <memory>

#include "apps/support/progress.h"
#include "apps/support/run_directory.h"
#include "apps/training/deep_record.h"
#include "apps/training/training_method.h"
#include "vae/deep_vae.h"

namespace elbo {

struct DeepRun : DeepRecord {
  std::unique_ptr<DeepVae> vae;
  std::vector<MemberValidation> validation;  ///< of each member; empty: there was none
  std::vector<std::string> best_obstacles;   ///< of them, as ModelCard has it
  MethodOutcome method;                      ///< what it decided
  std::unique_ptr<DeepVae> best;  ///< each member at its best on the validation split, on the CPU; or null
  int64_t steps_done = 0, steps_total = 0;
  double seconds = 0;            ///< of training, with that of the processes that this one resumes
  double points_per_second = 0;  ///< in this process; counts every member's points

  bool finished() const { return !metrics.empty(); }
};

struct DeepRunOptions {
  uint64_t seed = 0;
  Device device = Device::cpu;
  const LoadedData* validation = nullptr;  ///< needed where the options ask for validation
  bool quiet = false, resume = false;
  std::function<void()> resumed = {};  ///< called when a resumed run is found fit to go on
  std::string name = "train";          ///< before the progress
  std::string folder = "";  ///< inside the run directory, e.g. "linear/", where there are several runs in one
  ShowProgress progress = {};  ///< where this run is a part of something; else it shows its own
  bool may_break = false;      ///< every member may be stopped; else that is an Error
  /// Of the processes that share each batch; null: this one is alone. Process 0 keeps the record and
  /// measures; to the others the run directory is a place for what nobody reads, and their run is never
  /// finished.
  AllReduce* all_reduce = nullptr;
};

DeepRun run_deep(const TrainingOptions& options, const std::vector<Member>& members, const LoadedData& data,
                 const RunDirectory& run, const DeepRunOptions& how);

/// What an interrupted run prints: how to go on.
void say_interrupted(const DeepRun& run, const char* command, const std::string& directory);

}  // namespace elbo
