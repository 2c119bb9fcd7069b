// Objectives: what training maximises in place of the ELBO, and how the weight of the KL term changes over
// time.
//
//   objective = E ln p(x|z) - weight(t) penalty(KL)
// With the penalty KL itself and weight 1 that is the ELBO; the others are beta-VAE (Higgins et al. 2017),
// annealing (Bowman et al. 2016), cyclical annealing (Fu et al. 2019), free bits (Kingma et al. 2016) and
// capacity (Burgess et al. 2018). Whatever is optimised, the ELBO that is reported is the true one. Each is a
// few lines of plain ops.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vae/loss.h"
#include "vae/vae.h"

namespace elbo {

/// The weight of the KL term over time: beta times a factor that annealing moves from 0 to 1.
struct KlWeight {
  enum class Annealing {
    none,
    linear,    ///< from 0 to 1 over the first `epochs` epochs, then 1
    cyclical,  ///< `cycles` times over the training: rises over the first `rise` of a cycle, then 1
  };
  double beta = 1;
  Annealing annealing = Annealing::none;
  double epochs = 100;  ///< linear
  int64_t cycles = 4;   ///< cyclical
  double rise = 0.5;    ///< cyclical
  double at(const TrainingTime& time) const;
};
/// "none", "linear", "cyclical"; anything else is an Error.
KlWeight::Annealing parse_annealing(std::string_view text);
const char* name(KlWeight::Annealing annealing);

struct Objective {
  enum class Penalty {
    kl,         ///< KL, averaged over the batch
    free_bits,  ///< sum over units of max(free_nats, batch mean of KL_j)
    capacity,   ///< |KL - C(t)|, C rising linearly to `capacity` over `capacity_epochs`
  };
  Penalty penalty = Penalty::kl;
  double free_nats = 0.1;  ///< nats for each unit
  double capacity = 25;    ///< nats
  double capacity_epochs = 100;
  std::vector<KlWeight> weights{KlWeight{}};  ///< one for all members or one for each
};
/// "kl", "free-bits", "capacity"; anything else is an Error.
Objective::Penalty parse_penalty(std::string_view text);
const char* name(Objective::Penalty penalty);

/// Why a member's objective at that time is not the ELBO, in a few words; empty where it is. Only at the
/// ELBO's own stationary points must it be the sum of its entropies (entropy_gauge.h).
std::string why_not_elbo(const Objective& objective, const TrainingTime& time, int64_t member = 0);

/// What an objective's penalty depends on besides the KL: the weight of each model, then C(t), in nats:
/// (models + 1) f64.
Tensor penalty_numbers(const Objective& objective, const TrainingTime& time, int64_t models);

/// The weight of each model among `numbers`: () or (M).
Tensor kl_weights(const Tensor& numbers, bool has_members);

/// weight(t) penalty(KL) of each member, () or (M), nats. q is in the prior's units (Vae::in_prior_units),
/// and batch_kl () or (M) must be the mean of its KL to N(0, I). `numbers` (models + 1) are penalty_numbers,
/// of its type and device: a captured training step finds new ones there at every replay.
Variable weighted_penalty(const Objective& objective, const Tensor& numbers, const Posterior& q,
                          const Variable& batch_kl);

}  // namespace elbo
