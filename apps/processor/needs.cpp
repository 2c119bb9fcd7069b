#include "apps/processor/processor.h"

#ifndef ELBO_PATH
#  define ELBO_PATH "native"
#endif

namespace elbo::processor {

extern const char* const own_path;  // paths.h; each program has its own, as it has its own `needs`
constexpr const char* own_path = ELBO_PATH;

// No code: a number that is there when the program is loaded.
constexpr uint64_t needs = 0
#if defined(__x86_64__)
#  ifdef __SSE3__
                           | bit(sse3)
#  endif
#  ifdef __SSSE3__
                           | bit(ssse3)
#  endif
#  ifdef __SSE4_1__
                           | bit(sse4_1)
#  endif
#  ifdef __SSE4_2__
                           | bit(sse4_2)
#  endif
#  ifdef __POPCNT__
                           | bit(popcnt)
#  endif
#  ifdef __AVX__
                           | bit(avx)
#  endif
#  ifdef __AVX2__
                           | bit(avx2)
#  endif
#  ifdef __FMA__
                           | bit(fma)
#  endif
#  ifdef __BMI__
                           | bit(bmi)
#  endif
#  ifdef __BMI2__
                           | bit(bmi2)
#  endif
#  ifdef __LZCNT__
                           | bit(lzcnt)
#  endif
#  ifdef __MOVBE__
                           | bit(movbe)
#  endif
#  ifdef __F16C__
                           | bit(f16c)
#  endif
#  ifdef __FMA4__
                           | bit(fma4)
#  endif
#  ifdef __XOP__
                           | bit(xop)
#  endif
#  ifdef __GFNI__
                           | bit(gfni)
#  endif
#  ifdef __AVX512F__
                           | bit(avx512f)
#  endif
#  ifdef __AVX512CD__
                           | bit(avx512cd)
#  endif
#  ifdef __AVX512DQ__
                           | bit(avx512dq)
#  endif
#  ifdef __AVX512BW__
                           | bit(avx512bw)
#  endif
#  ifdef __AVX512VL__
                           | bit(avx512vl)
#  endif
#  ifdef __AVX512IFMA__
                           | bit(avx512ifma)
#  endif
#  ifdef __AVX512VBMI__
                           | bit(avx512vbmi)
#  endif
#  ifdef __AVX512VBMI2__
                           | bit(avx512vbmi2)
#  endif
#  ifdef __AVX512VNNI__
                           | bit(avx512vnni)
#  endif
#  ifdef __AVX512BITALG__
                           | bit(avx512bitalg)
#  endif
#  ifdef __AVX512VPOPCNTDQ__
                           | bit(avx512vpopcntdq)
#  endif
#elif defined(__aarch64__)
#  ifdef __ARM_FEATURE_ATOMICS
                           | bit(lse)
#  endif
#  ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
                           | bit(fp16)
#  endif
#  ifdef __ARM_FEATURE_DOTPROD
                           | bit(dotprod)
#  endif
#  ifdef __ARM_FEATURE_SVE
                           | bit(sve)
#  endif
#  ifdef __ARM_FEATURE_SVE2
                           | bit(sve2)
#  endif
#  ifdef __ARM_FEATURE_MATMUL_INT8
                           | bit(i8mm)
#  endif
#  ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
                           | bit(bf16)
#  endif
#endif
    ;

}  // namespace elbo::processor
