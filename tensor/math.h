// Scalar functions for pointwise formulas: the same call on host and device, in float and double.
//
// On the host the float versions are branch-free polynomials, so that a loop over them vectorises (the C
// library's calls would not); double uses the C library, which makes double the yardstick for float. Tested
// to a few units in the last place over their whole range, infinities and NaN included. Knows nothing of
// tensors.
//
//   struct Gate {                              // x tanh(softplus(x)), for map.h's loops
//     template <class T> ELBO_HD T operator()(T x) const { return x * math::tanh(math::softplus(x)); }
//   };
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__CUDACC__)
#  define ELBO_HD __host__ __device__ __forceinline__
#else
#  define ELBO_HD inline __attribute__((always_inline))
#endif

namespace elbo::math {

inline constexpr double kPi = 3.14159265358979323846;
inline constexpr double kLogTwoPi = 1.83787706640934548356;

// Whether the processor that this is compiled for multiplies and adds in one instruction. x86 and ARM have
// macros for it, every AArch64 can do it, and g++ has a macro for any processor.
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__aarch64__) || defined(__ARM_FEATURE_FMA) || \
    (defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF))
#  define ELBO_HAS_FMA 1
#endif

/// a b + c, rounded once where the processor can. Written out, because the compiler is told not to fuse on
/// its own (cmake/options.cmake): it would in one place of a loop and not in another, and the place would
/// change results.
template <class T>
ELBO_HD T multiply_add(T a, T b, T c) {
#ifdef ELBO_HAS_FMA
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

#if defined(__CUDA_ARCH__)

#  define ELBO_FORWARD_TO_LIBRARY(name) \
    template <class T>                  \
    ELBO_HD T name(T x) {               \
      return ::name(x);                 \
    }
ELBO_FORWARD_TO_LIBRARY(exp)
ELBO_FORWARD_TO_LIBRARY(log)
ELBO_FORWARD_TO_LIBRARY(expm1)
ELBO_FORWARD_TO_LIBRARY(log1p)
ELBO_FORWARD_TO_LIBRARY(tanh)
ELBO_FORWARD_TO_LIBRARY(sqrt)
ELBO_FORWARD_TO_LIBRARY(cbrt)
#  undef ELBO_FORWARD_TO_LIBRARY

#else

ELBO_HD double exp(double x) { return std::exp(x); }
ELBO_HD double log(double x) { return std::log(x); }
ELBO_HD double expm1(double x) { return std::expm1(x); }
ELBO_HD double log1p(double x) { return std::log1p(x); }
ELBO_HD double tanh(double x) { return std::tanh(x); }
ELBO_HD double sqrt(double x) { return std::sqrt(x); }
ELBO_HD float sqrt(float x) { return std::sqrt(x); }
ELBO_HD double cbrt(double x) { return std::cbrt(x); }

/// e^x. Splits x = n ln 2 + r with |r| <= ln(2)/2, then a degree-6 polynomial for e^r. Below -87.3 the result
/// is 0.
ELBO_HD float exp(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest integer
  // Ordered so that a NaN is bounded too: its conversion to an integer would be undefined.
  const float below = x < 88.72283f ? x : 88.72283f;
  const float bounded = below > -87.33654f ? below : -87.33654f;
  const float shifted = multiply_add(bounded, 1.44269504088896341f, kRound);
  const float n = shifted - kRound;
  const float r = multiply_add(n, 2.12194440e-4f, multiply_add(n, -0.693359375f, bounded));
  float p = 1.9875691500e-4f;
  p = multiply_add(p, r, 1.3981999507e-3f);
  p = multiply_add(p, r, 8.3334519073e-3f);
  p = multiply_add(p, r, 4.1665795894e-2f);
  p = multiply_add(p, r, 1.6666665459e-1f);
  p = multiply_add(p, r, 5.0000001201e-1f);
  p = multiply_add(p, r * r, r) + 1.0f;
  // 2^n in two factors, because 2^128 is not a float.
  const int32_t whole = static_cast<int32_t>(n);
  const int32_t half = whole >> 1;
  const float scale_a = std::bit_cast<float>((half + 127) << 23);
  const float scale_b = std::bit_cast<float>((whole - half + 127) << 23);
  const float y = p * scale_a * scale_b;
  const float capped = x > 88.72283f ? std::numeric_limits<float>::infinity() : (x < -87.33654f ? 0.0f : y);
  return x != x ? x : capped;
}

/// ln x. Splits x = 2^e m with sqrt(1/2) <= m < sqrt(2), then a polynomial in m - 1.
ELBO_HD float log(float x) {
  const bool subnormal = x < 1.17549435e-38f;
  const float normal = subnormal ? x * 8388608.0f : x;  // times 2^23
  const int32_t bits = std::bit_cast<int32_t>(normal);
  const float mantissa = std::bit_cast<float>((bits & 0x007fffff) | 0x3f000000);  // in [1/2, 1)
  const bool low = mantissa < 0.707106781f;
  const float m = (low ? mantissa + mantissa : mantissa) - 1.0f;
  const float e = static_cast<float>(((bits >> 23) & 0xff) - 126 - (subnormal ? 23 : 0) - (low ? 1 : 0));
  const float m2 = m * m;
  float p = 7.0376836292e-2f;
  p = multiply_add(p, m, -1.1514610310e-1f);
  p = multiply_add(p, m, 1.1676998740e-1f);
  p = multiply_add(p, m, -1.2420140846e-1f);
  p = multiply_add(p, m, 1.4249322787e-1f);
  p = multiply_add(p, m, -1.6668057665e-1f);
  p = multiply_add(p, m, 2.0000714765e-1f);
  p = multiply_add(p, m, -2.4999993993e-1f);
  p = multiply_add(p, m, 3.3333331174e-1f);
  p = multiply_add(p * m, m2, e * -2.12194440e-4f);
  p = multiply_add(-0.5f, m2, p);
  const float y = multiply_add(e, 0.693359375f, m + p);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float edge = x == 0.0f ? -kInfinity : std::numeric_limits<float>::quiet_NaN();
  return x > 0.0f ? (x == kInfinity ? x : y) : edge;
}

/// e^x - 1 without cancellation near 0: a Taylor polynomial inside |x| < 1/2, exp outside.
ELBO_HD float expm1(float x) {
  float p = 2.75573192e-6f;
  p = multiply_add(p, x, 2.48015873e-5f);
  p = multiply_add(p, x, 1.98412698e-4f);
  p = multiply_add(p, x, 1.38888889e-3f);
  p = multiply_add(p, x, 8.33333333e-3f);
  p = multiply_add(p, x, 4.16666667e-2f);
  p = multiply_add(p, x, 1.66666667e-1f);
  p = multiply_add(p, x, 0.5f);
  const float near = multiply_add(p * x, x, x);
  const float far = exp(x) - 1.0f;
  return std::fabs(x) < 0.5f ? near : far;
}

/// ln(1 + x) without cancellation near 0: the rounding of 1 + x is measured and put back (Kahan).
ELBO_HD float log1p(float x) {
  const float u = 1.0f + x;
  const float corrected = log(u) + (x - (u - 1.0f)) / u;
  const bool plain = (u < std::numeric_limits<float>::infinity()) & (u > 0.0f);
  return plain ? corrected : log(u);
}

/// tanh x = expm1(2x) / (expm1(2x) + 2), with |x| bounded where the result is 1 to the last bit.
ELBO_HD float tanh(float x) {
  const float bounded = x > 9.5f ? 9.5f : (x < -9.5f ? -9.5f : x);
  const float t = expm1(2.0f * bounded);
  return x != x ? x : t / (t + 2.0f);
}

/// The cube root, of either sign: e^(ln|x| / 3), and one of Newton's steps for its last digits.
ELBO_HD float cbrt(float x) {
  const float size = std::fabs(x);
  const float y = exp(log(size) * (1.0f / 3.0f));
  const float better = y - (y - size / (y * y)) * (1.0f / 3.0f);
  const bool plain = (size > 0.0f) & (size < std::numeric_limits<float>::infinity());
  return plain ? std::copysign(better, x) : x;
}

#endif  // __CUDA_ARCH__

template <class T>
ELBO_HD T sigmoid(T x) {
  // e^-|x| never overflows, and the small side keeps its relative precision.
  const T e = exp(x < T(0) ? x : -x);
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

/// ln(1 + e^x), for any x.
template <class T>
ELBO_HD T softplus(T x) {
  return (x > T(0) ? x : T(0)) + log1p(exp(x < T(0) ? x : -x));
}

/// (cos, sin)(2 pi u) for u in [0, 1), after reduction to a quarter turn.
template <class T>
ELBO_HD void cos_sin_turn(T u, T& cosine, T& sine) {
  const T quarters = T(4) * u;
  const int32_t quadrant = static_cast<int32_t>(quarters + T(0.5));
  const T r = (quarters - static_cast<T>(quadrant)) * T(kPi / 2);  // |r| <= pi/4
  const T z = r * r;
  // Taylor polynomials: the error at pi/4 is below 3e-9 (sine) and 3e-8 (cosine).
  T s = multiply_add(z, T(1.0 / 362880), T(-1.0 / 5040));
  s = multiply_add(s, z, T(1.0 / 120));
  s = multiply_add(s, z, T(-1.0 / 6));
  s = multiply_add(r * z, s, r);
  T c = multiply_add(z, T(1.0 / 40320), T(-1.0 / 720));
  c = multiply_add(c, z, T(1.0 / 24));
  c = multiply_add(c, z, T(-0.5));
  c = multiply_add(c, z, T(1));
  const T a = (quadrant & 1) ? s : c, b = (quadrant & 1) ? c : s;
  cosine = ((quadrant + 1) & 2) ? -a : a;
  sine = (quadrant & 2) ? -b : b;
}

}  // namespace elbo::math
