// The noise of z as kernels draw it: where it is used, and again where a gradient needs it, so that it is
// never stored. The definition is reparameterize_kl_twin in fused_gaussian.cpp. Included by kernels only.
#pragma once

#include "tensor/cuda/random_kernels.h"

namespace elbo::cuda {

constexpr int kNoiseGroup = 4;  // elements whose noise comes from one counter

/// Where a row's noise is in the draw of its member.
struct NoiseSizes {
  int64_t samples, samples_of_part;
  int64_t latent;
  int64_t first_row, batch_rows;  // where the rows are in the whole batch
};

/// The noise of kNoiseGroup of a row's units from `unit` on, for one sample: element (sample B + first row +
/// row) k + unit of the member's draw, where its part's first sample is sample 0 and the whole batch has B
/// rows.
template <class T>
__device__ void draw_noise(const NoiseSizes& s, RandomKey key, int64_t member, int64_t sample, int64_t row,
                           int64_t unit, T* noise) {
  key.member += static_cast<uint32_t>(member);
  if (s.samples_of_part != s.samples) {
    const int64_t part = quotient(sample, s.samples_of_part);
    key.step += static_cast<uint64_t>(part);
    sample -= part * s.samples_of_part;
  }
  draw_four<NormalDraw>(key, (sample * s.batch_rows + s.first_row + row) * s.latent + unit, noise);
}

}  // namespace elbo::cuda
