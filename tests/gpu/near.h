// near: whether a tensor of the GPU holds the numbers of one of the CPU, up to rounding.
#pragma once

#include <cmath>

#include "tensor/tensor.h"

namespace elbo {

/// Every element within `tolerance` (by default what a sum's order may change) of the largest; NaN is near
/// nothing.
inline bool near(const Tensor& there, const Tensor& here, double tolerance = 0) {
  if (there.device() != Device::cuda || !(there.shape() == here.shape()) || there.dtype() != here.dtype())
    return false;
  if (tolerance == 0) tolerance = here.dtype() == DType::f32 ? 1e-6 : 1e-14;
  const std::vector<double> a = there.to_vector(), b = here.to_vector();
  double largest = 0;
  for (double value : b)
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::abs(a[i] - b[i]) <= tolerance * largest)) return false;
  return true;
}

}  // namespace elbo
