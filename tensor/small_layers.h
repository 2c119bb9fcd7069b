// Small networks in one pass: dense layers of which a block of rows goes through all, forward or backward,
// while weights and activations are in the processor's nearest caches.
//
// For a layer of 50 units, packing costs gemm more than the product itself, and the activations of all rows
// are too many for a cache. Here threads take blocks of rows, whose numbers lie by unit; gradients of weights
// are summed over fixed parts of the rows, which are joined in order, so that results depend neither on the
// thread count nor on other members. The op is `dense_layers` (autograd/ops.h). CPU, f32 and f64.
#pragma once

#include <cstdint>

#include "tensor/kept_vector.h"

namespace elbo {

/// Wider layers are left to gemm by the ops that use this.
inline constexpr int64_t kWidestSmallLayer = 128;

/// y = f(x W^T + b), pointers to the first member's numbers; those of the others follow.
template <class T>
struct SmallLayer {
  int64_t in = 0, out = 0;
  const T* weight = nullptr;  ///< (M?, out, in)
  const T* bias = nullptr;    ///< (M?, out)
  /// f of n numbers in place, and d times f' where f gave y; null where f is the identity.
  void (*activate)(T* y, int64_t n) = nullptr;
  void (*differentiate)(const T* y, T* d, int64_t n) = nullptr;
};

/// Layers one after another; the last `heads` of them all read the output of the layer before.
template <class T>
struct SmallNetwork {
  KeptVector<SmallLayer<T>> layers;
  int64_t heads = 1;
  int64_t members = 1, rows = 0;  ///< rows of each member
  const T* x = nullptr;           ///< (M, rows, in), or (rows, in) that all members read
  bool shared_x = false;
};

/// Where the gradients of a layer go, (M?, out, in) and (M?, out); null for one that is not wanted.
template <class T>
struct SmallLayerGradients {
  T* weight = nullptr;
  bool add_to_weight = false;  ///< adds to the numbers there; else overwrites them
  T* bias = nullptr;
  bool add_to_bias = false;
};

/// How many numbers `run_layers` keeps of the hidden layers.
template <class T>
int64_t kept_numbers(const SmallNetwork<T>& network);

/// y[h] (M, rows, out) of every head. Outputs of hidden layers go to `kept`, unless `kept` is null.
template <class T>
void run_layers(const SmallNetwork<T>& network, T* const* y, T* kept);

/// All gradients, from the heads' dy[h], of y[h]'s shape. dx (M, rows, in) is overwritten, or null.
template <class T>
void differentiate_layers(const SmallNetwork<T>& network, const T* kept, const T* const* y,
                          const T* const* dy, T* dx, const SmallLayerGradients<T>* gradients);

}  // namespace elbo
