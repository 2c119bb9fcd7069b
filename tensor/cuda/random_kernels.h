// Draws in kernels. Counters, and so uniforms, are the CPU's; normals differ in their last bits, as the GPU's
// logarithm does.
#pragma once

#include "tensor/cuda/kernel.h"
#include "tensor/random.h"

namespace elbo::cuda {

struct UniformDraw {
  template <class T>
  __device__ static void convert(const PhiloxBlock& block, T* out) {
    for (int w = 0; w < 4; ++w) out[w] = to_unit<T>(block.word[w]);
  }
};

struct NormalDraw {
  template <class T>
  __device__ static void convert(const PhiloxBlock& block, T* out) {
    to_normal_pair<T>(block.word[0], block.word[1], out[0], out[1]);
    to_normal_pair<T>(block.word[2], block.word[3], out[2], out[3]);
  }
};

/// Draws element .. element + 3 of a key's sequence, wherever they begin.
template <class Draw, class T>
__device__ void draw_four(const RandomKey& key, int64_t element, T* out) {
  const auto group = static_cast<uint32_t>(element / 4);
  const int skip = static_cast<int>(element % 4);
  T first[4];
  Draw::convert(random_block(key, group), first);
  if (skip == 0) {
    for (int i = 0; i < 4; ++i) out[i] = first[i];
    return;
  }
  T second[4];
  Draw::convert(random_block(key, group + 1), second);
  for (int i = 0; i < 4; ++i) out[i] = i + skip < 4 ? first[(i + skip) % 4] : second[(i + skip) % 4];
}

}  // namespace elbo::cuda
