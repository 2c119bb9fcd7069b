// The mean of a quadratic form of what dense layers make of z, a fused op beside its twin. What a Gaussian
// decoder with a linear last layer needs of it is in linear_likelihood.h.
#pragma once

#include "autograd/ops.h"

namespace elbo {

/// Mean over points and samples of h^T G h - 2 h . t, where the layers make h of z: what |t' - W h|^2 has
/// beside |t'|^2, with G = W^T W and t = W^T t'. z (M?, S?, N, k), gram (M?, H, H), target (M?, H, N): a
/// column for each point -> () or (M). On the CPU, where no layer is wider than 128, a block of points goes
/// through all of it at once, forward and backward (tensor/small_chain.h).
Variable mean_quadratic(const Variable& z, std::span<const DenseLayer> layers, const Variable& gram,
                        const Variable& target);
Variable mean_quadratic_twin(const Variable& z, std::span<const DenseLayer> layers, const Variable& gram,
                             const Variable& target);

}  // namespace elbo
