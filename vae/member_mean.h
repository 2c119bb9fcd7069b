// The mean of each member over all that it has: what per-point terms and log variances become in a step's
// cost and in what a step records; and the way back.
#pragma once

#include "autograd/ops.h"

namespace elbo {

/// x (M, ...) -> (M); where `members` is 0, x of any shape -> ().
inline Variable member_mean(const Variable& x, int64_t members) {
  return members == 0 ? mean(x) : mean(reshape(x, {members, x.value().elements() / members}), {-1});
}

/// Numbers of members, () or (M), with as many axes as x has, to broadcast to it.
inline Tensor for_terms(const Tensor& per_member, const Shape& x) {
  Shape shape = per_member.shape();
  while (shape.rank() < x.rank()) shape.push_back(1);
  return per_member.reshape(shape);
}

}  // namespace elbo
