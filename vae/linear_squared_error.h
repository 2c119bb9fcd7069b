// The mean squared error of a linear last layer, without its output: two fused ops beside their twins.
//
//   |x - b - W h|^2 = |r|^2 - 2 (h - a) . t + (h - a)^T G (h - a),
//   r = x - b - W a,  t = W^T r,  G = W^T W,
//
// with h what dense layers make of z. That is so for every a, one for each point; one that is near the h of
// its point keeps the terms as small as their sum. linear_likelihood.h says which, and when it pays.
#pragma once

#include "autograd/ops.h"

namespace elbo {

/// What does not depend on z.
struct LinearTarget {
  Tensor near;      ///< a (M?, N, H), a constant
  Tensor rest;      ///< r (M?, N, D): for linear_target_again alone, and else not needed
  Variable gram;    ///< G (M?, H, H)
  Variable target;  ///< t (M?, N, H)
  Variable square;  ///< |r|^2, mean over the points: () or (M)
};

/// Of x (N, D) or (M?, N, D), near (M?, N, H), weight W (M?, D, H), bias b (M?, D).
LinearTarget linear_target(const Tensor& x, const Tensor& near, const Variable& weight, const Variable& bias);
LinearTarget linear_target_twin(const Tensor& x, const Tensor& near, const Variable& weight,
                                const Variable& bias);
/// The same again, as the results of another tape.
LinearTarget linear_target_again(const LinearTarget& made, const Variable& weight, const Variable& bias);

/// Mean over points and samples of the squared error, of z (M?, S?, N, k) -> () or (M). Where no layer is
/// wider than 128, a block of points goes through all of it at once, forward and backward
/// (tensor/small_chain.h). CPU; without layers, and where they are wider, it is the twin.
Variable linear_squared_error(const Variable& z, std::span<const DenseLayer> layers, const LinearTarget& to);
Variable linear_squared_error_twin(const Variable& z, std::span<const DenseLayer> layers,
                                   const LinearTarget& to);

}  // namespace elbo
