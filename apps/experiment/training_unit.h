// A training (vae/training.h) as a unit of an experiment: progress, checkpoints in the unit's folder, and
// going on from them. Knows no models.
#pragma once

#include "apps/experiment/units.h"
#include "vae/training.h"

namespace elbo {

/// Where a unit's training is kept on disk, and when it is due again.
class UnitCheckpoint {
 public:
  /// `folder`, such as "base/", where a unit has several trainings.
  explicit UnitCheckpoint(const UnitPlace& place, const std::string& folder = "");
  /// Whether an earlier process left one.
  bool there() const;
  /// `extra` as it was saved.
  std::map<std::string, std::string> take_up(Training& training) const;
  using Extra = std::function<std::map<std::string, std::string>()>;
  /// Of an ensemble without a finite member it does nothing, and the older checkpoint stays: whether a part
  /// broke must not hang on fellows that it does not have. Of one model that is an Error.
  void save(Training& training, const Extra& extra = {});
  /// Every 20 seconds; `extra` is made then only.
  void save_when_due(Training& training, const Extra& extra = {});

 private:
  std::string file_;
  bool resuming_;
  double saved_at_;  // seconds of a steady clock
};

/// Seconds that so many steps of the training take here, found by some of them: one more than it measures.
double seconds_of(Training& training, int64_t steps);

/// Takes the steps of a training that has `steps` of them, from its checkpoint on where the run is resumed.
/// `text` says what the progress shows. False where the run was interrupted before the end, of which no step
/// is lost.
bool run_training(Training& training, int64_t steps, const UnitPlace& place,
                  const std::function<std::string()>& text);

}  // namespace elbo
