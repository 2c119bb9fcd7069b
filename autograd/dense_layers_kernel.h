// Small networks in one pass on a GPU: what tensor/small_layers.h is on the CPU, as three kernels. The op is
// `dense_layers` (ops.h).
//
// The products of a layer of 50 units leave most of a tensor core's tile empty, and each would write its
// activations to memory for the next one to read. Here a block of threads takes rows through all layers, with
// activations and one layer's weights in shared memory. f32, layers up to 64 wide.
#pragma once

#include <cstdint>
#include <span>

#include "autograd/ops.h"
#include "tensor/small_layers.h"

namespace elbo::cuda {

inline constexpr int64_t kWidestLayer = 64;
inline constexpr size_t kMostLayers = 16;

/// How many numbers `run_layers` keeps of the hidden layers.
int64_t kept_numbers(const SmallNetwork<float>& network);

/// y[h] (M, rows, out) of every head. What the hidden layers gave goes to `kept`, unless that is null.
void run_layers(const SmallNetwork<float>& network, std::span<const Activation> activations, float* const* y,
                float* kept);

/// The gradients from those of the heads, dy[h] as y[h]. dx (M, rows, in), overwritten, or null.
void differentiate_layers(const SmallNetwork<float>& network, std::span<const Activation> activations,
                          const float* kept, const float* const* y, const float* const* dy, float* dx,
                          const SmallLayerGradients<float>* gradients);

}  // namespace elbo::cuda
