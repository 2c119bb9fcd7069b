// The batches of a run of deep VAEs, by the step of its training.
#pragma once

#include "apps/training/loaded_data.h"
#include "datasets/batch_loader.h"
#include "vae/training.h"

namespace elbo {

/// On the CPU a BatchLoader's, which works ahead where they are asked for one after another, each until the
/// next is asked for; on a GPU those of DeviceBatches, for captured steps, too. Of each the rows of the
/// options' part.
BatchSource batches_of(const LoadedData& data, const BatchLoader::Options& options, Device device);

}  // namespace elbo
