// A program compiled for one processor and started on a lesser one would die of an illegal instruction.
// needs.cpp and check.cpp make it end with one line and status 2 instead.
//
// needs.cpp is compiled as the rest of the program is, and holds what the compiler may then use, as a
// constant; check.cpp is compiled for any processor of the architecture, and compares before the program's
// own initialisers run. Both use plain C, as a function of the C++ library could be the one that another file
// compiled for more.
#pragma once

#include <stdint.h>

// X(NAME): the extensions that compilers use of their own accord.
#if defined(__x86_64__)
#  define ELBO_PROCESSOR_EXTENSIONS(X) \
    X(sse3)                            \
    X(ssse3)                           \
    X(sse4_1)                          \
    X(sse4_2)                          \
    X(popcnt)                          \
    X(avx)                             \
    X(avx2)                            \
    X(fma)                             \
    X(bmi)                             \
    X(bmi2)                            \
    X(lzcnt)                           \
    X(movbe)                           \
    X(f16c)                            \
    X(fma4)                            \
    X(xop)                             \
    X(gfni)                            \
    X(avx512f)                         \
    X(avx512cd)                        \
    X(avx512dq)                        \
    X(avx512bw)                        \
    X(avx512vl)                        \
    X(avx512ifma)                      \
    X(avx512vbmi)                      \
    X(avx512vbmi2)                     \
    X(avx512vnni)                      \
    X(avx512bitalg)                    \
    X(avx512vpopcntdq)
#elif defined(__aarch64__)
#  define ELBO_PROCESSOR_EXTENSIONS(X) X(lse) X(fp16) X(dotprod) X(sve) X(sve2) X(i8mm) X(bf16)
#else
#  define ELBO_PROCESSOR_EXTENSIONS(X)
#endif

namespace elbo::processor {

enum Extension : int {
#define ELBO_X(name) name,
  ELBO_PROCESSOR_EXTENSIONS(ELBO_X)
#undef ELBO_X
      kExtensions
};
constexpr uint64_t bit(int extension) { return uint64_t{1} << extension; }

/// What this build may use, one bit for each extension.
extern const uint64_t needs;

/// What this processor has and the operating system lets programs use.
uint64_t available();

/// Writes the names of what is in `needed` and not in `present` to text, with commas between them, at most
/// `size` bytes with the 0 at the end. False, and an empty text, where nothing is missing.
bool list_missing(uint64_t needed, uint64_t present, char* text, int size);

/// The same as a whole line, which says what to do.
bool describe_missing(uint64_t needed, uint64_t present, char* text, int size);

}  // namespace elbo::processor
