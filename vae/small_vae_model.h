// A small VAE and its batch as the op `small_vae_cost` (small_vae.h) hands them to the code that does the
// work: pointers and sizes. That of the CPU is small_vae_block.h, that of a GPU small_vae_kernel.h.
#pragma once

#include <cstdint>

#include "autograd/ops.h"
#include "tensor/batch_rows.h"
#include "tensor/small_layers.h"
#include "vae/vae.h"

namespace elbo {

/// Layers (tensor/small_layers.h) of a part, in one branch or more; `heads` of each are its last.
template <class T>
struct SmallPart {
  struct Branch {
    KeptVector<SmallLayer<T>> layers{};
    KeptVector<Activation> activations{};
    int64_t heads = 1;
  };
  KeptVector<Branch> branches{};
};

template <class T>
struct SmallVae {
  SmallPart<T> encoder{}, decoder{};  ///< whose heads give mean and log variance, or mean (logits) alone
  Likelihood likelihood{};
  int64_t members = 1, rows = 0, dimensions = 0, latent = 0;
  const T* x = nullptr;  ///< (M, N, D), or (N, D) that all members read
  bool shared_x = false;
  const T* log_sigma2 = nullptr;  ///< (M), of the Gaussian likelihood; else null
  const T* kl_weight = nullptr;   ///< (M)
  RandomKey key{};
  int64_t samples = 1, samples_of_part = 1;  ///< as reparameterize_kl has them
  BatchRows batch_rows{};
};

/// Numbers of each member, (M) each.
template <class T>
struct SmallVaeTerms {
  T *cost, *log_likelihood, *kl;
  T *prior_entropy, *decoder_entropy, *encoder_entropy;  ///< null for the Bernoulli likelihood
};

}  // namespace elbo
