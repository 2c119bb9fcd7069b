// What processes that share each batch agree on at the end of an epoch: what was found on held-out points by
// the one that measures, whether to stop, and that all still have the same model.
#pragma once

#include <optional>
#include <vector>

#include "apps/training/validation.h"
#include "nn/all_reduce.h"

namespace elbo {

/// Of each member; nothing of those that broke.
using FoundHeldOut = std::vector<std::optional<HeldOut>>;

/// Every process calls it. What process 0 found becomes what all have found, or all have nothing where it was
/// broken off; `took_long`: the others wait for it asleep. Throws Error, in all of them, where their
/// parameters are not the same.
void agree(AllReduce& all_reduce, bool took_long, const ParameterStore& parameters,
           std::optional<FoundHeldOut>& found);

}  // namespace elbo
