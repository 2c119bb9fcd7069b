// Noise on a unit: the experiment of Asperti 2019, section 5. Gaussian noise on the sampled z of one unit
// makes it worth less, until it collapses; units that are inactive already are held so, as the network would
// revive one of them instead.
//
// An ensemble: each member has a unit of its own under noise, and its own units held. Deviations are numbers
// that the caller changes from epoch to epoch.
#pragma once

#include <memory>
#include <vector>

#include "vae/loss.h"
#include "vae/vae.h"

namespace elbo {

struct UnitNoise {
  Tensor target;  ///< (M, k): 1 at the unit under noise
  Tensor kept;    ///< (M, k): 0 at units that are held inactive: their z is 0, and they cost nothing
  std::shared_ptr<std::vector<double>> deviations;  ///< (M), of the noise, in units of z
};
/// Of members whose unit is targets[m] and which keep these units. On the vae's device, of its type.
UnitNoise unit_noise(const Vae& vae, const std::vector<int64_t>& targets,
                     const std::vector<std::vector<bool>>& kept);

/// Minus the ELBO under the noise, nats per data point, of a vae with members. Refers to it.
Loss noisy_loss(Vae& vae, const UnitNoise& noise);

/// Of a member's unit under noise: its gain is the loss with its z set to 0 minus that with it as it is,
/// noise and all, as the network sees it; nats per data point.
struct NoisyUnit {
  double gain = 0, kl = 0, variance_of_mean = 0, mean_variance = 0;
  double loss = 0;  ///< -E_q ln p(x|z) of the whole model, without its constant: |x - mean|^2 / (2 sigma^2)
  double loss_kl = 0;  ///< the loss's other part: the KL of all units that are not held
};
/// Of every member, on x (n, D).
std::vector<NoisyUnit> measure_noisy(const Vae& vae, const UnitNoise& noise, const Tensor& x,
                                     const RandomKey& key);

}  // namespace elbo
