// The mean squared error of a linear last layer, without its output: a fused op beside its twin.
//
//   |x - b - W h|^2 = |x - b|^2 - 2 h . t + h^T G h,   t = W^T (x - b),  G = W^T W,
//
// with h what dense layers make of z. linear_likelihood.h says when that pays.
#pragma once

#include "autograd/ops.h"

namespace elbo {

/// What does not depend on z.
struct LinearTarget {
  Variable gram;    ///< G (M?, H, H)
  Variable target;  ///< t (M?, N, H)
  Variable square;  ///< |x - b|^2, mean over the points: () or (M)
};

/// Mean over points and samples of the squared error, of z (M?, S?, N, k) -> () or (M). Where no layer is
/// wider than 128, a block of points goes through all of it at once, forward and backward
/// (tensor/small_chain.h). CPU; without layers, and where they are wider, it is the twin.
Variable linear_squared_error(const Variable& z, std::span<const DenseLayer> layers, const LinearTarget& to);
Variable linear_squared_error_twin(const Variable& z, std::span<const DenseLayer> layers,
                                   const LinearTarget& to);

}  // namespace elbo
