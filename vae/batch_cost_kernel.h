// What a step costs, on a GPU in one kernel: batch_cost of fused.h, which fused_cost.cpp defines.
#pragma once

#include "tensor/tensor.h"

namespace elbo::cuda {

/// Whether one block for each member is enough for so many numbers of a member.
bool suits_batch_cost(const Tensor& log_likelihood, const Tensor& kl, int64_t members);

/// Of each member the means over log_likelihood (M, S, N) and kl (M, N), and cost = weight kl -
/// log_likelihood of these; all that is written, and weight, (M).
void batch_cost(const Tensor& log_likelihood, const Tensor& kl, const Tensor& weight, const Tensor& cost,
                const Tensor& mean_log_likelihood, const Tensor& mean_kl);

}  // namespace elbo::cuda
