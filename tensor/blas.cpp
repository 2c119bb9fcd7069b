#include "tensor/blas.h"

#include <cblas.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tensor/error.h"

// Each is there where BLAS is the one that it belongs to, and null otherwise.
extern "C" {
__attribute__((weak)) void openblas_set_num_threads(int);
__attribute__((weak)) char* openblas_get_config(void);
__attribute__((weak)) char* openblas_get_corename(void);
__attribute__((weak)) void MKL_Set_Num_Threads(int);
__attribute__((weak)) void MKL_Get_Version_String(char*, int);
__attribute__((weak)) void bli_thread_set_num_threads(int64_t);
__attribute__((weak)) const char* bli_info_get_version_str(void);
}

namespace elbo {
namespace {

constexpr const char* kCoreVariable = "OPENBLAS_CORETYPE";

/// OpenBLAS's names of processors without AVX2.
constexpr std::array kNarrowCores{
    "Katmai",    "Coppermine", "Northwood", "Prescott",    "Banias",     "Atom",        "Core2",
    "Penryn",    "Dunnington", "Nehalem",   "Sandybridge", "Athlon",     "Opteron",     "Opteron_SSE3",
    "Barcelona", "Nano",       "Bobcat",    "Bulldozer",   "Piledriver", "Steamroller", "Unknown"};

/// The file that holds a function, with links followed.
std::string file_of(const void* function) {
  Dl_info info{};
  if (dladdr(function, &info) == 0 || !info.dli_fname) return "";
  char path[PATH_MAX];
  return realpath(info.dli_fname, path) ? path : info.dli_fname;
}

BlasTraits traits_in_use() {
  BlasTraits traits;
  if (openblas_get_config) traits.openblas = openblas_get_config();
  if (MKL_Get_Version_String) {
    char text[200] = "";
    MKL_Get_Version_String(text, sizeof text);
    traits.mkl = text;
  }
  if (bli_info_get_version_str) traits.blis = bli_info_get_version_str();
  if (openblas_get_corename) traits.core = openblas_get_corename();
  traits.file = file_of(reinterpret_cast<const void*>(&cblas_sgemm));
  return traits;
}

WideVectors vectors_here() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return WideVectors::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return WideVectors::avx2;
#endif
  return WideVectors::none;
}

}  // namespace

std::string better_core(const BlasTraits& traits, WideVectors vectors) {
  // Without DYNAMIC_ARCH it has the kernels of one processor only.
  if (!traits.openblas || traits.openblas->find("DYNAMIC_ARCH") == std::string::npos ||
      std::find(kNarrowCores.begin(), kNarrowCores.end(), std::string_view(traits.core)) ==
          kNarrowCores.end())
    return "";
  switch (vectors) {
    case WideVectors::none:
      break;
    case WideVectors::avx2:
      return "Haswell";
    case WideVectors::avx512:
      return "SkylakeX";
  }
  return "";
}

BlasDescription describe(const BlasTraits& traits, WideVectors vectors) {
  if (traits.openblas) {
    const std::string core = better_core(traits, vectors);
    return {
        *traits.openblas,
        core.empty()
            ? ""
            : fmt::format("it takes this processor for one without AVX2, {}, and is several times as slow "
                          "as it could be; set {}={} before the program starts",
                          traits.core, kCoreVariable, core)};
  }
  if (traits.mkl) return {*traits.mkl, ""};
  if (traits.blis) return {"BLIS " + *traits.blis, ""};
  const std::string file = traits.file.empty() ? "an unknown file" : traits.file;
  const size_t slash = file.rfind('/');
  // Netlib's library has this name itself; for others the name is a link to a file of another name.
  const bool reference = file.compare(slash == std::string::npos ? 0 : slash + 1, 10, "libblas.so") == 0 ||
                         file.compare(slash == std::string::npos ? 0 : slash + 1, 11, "libcblas.so") == 0;
  return {"BLAS of " + file,
          reference
              ? "this looks like the reference BLAS, which is slow; install OpenBLAS (libopenblas-dev)"
              : "this is none of OpenBLAS, MKL and BLIS: it cannot be told to leave threads to elbo, and if "
                "it starts its own they compete for the cores"};
}

const BlasDescription& blas() {
  static const BlasDescription description = describe(traits_in_use(), vectors_here());
  return description;
}

bool ask_for_better_core() {
  if (std::getenv(kCoreVariable)) return false;
  const std::string core = better_core(traits_in_use(), vectors_here());
  return !core.empty() && setenv(kCoreVariable, core.c_str(), 1) == 0;
}

void use_one_blas_thread() {
  static const bool done = [] {
    if (openblas_set_num_threads) openblas_set_num_threads(1);
    if (MKL_Set_Num_Threads) MKL_Set_Num_Threads(1);
    if (bli_thread_set_num_threads) bli_thread_set_num_threads(1);
    return true;
  }();
  (void)done;
}

}  // namespace elbo
