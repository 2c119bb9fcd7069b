// The cost of a small VAE's batch with all its gradients, in one pass on the CPU: encoder, noise, decoder,
// likelihood and KL, forward and backward. The op, and what it is checked against, is in small_vae.h.
//
// A thread has a block of points, takes them through the encoder, and then one sample of z after another
// through the decoder and back; at last the gradients of the posteriors' parameters go back through the
// encoder. Nothing of that is larger than the block, which is in the nearest caches. f32 and f64.
#pragma once

#include "vae/small_vae_model.h"

namespace elbo {

/// Numbers that the sums behind the gradients take, until `join_small_vae` has made gradients of them.
template <class T>
int64_t small_vae_sums(const SmallVae<T>& vae);
/// The terms; and the sums, unless they are null.
template <class T>
void run_small_vae(const SmallVae<T>& vae, const SmallVaeTerms<T>& terms, T* sums);
/// Gradients of d cost (M) in what `sums` hold: of each layer, the encoder's branches first, then as the last
/// one's bias that of ln sigma^2, where there is one.
template <class T>
void join_small_vae(const SmallVae<T>& vae, const T* sums, const T* d_cost,
                    const SmallLayerGradients<T>* gradients);

}  // namespace elbo
