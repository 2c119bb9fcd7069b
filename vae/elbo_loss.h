// The loss of VAEs: minus the objective of objective.h, in nats per data point.
//
//   const Loss loss = elbo_loss(vae, {.penalty = Objective::Penalty::free_bits});
//   const LossTerms terms = differentiate(loss, x, time, key);
//   for (int64_t m : members_not_finite(terms)) rates[m] = 0;      // Adam leaves a member with rate 0 alone
//   adam.step(rates);
#pragma once

#include "vae/entropies.h"
#include "vae/loss.h"
#include "vae/objective.h"

namespace elbo {

/// The names of its probes; for a Gaussian likelihood those of entropies.h follow.
inline constexpr const char* kExpectedLogLikelihood = "expected_log_likelihood";
inline constexpr const char* kKl = "kl";

/// Batches x (N, D) or (M, N, D); `samples` z for each point. With many samples the decoder runs on a part of
/// them at a time, forward and backward, so that its activations stay in the processor's cache; the parts
/// follow from the shapes alone, and each has noise of its own. Of small networks several threads may each be
/// at a part, with gradients of its own, so that memory grows with the threads up to a bound, and not with
/// the samples. A GPU takes as many parts at once as memory allows, with the same noise. On a CPU, many
/// samples of a wide Gaussian decoder do without its output (linear_likelihood.h). The cost of a small VAE is
/// one op (small_vae.h), if its penalty is the KL.
Loss elbo_loss(Vae& vae, const Objective& objective = {}, int64_t samples = 1);
/// The same cost and probes by plain ops, all samples at once: what the loss is checked against.
LossValue elbo_loss_twin(const Vae& vae, const Objective& objective, int64_t samples, const LossInput& in);

/// The estimate of a member's ELBO that is in the terms of that loss, nats per data point.
double elbo_in(const LossTerms& terms, int64_t member = 0);

/// The first tensor of a member, parameters first and then what they make of x, that is not finite:
/// "decoder.2.bias", "z", ...; "the objective" when all of them are.
std::string first_not_finite(const Vae& vae, const Tensor& x, const RandomKey& key, int64_t member);

}  // namespace elbo
