// In a file of its own: nvcc does not take its vector registers.
#include "apps/fma_peak.h"

#include <algorithm>
#include <chrono>

#include "tensor/parallel.h"

namespace elbo {

double measure_fma_peak() {
  typedef float Lanes __attribute__((vector_size(64)));
  constexpr int kChains = 12, kRounds = 200000;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    parallel_for(threads(), 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        Lanes chain[kChains], scale, shift;
        for (int lane = 0; lane < 16; ++lane) {
          scale[lane] = 0.999f;
          shift[lane] = 0.001f * static_cast<float>(lane);
        }
        // Chains that start alike would be computed once.
        for (int c = 0; c < kChains; ++c) chain[c] = shift * static_cast<float>(c + 1);
        for (int round = 0; round < kRounds; ++round)
          for (Lanes& c : chain) c = c * scale + shift;
        for (Lanes& c : chain) asm volatile("" : : "m"(c));  // the results count as used
      }
    });
    const double flops = 2.0 * 16 * kChains * kRounds * threads();
    best = std::max(
        best, flops / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() * 1e-9);
  }
  return best;
}

}  // namespace elbo
