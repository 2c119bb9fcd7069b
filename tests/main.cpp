// The test program's main function; every other file of tests/ adds cases to it. Cases that need a GPU are in
// the suite "gpu": where there is none they are left out, and a run of that suite alone ends with status 77,
// skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string_view>

#include "tensor/cuda/device.h"
#include "tensor/sanitizers.h"

#ifdef ELBO_ASAN
// clang's OpenMP library keeps what its threads need until the program has ended.
extern "C" const char* __lsan_default_suppressions() { return "leak:libomp.so"; }
#endif

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!elbo::cuda::available()) {
    for (int i = 1; i < argc; ++i)
      if (std::string_view(argv[i]) == "--test-suite=gpu") {
        std::printf("skipped: %s\n", elbo::cuda::why_not().c_str());
        return 77;
      }
    context.addFilter("test-suite-exclude", "gpu");
  }
  return context.run();
}
