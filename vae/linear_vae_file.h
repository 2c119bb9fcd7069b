// Linear VAEs as files: decoder.weight (D, k), encoder.weight (k, D), log_variance (k), log_sigma2 (1) and
// mean (D).
//
//   save_linear_vae("linear.safetensors", vae);
//   const LinearVaeWeights weights = load_linear_vae(read_safetensors("linear.safetensors"));
#pragma once

#include <memory>

#include "nn/safetensors.h"
#include "vae/deep_vae.h"
#include "vae/linear_vae.h"

namespace elbo {

/// Writes one member as a model of its own, atomically; `more` is added to the metadata.
void save_linear_vae(const std::string& path, const LinearVae& vae, int64_t member = 0,
                     const std::map<std::string, std::string>& more = {});

/// The weights of a file that save_linear_vae wrote. Throws when names and shapes do not fit together.
LinearVaeWeights load_linear_vae(const SafetensorsFile& file);

/// The same model in f64: its encoder's mean V (x - mu) and log variance ln d, its decoder W z + mu.
std::unique_ptr<DeepVae> as_deep_vae(const LinearVaeWeights& weights);

}  // namespace elbo
