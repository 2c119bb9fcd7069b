// In a file of its own: nvcc does not take its vector registers.
#include "apps/bench/fma_peak.h"

#include <algorithm>
#include <chrono>

#include "tensor/parallel.h"

#if defined(__FMA__)
#  include <immintrin.h>
#elif defined(__aarch64__)
#  include <arm_neon.h>
#endif

namespace elbo {
namespace {

// As wide as the registers of this build: a wider vector would be several of them, and the chains would
// spill.
#if defined(__AVX512F__)
typedef float Lanes __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float Lanes __attribute__((vector_size(32)));
#elif defined(__aarch64__)
// Two registers of its 32, as some begin four multiply-adds in a cycle.
struct Lanes {
  float32x4_t first, second;
};
#else
typedef float Lanes __attribute__((vector_size(16)));
#endif

Lanes all(float x) {
#if defined(__aarch64__)
  return {vdupq_n_f32(x), vdupq_n_f32(x)};
#else
  return Lanes{} + x;
#endif
}

/// One multiply-add with each chain's number. An operator would be two instructions even where there is one
/// for it, because the compiler is told not to fuse on its own; where there is none, two it is.
inline __attribute__((always_inline)) void step(Lanes& chain, Lanes scale, Lanes shift) {
#if defined(__FMA__) && defined(__AVX512F__)
  chain = _mm512_fmadd_ps(chain, scale, shift);
#elif defined(__FMA__)
  chain = _mm256_fmadd_ps(chain, scale, shift);
#elif defined(__aarch64__)
  // Its instruction writes over what is added.
  chain = {vfmaq_f32(chain.first, scale.first, shift.first),
           vfmaq_f32(chain.second, scale.second, shift.second)};
#else
  chain = chain * scale + shift;
#endif
}

/// So many rounds of one step of 12 chains: enough to hide that a multiply-add takes four cycles of a core
/// that begins up to three in each. With the two constants they are 14 registers, where the smallest
/// processors have 16.
__attribute__((noinline)) void multiply_and_add(int64_t rounds) {
  const Lanes scale = all(0.999f), shift = all(1);
  // Chains that start alike would be computed once. Each is a variable, as an array may lie in memory.
  Lanes a = all(1), b = all(2), c = all(3), d = all(4), e = all(5), f = all(6), g = all(7), h = all(8),
        i = all(9), j = all(10), k = all(11), l = all(12);
  for (int64_t round = 0; round < rounds; ++round) {
    step(a, scale, shift), step(b, scale, shift), step(c, scale, shift), step(d, scale, shift);
    step(e, scale, shift), step(f, scale, shift), step(g, scale, shift), step(h, scale, shift);
    step(i, scale, shift), step(j, scale, shift), step(k, scale, shift), step(l, scale, shift);
  }
  const Lanes ends[] = {a, b, c, d, e, f, g, h, i, j, k, l};
  asm volatile("" : : "m"(ends));  // the results count as used
}

}  // namespace

double measure_fma_peak() {
  constexpr int64_t kRounds = 1'000'000;  // some milliseconds, beside which waking the threads is nothing
  constexpr double kFlops = 2.0 * 12 * (sizeof(Lanes) / sizeof(float)) * kRounds;
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    parallel_for(threads(), 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) multiply_and_add(kRounds);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, kFlops * threads() / seconds * 1e-9);
  }
  return best;
}

}  // namespace elbo
