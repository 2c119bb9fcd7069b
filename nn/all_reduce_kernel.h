// Sums over processes on a GPU: add_in_order (nn/all_reduce.h), one thread to a number.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace elbo::cuda {

void add_in_order(const Tensor& parts, std::span<const double> weights, const Tensor& to);

}  // namespace elbo::cuda
