// The unit of experiments on deep VAEs: an ensemble that is trained, measured and kept.
#pragma once

#include <memory>

#include "apps/experiment/units.h"
#include "apps/training/deep_run.h"
#include "apps/training/model_card.h"

namespace elbo {

struct DeepUnit {
  std::string key, title;
  TrainingOptions training;
  std::vector<Member> members;
};

/// Its result is the DeepRecord of the members (deep_record_from reads it); checkpoints, metrics.csv and
/// models are in the unit's folder, and a run that was broken off goes on within the unit. A member may
/// break; whether all of them may is for whoever presents the results to say.
Unit unit_of(const DeepUnit& deep, std::shared_ptr<const LoadedData> data, const DataOptions& named,
             const RunOptions& run);

}  // namespace elbo
