// One training step of deep VAEs: the gradients of an objective on a batch, and what to do with a member
// whose numbers leave the range of floats.
//
// A loop makes batches, calls `differentiate`, stops the members that went bad, and steps the optimiser:
//
//   const BatchTerms terms = differentiate(vae, x, objective, time, key);
//   for (int64_t m : members_not_finite(terms)) rates[m] = 0;      // Adam leaves a member with rate 0 alone
//   adam.step(rates);
#pragma once

#include "nn/optimizer.h"
#include "vae/objective.h"

namespace elbo {

/// Means over a batch, () or (M), nats per data point; the ELBO's estimate is their difference.
struct BatchTerms {
  Tensor log_likelihood, kl;
  double elbo(int64_t member = 0) const { return log_likelihood.at(member) - kl.at(member); }
};

/// Leaves the gradient of minus the objective, of every member, in the parameters. x (N, D); `samples` z for
/// each point, drawn by key. With many samples the decoder runs on a part of them at a time, forward and
/// backward, so that its activations stay in the processor's cache and memory does not grow with their
/// number; the parts follow from the shapes alone.
BatchTerms differentiate(DeepVae& vae, const Tensor& x, const Objective& objective, const TrainingTime& time,
                         const RandomKey& key, int64_t samples = 1);
/// The same with the penalty's numbers (objective.h) given: of the model's type, on its device.
BatchTerms differentiate_given(DeepVae& vae, const Tensor& x, const Objective& objective,
                               const Tensor& penalty, const RandomKey& key, int64_t samples = 1);

/// Members whose objective on the batch is NaN or infinite.
std::vector<int64_t> members_not_finite(const BatchTerms& terms);

/// The first tensor of a member, parameters first and then what they make of x, that is not finite:
/// "decoder.2.bias", "z", ...; "the objective" when all of them are.
std::string first_not_finite(const DeepVae& vae, const Tensor& x, const RandomKey& key, int64_t member);

}  // namespace elbo
