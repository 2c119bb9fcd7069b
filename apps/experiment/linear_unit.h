// What the experiments on linear VAEs share: data with their moments and eigenvectors, and what a training on
// all points at once costs.
#pragma once

#include <memory>

#include "apps/training/options.h"
#include "vae/linear_training.h"
#include "vae/ppca.h"

namespace elbo {

struct LinearInput {
  LoadedData data;
  DataMoments moments;
  Eigen eigen;
  Tensor x;  ///< (N, D), centred, f32
};

/// The data that the options name; sets the preprocessing that they got.
std::shared_ptr<const LinearInput> load_linear_input(DataOptions& options, uint64_t seed);

/// Adam for so many steps at rates that fall along a cosine from `rate`, watched at twenty of them.
FullBatchOptions cosine_training(int64_t steps, double rate, uint64_t seed);

/// Seconds that the training takes on this machine, found by a few of its steps.
double seconds_of_full_batch(LinearVae& vae, const Tensor& x, const DataMoments& moments,
                             FullBatchOptions training);

}  // namespace elbo
