// Trainings of Lücke et al.: an ensemble of one of their models (vae/luecke_models.h) under Adam, and of each
// epoch the sampled bound and the sum of the three entropies, averaged over its batches, each as it was
// before that batch's step.
//
// Goes on from a checkpoint in the unit's folder, at the end of an epoch, and ends with the same bits as if
// it had never been broken off.
#pragma once

#include <functional>

#include "apps/experiment/units.h"
#include "apps/luecke/recorded.h"
#include "apps/training/model_card.h"
#include "vae/luecke_models.h"

namespace elbo {

struct RecordedTraining {
  int64_t epochs = 1000, batch = 2000, samples = 100;  ///< z for each point
  double rate = 1e-3;
  uint64_t seed = 0;
  bool may_break = false;  ///< every run of these may; else that is an Error
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
/// Seconds that the training takes on this machine.
double seconds_of_training(Vae& vae, const Tensor& x, const RecordedTraining& how);
/// A measure of that for progress: numbers that the networks handle.
double cost_of_training(const Vae& vae, int64_t points, const RecordedTraining& how);
/// Writes each member as a model, with the card of the run that it is: members/NN.safetensors in the unit's
/// folder, counted from the options' first member, and the list of them; or of a single model
/// model.safetensors. The options are those that made `vae`.
void save_members(LueckeModel model, const LueckeOptions& options, const Vae& vae, const Recorded& recorded,
                  const UnitPlace& place, const std::function<ModelCard(int64_t run)>& card);

}  // namespace elbo
