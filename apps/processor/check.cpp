// Compiled without what this build is compiled for (CMakeLists.txt).
#include <unistd.h>

#include "apps/processor/processor.h"

#if defined(__x86_64__)
#  include <cpuid.h>
#elif defined(__aarch64__)
#  include <asm/hwcap.h>
#  include <sys/auxv.h>
#endif

namespace elbo::processor {
namespace {

constexpr const char* kNames[] = {
#define ELBO_X(name) #name,
    ELBO_PROCESSOR_EXTENSIONS(ELBO_X)
#undef ELBO_X
        ""};

/// Appends to a text of limited size, and cuts what does not fit.
struct Text {
  char* at;
  int left;
  void add(const char* more) {
    for (; *more && left > 1; ++more, --left) *at++ = *more;
    *at = 0;
  }
};

// Before the initialisers of all other files, which have the priority 65535.
__attribute__((constructor(101))) void check() {
  char line[600];
  if (!describe_missing(needs, available(), line, sizeof line)) return;
  int length = 0;
  while (line[length]) ++length;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, static_cast<size_t>(length));
  _exit(2);
}

}  // namespace

uint64_t available() {
  uint64_t has = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Asked of the compiler, which also looks whether the operating system saves the wide registers.
#  define ELBO_ASK(name, text) has |= __builtin_cpu_supports(text) ? bit(name) : 0
  ELBO_ASK(sse3, "sse3"), ELBO_ASK(ssse3, "ssse3"), ELBO_ASK(sse4_1, "sse4.1"), ELBO_ASK(sse4_2, "sse4.2");
  ELBO_ASK(popcnt, "popcnt"), ELBO_ASK(avx, "avx"), ELBO_ASK(avx2, "avx2"), ELBO_ASK(fma, "fma");
  ELBO_ASK(bmi, "bmi"), ELBO_ASK(bmi2, "bmi2"), ELBO_ASK(fma4, "fma4"), ELBO_ASK(xop, "xop");
  ELBO_ASK(gfni, "gfni"), ELBO_ASK(avx512f, "avx512f"), ELBO_ASK(avx512cd, "avx512cd");
  ELBO_ASK(avx512dq, "avx512dq"), ELBO_ASK(avx512bw, "avx512bw"), ELBO_ASK(avx512vl, "avx512vl");
  ELBO_ASK(avx512ifma, "avx512ifma"), ELBO_ASK(avx512vbmi, "avx512vbmi");
  ELBO_ASK(avx512vbmi2, "avx512vbmi2"), ELBO_ASK(avx512vnni, "avx512vnni");
  ELBO_ASK(avx512bitalg, "avx512bitalg"), ELBO_ASK(avx512vpopcntdq, "avx512vpopcntdq");
#  undef ELBO_ASK
  // Not all compilers have names for the rest.
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d)) {
    if (c & bit_MOVBE) has |= bit(movbe);
    if (c & bit_F16C && has & bit(avx)) has |= bit(f16c);
  }
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) && c & bit_LZCNT) has |= bit(lzcnt);
#elif defined(__aarch64__)
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  if (first & HWCAP_ATOMICS) has |= bit(lse);
  if (first & HWCAP_ASIMDHP) has |= bit(fp16);
  if (first & HWCAP_ASIMDDP) has |= bit(dotprod);
  if (first & HWCAP_SVE) has |= bit(sve);
  if (second & HWCAP2_SVE2) has |= bit(sve2);
  if (second & HWCAP2_I8MM) has |= bit(i8mm);
  if (second & HWCAP2_BF16) has |= bit(bf16);
#endif
  return has;
}

bool list_missing(uint64_t needed, uint64_t present, char* text, int size) {
  Text out{text, size};
  out.add("");
  const uint64_t missing = needed & ~present;
  for (int extension = 0; extension < kExtensions; ++extension) {
    if (!(missing & bit(extension))) continue;
    if (out.at != text) out.add(", ");
    out.add(kNames[extension]);
  }
  return missing != 0;
}

bool describe_missing(uint64_t needed, uint64_t present, char* text, int size) {
  Text out{text, size};
  out.add("");
  char names[400];
  if (!list_missing(needed, present, names, sizeof names)) return false;
  out.add("elbo: this build is for a processor with ");
  out.add(names);
  out.add(
      ", which this one lacks; build elbo on this machine, or for any processor with -D ELBO_NATIVE=OFF\n");
  return true;
}

}  // namespace elbo::processor
