// Lagging inference networks (He et al. 2019): the encoder lags behind the posterior that it approximates,
// and is given steps of its own before the decoder moves on. Two forms of it, as phases of a Training.
//
//   const Phase whole{.loss = elbo_loss(vae), .steps = 30000, .rates = {1e-2}};
//   Training training(vae.parameters(), lagging_segments(whole, 40), whole_set(x), {.seed = 7});
#pragma once

#include "vae/points.h"
#include "vae/training.h"
#include "vae/vae.h"

namespace elbo {

/// Yacoby et al., appendix E: "encoder 1", "joint 1", "encoder 2", ...: R segments, in each first the
/// parameters called "encoder." alone and then all. `whole` is the plain training that they stand for; its
/// steps are divided among them (equal_lengths, of `unit`), the rest is that of each.
std::vector<Phase> lagging_segments(const Phase& whole, int64_t segments, int64_t unit = 1);

/// After so many steps of the encoder alone its mean loss is looked at; so many there are at most.
inline constexpr int64_t kInnerCheck = 10, kInnerMost = 100;

struct LaggingOptions {
  /// Batches for the encoder's own steps, by a number: the same whenever it is asked, on the model's device.
  std::function<Tensor(int64_t number)> fresh{};
  /// Mutual information is taken on these, which takes time for all pairs of them.
  Points information_on;
  int64_t per_epoch = 1;  ///< steps after which that is done
};

/// He et al.'s own, one phase. While a member is aggressive, each step that moves the rest of it comes after
/// steps of its encoder on fresh batches, until their mean loss over the last kInnerCheck is no better than
/// over those before, and at most kInnerMost. A member whose mutual information has not risen over an epoch
/// is aggressive no more: from there on each step moves all of it. The encoder has an Adam of its own, with a
/// count of steps for each member; every decision is the member's own, so that it equals itself alone. Where
/// there is batch normalisation, averages of a member are also made of batches on which only others train.
Phase lagging_phase(Vae& vae, const LaggingOptions& options, const Phase& whole);

struct LaggingOutcome {
  /// Of each member: the step of the training from which on all of it moved, or -1; the steps of its encoder;
  /// and its mutual information as it was last taken, nats, 0 before. Empty before the first step.
  std::vector<int64_t> joint_from, encoder_steps;
  std::vector<double> information;
};
LaggingOutcome lagging_outcome(const Training& training);

}  // namespace elbo
