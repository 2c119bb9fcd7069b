// The cost of a small VAE's batch with all its gradients, in one kernel on a GPU: encoder, noise, decoder,
// likelihood and KL, forward and backward. The op, and what it is checked against, is in small_vae.h.
//
// A block of threads has 48 points, takes them through the encoder, and then one sample of z after another
// through the decoder and back; at last the gradients of the posteriors' parameters go back through the
// encoder. Nothing of that is ever larger than the block's own 48 rows. f32, layers up to 64 wide.
#pragma once

#include <cstdint>

#include "autograd/dense_layers_kernel.h"
#include "tensor/batch_rows.h"
#include "vae/vae.h"

namespace elbo::cuda {

/// Layers (tensor/small_layers.h) of a part, in up to two branches; `heads` of each are its last.
struct SmallPart {
  struct Branch {
    KeptVector<SmallLayer<float>> layers{};
    KeptVector<Activation> activations{};
    int64_t heads = 1;
  };
  KeptVector<Branch> branches{};
};

struct SmallVae {
  SmallPart encoder{}, decoder{};  ///< whose heads give mean and log variance, or mean (logits) alone
  Likelihood likelihood{};
  int64_t members = 1, rows = 0, dimensions = 0, latent = 0;
  const float* x = nullptr;  ///< (M, N, D), or (N, D) that all members read
  bool shared_x = false;
  const float* log_sigma2 = nullptr;  ///< (M), of the Gaussian likelihood; else null
  const float* kl_weight = nullptr;   ///< (M)
  RandomKey key{};
  int64_t samples = 1, samples_of_part = 1;  ///< as reparameterize_kl has them
  BatchRows batch_rows{};
};

/// Whether the kernel takes layers so many and so wide.
bool suits_small_vae(const SmallVae& vae);

/// Numbers of each member, (M) each.
struct SmallVaeTerms {
  float *cost, *log_likelihood, *kl;
  float *prior_entropy, *decoder_entropy, *encoder_entropy;  ///< null for the Bernoulli likelihood
};

/// Numbers that the sums behind the gradients take, until `join_small_vae` has made gradients of them.
int64_t small_vae_sums(const SmallVae& vae);
/// The terms; and the sums, unless they are null.
void small_vae_cost(const SmallVae& vae, const SmallVaeTerms& terms, float* sums);
/// Gradients of d cost (M) in what `sums` hold: of each layer, the encoder's branches first, then as the last
/// one's bias that of ln sigma^2, where there is one.
void join_small_vae(const SmallVae& vae, const float* sums, const float* d_cost,
                    const SmallLayerGradients<float>* gradients);

}  // namespace elbo::cuda
