// The most floating-point work that the cores can do: what `elbo bench` compares matrix products with.
#pragma once

namespace elbo {

/// Multiply-adds that depend on nothing but themselves, in vectors as wide as this build has: the most
/// floating-point work the cores can do, in Gflop/s of f32.
double measure_fma_peak();

}  // namespace elbo
