// Trainings of Lücke et al.: an ensemble of one of their models (vae/luecke_models.h) under Adam, and of each
// epoch the sampled bound and the sum of the three entropies, averaged over its batches, each as it was
// before that batch's step.
//
// Goes on from a checkpoint in the unit's folder, at the end of an epoch, and ends with the same bits as if
// it had never been broken off.
#pragma once

#include <functional>

#include "apps/experiment/units.h"
#include "apps/training/model_card.h"
#include "vae/luecke_models.h"

namespace elbo {

struct RecordedTraining {
  int64_t epochs = 1000, batch = 2000, samples = 100;  ///< z for each point
  double rate = 1e-3;
  uint64_t seed = 0;
  bool may_break = false;  ///< every run of these may; else that is an Error
};

/// [member][epoch], nats per data point; NaN from where a run's bound was no longer finite.
struct Recorded {
  std::vector<std::vector<double>> bound, entropies;
  int64_t first_run = 0;    ///< the run that member 0 is
  int64_t broken = 0;       ///< runs that are not among the members, as they broke
  std::vector<Json> looks;  ///< what was kept of some epochs
  int64_t epochs() const { return bound.empty() ? 0 : static_cast<int64_t>(bound[0].size()); }
};

/// Called with the epochs that are done, 0 before the first; null: nothing of it is kept.
using Look = std::function<Json(int64_t epoch)>;

/// x (N, D), or (M, N, D) where members have their own data. The result is for `recorded_from`; null
/// where the run was interrupted, which then goes on from the last checkpoint. A run that breaks stops, and
/// the others do not notice; throws where all did, unless they may.
Json train_recorded(Vae& vae, const Tensor& x, const RecordedTraining& how, const UnitPlace& place,
                    const Look& look = {});
/// What the parts of an ensemble (apps/experiment/parts.h), whose runs may all break, make together: that
/// result, and their models.
Json join_recorded(const UnitPlace& place, const std::vector<PartOutcome>& parts);
Recorded recorded_from(const Json& json);
/// Adds the members of another ensemble with as many epochs.
void append(Recorded& to, const Recorded& more);
/// Those whose bound is finite at the end; `broken` counts the others. Looks are of run 0, and go with it.
Recorded without_broken(const Recorded& runs);
/// "10 runs", "1 run", "3 runs; 7 more broke".
std::string count_text(const Recorded& runs);

/// Seconds that the training takes on this machine.
double seconds_of_training(Vae& vae, const Tensor& x, const RecordedTraining& how);
/// A measure of that for progress: numbers that the networks handle.
double cost_of_training(const Vae& vae, int64_t points, const RecordedTraining& how);
/// Writes each member as a model, with the card of the run that it is: members/NN.safetensors in the unit's
/// folder, counted from the options' first member, and the list of them; or of a single model
/// model.safetensors. The options are those that made `vae`.
void save_members(LueckeModel model, const LueckeOptions& options, const Vae& vae, const Recorded& recorded,
                  const UnitPlace& place, const std::function<ModelCard(int64_t run)>& card);

/// |bound - entropies| / |bound at the end|, in percent, of a member; signed: without the magnitude above.
std::vector<double> relative_error(const Recorded& run, size_t member, bool is_signed = false);
/// Epochs 1, 2, ... for figures.
std::vector<double> epochs_of(const Recorded& run);
/// Each value's mean with those before it, so many at most.
std::vector<double> moving_average(const std::vector<double>& values, size_t over);

}  // namespace elbo
