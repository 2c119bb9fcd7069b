#include "tensor/vector_instructions.h"

namespace elbo {

const char* vector_instructions() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__) && defined(__FMA__)
  return "AVX2 and FMA";
#elif defined(__aarch64__)
  return "AArch64";
#elif defined(__x86_64__)
  return "x86-64 without AVX2";
#else
  return "plain loops";
#endif
}

}  // namespace elbo
