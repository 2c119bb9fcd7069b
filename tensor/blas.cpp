#include "tensor/blas.h"

#include <cblas.h>
#include <dlfcn.h>

#include <climits>
#include <cstdint>
#include <cstdlib>

#include "tensor/error.h"

// Each is there where BLAS is the one that it belongs to, and null otherwise.
extern "C" {
__attribute__((weak)) void openblas_set_num_threads(int);
__attribute__((weak)) char* openblas_get_config(void);
__attribute__((weak)) void MKL_Set_Num_Threads(int);
__attribute__((weak)) void MKL_Get_Version_String(char*, int);
__attribute__((weak)) void bli_thread_set_num_threads(int64_t);
__attribute__((weak)) const char* bli_info_get_version_str(void);
}

namespace elbo {
namespace {

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
  traits.file = file_of(reinterpret_cast<const void*>(&cblas_sgemm));
  return traits;
}

}  // namespace

BlasDescription describe(const BlasTraits& traits) {
  if (traits.openblas) return {*traits.openblas, ""};
  if (traits.mkl) return {*traits.mkl, ""};
  if (traits.blis) return {"BLIS " + *traits.blis, ""};
  const std::string file = traits.file.empty() ? "an unknown file" : traits.file;
  const size_t slash = file.rfind('/');
  // Netlib's library has the plain name; others that take its place have folders and links with theirs.
  const bool reference = file.compare(slash == std::string::npos ? 0 : slash + 1, 10, "libblas.so") == 0 ||
                         file.compare(slash == std::string::npos ? 0 : slash + 1, 11, "libcblas.so") == 0;
  return {"BLAS of " + file,
          reference
              ? "this looks like the reference BLAS, which is slow; install OpenBLAS (libopenblas-dev)"
              : "this is none of OpenBLAS, MKL and BLIS: it cannot be told to leave threads to elbo, and if "
                "it starts its own they compete for the cores"};
}

const BlasDescription& blas() {
  static const BlasDescription description = describe(traits_in_use());
  return description;
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
