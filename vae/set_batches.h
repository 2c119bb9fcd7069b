// Batches of whole data sets in memory, one for all members or one for each.
#pragma once

#include "vae/training.h"

namespace elbo {

/// So many rows of x (N, D) or (M, N, D) a step, in an order that is drawn anew for each epoch from the seed,
/// and is the same for every member. What is left over at an epoch's end is its last, smaller batch. Of an x
/// on a GPU they are made there. Throws for a batch below 1; one above N is N.
BatchSource shuffled_batches(const Tensor& x, int64_t batch, uint64_t seed);

}  // namespace elbo
