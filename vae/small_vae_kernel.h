// The cost of a small VAE's batch with all its gradients, in one kernel on a GPU: encoder, noise, decoder,
// likelihood and KL, forward and backward. The op, and what it is checked against, is in small_vae.h.
//
// A block of threads has 48 points, takes them through the encoder, and then one sample of z after another
// through the decoder and back; at last the gradients of the posteriors' parameters go back through the
// encoder. Nothing of that is ever larger than the block's own 48 rows. f32, layers up to 64 wide.
#pragma once

#include "autograd/dense_layers_kernel.h"
#include "vae/small_vae_model.h"

namespace elbo::cuda {

/// Whether the kernel takes layers so many and so wide.
bool suits_small_vae(const SmallVae<float>& vae);

/// Numbers that the sums behind the gradients take, until `join_small_vae` has made gradients of them.
int64_t small_vae_sums(const SmallVae<float>& vae);
/// The terms; and the sums, unless they are null.
void run_small_vae(const SmallVae<float>& vae, const SmallVaeTerms<float>& terms, float* sums);
/// Gradients of d cost (M) in what `sums` hold: of each layer, the encoder's branches first, then as the last
/// one's bias that of ln sigma^2, where there is one.
void join_small_vae(const SmallVae<float>& vae, const float* sums, const float* d_cost,
                    const SmallLayerGradients<float>* gradients);

}  // namespace elbo::cuda
