// Adam on a GPU: one kernel sweeps the whole arena, every block with the rate of the member that its tile
// belongs to.
#pragma once

#include "nn/optimizer.h"

namespace elbo::cuda {

/// Stretches of the arena cut into tiles of one member each, for `adam_step`.
Tensor adam_tiles(const std::vector<ParameterStore::Span>& spans);

/// One step of all members. numbers f64 (1 + members) in device memory: 1 / sqrt(c2), then each member's
/// lr / c1; or (2 members), where each member has its own 1 / sqrt(c2). A member with rate 0 is left alone.
void adam_step(ParameterStore& store, const AdamOptions& options, const Tensor& first_moment,
               const Tensor& second_moment, const Tensor& tiles, const Tensor& numbers);

}  // namespace elbo::cuda
