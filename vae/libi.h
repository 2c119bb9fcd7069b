// LiBI, likelihood before inference (Yacoby et al., section 2 and appendix D): the generative model is
// learned first, from one code h(x) for each point, and the inference model then, with the generative model
// as it is. So the posterior's shape cannot bias what is learned of p(x). As phases of a Training:
//
//   const Phase whole{.loss = elbo_loss(vae), .steps = 30000, .rates = {1e-2}};
//   Training training(vae.parameters(), libi_phases(vae, {.repetitions = 6, .chosen_on = validation}, whole),
//                     whole_set(x), {.seed = 7});
//   while (training.step()) {
//   }
//   const LibiOutcome outcome = libi_outcome(training);            // which repetition each member is of
//
// h is the mean of the VAE's own encoder. Step 2 then starts where h is, which the paper leaves open, and
// step 3, h := the posterior's mean, is what the next repetition finds without anything being done.
#pragma once

#include "vae/training.h"
#include "vae/vae.h"

namespace elbo {

/// Each epsilon is one for all members or one for each, so that an ensemble can hold a grid.
struct LibiOptions {
  int64_t repetitions = 1;                          ///< R, of steps 1 and 2
  std::vector<double> eps_hz{1};                    ///< multiplies exp(HZ)
  std::vector<double> eps_sigma{0.5}, eps_mu{0.5};  ///< divide within exp
  /// What the repetitions are compared on: validation data, or those of the training where there are none,
  /// (N, D) or (M, N, D). Needed for more than one repetition.
  Tensor chosen_on{};
};

/// The names of the probes of step 1's loss: mean ln p(x|h(x)), HZ, |Sigma - I|_F^2 and |mu|^2 of the h.
inline constexpr const char* kLogLikelihoodOfCode = "log_likelihood_of_code";
inline constexpr const char* kHenzeZirkler = "henze_zirkler";
inline constexpr const char* kCovarianceDistance = "covariance_distance";
inline constexpr const char* kMeanDistance = "mean_distance";

/// Step 1's loss (Eq. 44), nats per data point:
///   - mean ln p(x|h(x)) + eps_HZ exp(HZ) + exp(|Sigma - I|_F^2 / eps_Sigma) + exp(|mu|^2 / eps_mu),
/// with the mean, the covariance (1/N) and HZ of the batch's codes in the prior's units. Above an exponent of
/// 5 each exp goes on as its tangent: early in a training it would overflow, and a bound has no gradient.
/// Throws for epsilons that make no sense, when it is called for batches of no more points than latent
/// dimensions.
Loss libi_loss(Vae& vae, const LibiOptions& options);

/// "generative 1", "inference 1", "generative 2", ...: 2R phases. `whole` is the plain training that they
/// stand for: its loss, the ELBO, is step 2's; its steps are divided among them (equal_lengths, of `unit`);
/// rates, schedule and clip are those of each. Step 2 moves the parameters called "encoder." Whenever a
/// repetition is over, each member keeps its parameters if Eq. 44 on `chosen_on`, after step 1, was its
/// lowest so far; after the last one it has those it kept, unless it was stopped. Throws for options that
/// make no sense.
std::vector<Phase> libi_phases(Vae& vae, const LibiOptions& options, const Phase& whole, int64_t unit = 1);

struct LibiOutcome {
  std::vector<std::vector<double>> costs;  ///< Eq. 44 after step 1, [repetition][member]; NaN: not yet
  std::vector<int64_t> kept;  ///< of each member, the repetition, from 1, that it keeps; 0: none yet
};
/// Without points to compare on, of one repetition, there are no costs.
LibiOutcome libi_outcome(const Training& training);

}  // namespace elbo
