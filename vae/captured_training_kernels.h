// The two small kernels that CapturedTraining has besides the ops of a step.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace elbo::cuda {

inline constexpr int64_t kFixedNumbers = 4;  // of a row, before the loss's
inline constexpr int64_t kMostProbes = 16;   // of a loss

/// A row of the table is {first, epoch, step, points, numbers of the loss..., rates...}. Takes row next[0]
/// apart into place {first, epoch}, counter {step}, points {points}, numbers and rates, and adds 1 to
/// next[0].
void advance(const Tensor& table, const Tensor& next, const Tensor& place, const Tensor& counter,
             const Tensor& points, const Tensor& numbers, const Tensor& rates);

/// Adds points[0] times each model's probes to the first rows of sums (probes + 2, models). A model whose
/// cost or one of whose probes is not finite is marked in the next row with the step counter[0], gets the
/// rate 0 in rates (1 + models), now and ever after, and adds nothing.
void bookkeep(const Tensor& cost, std::span<const Tensor> probes, const Tensor& points, const Tensor& counter,
              const Tensor& rates, const Tensor& sums);

}  // namespace elbo::cuda
