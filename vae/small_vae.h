// The cost of a small VAE's batch as one op, where the plain ops of a step would be two dozen short passes
// over memory, or kernels on a GPU: small_vae_block.h, small_vae_kernel.h. Its definition is what
// elbo_loss.cpp does with plain ops, of which it is a case: parts made of dense layers up to 128 wide, 64 on
// a GPU, each point's posterior with variances of its own, the prior N(0, I); f32, and on the CPU f64.
#pragma once

#include <optional>

#include "vae/loss.h"
#include "vae/vae.h"

namespace elbo {

/// Whether the op takes such a model. Its parameters must be there.
bool suits_small_vae_cost(const Vae& vae);

/// weight KL - E ln p(x|z) of each member, nats per data point; and as probes what elbo_loss has. kl_weight
/// () or (M). The samples of each point are those of so many parts, as reparameterize_kl has them, and `key`
/// is that of `for_members_of`.
LossValue small_vae_cost(const Vae& vae, const Tensor& x, const Tensor& kl_weight, const RandomKey& key,
                         int64_t samples, int64_t parts, const BatchRows& rows);

}  // namespace elbo
