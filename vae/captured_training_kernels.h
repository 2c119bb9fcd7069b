// The two small kernels that CapturedTraining has besides the ops of a step.
#pragma once

#include "tensor/tensor.h"

namespace elbo::cuda {

inline constexpr int64_t kFixedNumbers = 4;  // of a row, before the penalty's

/// A row of the table is {first, epoch, step, points, penalty..., rates...}. Takes row next[0] apart into
/// place {first, epoch}, counter {step}, points {points}, penalty and rates, and adds 1 to next[0].
void advance(const Tensor& table, const Tensor& next, const Tensor& place, const Tensor& counter,
             const Tensor& points, const Tensor& penalty, const Tensor& rates);

/// Adds points[0] times each model's means to sums (4, models). A model whose objective is not finite is
/// marked with the step counter[0], gets the rate 0 in rates (1 + models), now and ever after, and adds
/// nothing.
void bookkeep(const Tensor& log_likelihood, const Tensor& kl, const Tensor& points, const Tensor& counter,
              const Tensor& rates, const Tensor& sums);

}  // namespace elbo::cuda
