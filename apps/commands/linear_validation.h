// The validation of `train --model linear`: what a linear VAE is worth on held-out points, exactly.
#pragma once

#include "apps/training/validation.h"
#include "vae/linear_vae.h"

namespace elbo {

/// The held-out points with what is needed of them at every evaluation.
struct LinearHeldOut {
  LoadedData data;
  DataMoments moments;
};
LinearHeldOut linear_held_out(const DataOptions& options, const LoadedData& training);

/// The exact ELBO, the same number as `evaluate`'s, and its standard error over the points.
HeldOut evaluate_held_out(const LinearVaeWeights& weights, const LinearHeldOut& held_out);

/// Writes the model as it was at its best: `vae` with the parameters that were kept,
/// where any were.
void save_best_linear(const LinearVae& vae, const Validation& validation, const std::string& path,
                      std::map<std::string, std::string> metadata);

}  // namespace elbo
