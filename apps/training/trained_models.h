// The models of a run that has ended, kept in its directory for `sample`, `evaluate` and the like.
#pragma once

#include "apps/training/deep_run.h"
#include "apps/training/model_card.h"

namespace elbo {

/// Writes every member as a model of its own (apps/training/model_folder.h), in a folder of the run; where
/// they were validated, also as it was at its best, in best/ of that folder, which opens like a run. A part
/// of an ensemble has a list of its members even where it is one.
void save_models(const DeepRun& run, ModelCard card, const RunDirectory& directory,
                 const std::string& folder = "", bool is_part = false);

}  // namespace elbo
