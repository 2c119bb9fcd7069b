// What the progress line says of a run of deep VAEs.
#pragma once

#include <string>

#include "apps/training/deep_run.h"
#include "vae/training.h"

namespace elbo {

/// The best member's ELBO of the latest epoch; or, where a method has phases of its own, the phase and the
/// lowest loss of the latest step.
std::string progress_text(const DeepRun& run, const Training& training, int64_t steps_per_epoch);

}  // namespace elbo
