// Lanes: as many numbers as one register of the processor holds, for the few inner loops that must keep their
// sums in registers, which compilers do not do by themselves. They vectorise all other loops as they are.
#pragma once

#include <cstdint>
#include <cstring>

#include "tensor/math.h"

#if defined(__AVX512F__) || defined(__FMA__)
#  include <immintrin.h>
#endif

namespace elbo {

#if defined(__AVX512F__)
inline constexpr int kLaneBytes = 64;
#elif defined(__AVX__)
inline constexpr int kLaneBytes = 32;
#else
inline constexpr int kLaneBytes = 16;
#endif

/// How many T there are in a register.
template <class T>
inline constexpr int kLanesOf = kLaneBytes / static_cast<int>(sizeof(T));

template <class T>
struct LanesOf {
  typedef T type __attribute__((vector_size(kLaneBytes)));
};
template <class T>
using Lanes = typename LanesOf<T>::type;

template <class T>
ELBO_HD Lanes<T> load_lanes(const T* from) {
  Lanes<T> x;
  std::memcpy(&x, from, sizeof(x));
  return x;
}

template <class T>
ELBO_HD void store_lanes(T* to, Lanes<T> x) {
  std::memcpy(to, &x, sizeof(x));
}

template <class T>
ELBO_HD Lanes<T> all_lanes(T x) {
  return x - Lanes<T>{};  // x - 0 is x for every x; x + 0 would make 0 of -0
}

/// Keeps x in a register from here on. Compilers would load the number again for each of its uses, and the
/// loop would wait for these loads.
template <class T>
ELBO_HD void hold_lanes(Lanes<T>& x) {
#if defined(__AVX512F__)
  asm("" : "+v"(x));
#elif defined(__x86_64__)
  asm("" : "+x"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#else
  static_cast<void>(x);
#endif
}

/// a b + c in every lane, rounded as math::multiply_add rounds.
template <class T>
ELBO_HD Lanes<T> multiply_add(Lanes<T> a, Lanes<T> b, Lanes<T> c) {
  // As intrinsics: with little optimisation, compilers would make scalar code of a loop over lanes.
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_fmadd_ps(a, b, c);
  else
    return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  if constexpr (sizeof(T) == 4)
    return _mm256_fmadd_ps(a, b, c);
  else
    return _mm256_fmadd_pd(a, b, c);
#elif defined(ELBO_HAS_FMA)
  for (int i = 0; i < kLanesOf<T>; ++i) c[i] = math::multiply_add(a[i], b[i], c[i]);
  return c;
#else
  return a * b + c;
#endif
}

}  // namespace elbo
