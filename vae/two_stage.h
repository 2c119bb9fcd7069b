// Two-stage VAEs (Dai & Wipf 2019, "Diagnosing and enhancing VAE models", section 4): the aggregated
// posterior q(z) of a trained VAE is not its prior, so a second VAE learns q(z), and pictures are drawn u ->
// z -> x.
//
//   const Codes codes = encode_all(*first, x);                            // after the first's training
//   DeepVae second(second_stage(*first, {}, members_from), seed);
//   const BatchSource batches = code_batches(*first, codes, 128, seed);
//   Training training(second.parameters(), {{.loss = elbo_loss(second), .steps = steps}}, batches, {...});
//   const TwoStageDraws drawn = draw_two_stages(*first, second, 100, seed);
//
// The second VAE is told of the first nothing but its z. Both are ensembles of as many members or neither is,
// and member m of the second belongs to member m of the first.
#pragma once

#include "vae/deep_metrics.h"
#include "vae/deep_vae.h"
#include "vae/training.h"

namespace elbo {

struct SecondStage {
  std::vector<int64_t> hidden{1024, 1024, 1024};  ///< of encoder and decoder alike; ReLU
  /// gamma^2 to start from; it is learned. z varies by about 1 in every direction (Asperti's law), and a VAE
  /// whose sigma^2 is not below that begins, and can stay, collapsed (Lucas et al. 2019, section 4).
  double sigma2 = 0.1;
};
/// A VAE of z (M?, N, k) with k latent dimensions, one learned gamma^2, and the first's type, device and
/// number of members. `first_member` is that of its own random numbers: with the first's they would begin,
/// and be disturbed, by the same.
DeepVaeOptions second_stage(const Vae& first, const SecondStage& options, int64_t first_member);

/// z = mu + sigma eps of all points: (M?, N, k) on the codes' device. `key` as for_members_of gives it.
Tensor draw_codes(const Codes& codes, const RandomKey& key);

/// Batches of z for the second stage's training, on the first's device: points in an order drawn anew for
/// each epoch, with eps drawn anew for each batch. Both follow from the seed and the step.
BatchSource code_batches(const Vae& first, const Codes& codes, int64_t batch, uint64_t seed);

struct TwoStageDraws {
  Tensor z;  ///< (M?, n, k): the second decoder's mean of u ~ p(u) plus its gamma eps, as Dai & Wipf do
  Tensor x;  ///< (M?, n, D): the first decoder's mean (logits of the Bernoulli likelihood)
};
TwoStageDraws draw_two_stages(const Vae& first, const Vae& second, int64_t n, uint64_t seed);

}  // namespace elbo
