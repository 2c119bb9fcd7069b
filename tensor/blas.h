// Which BLAS this process runs with: it is found when the program starts, and may be any.
//
// Products are cut into blocks for our own threads (gemm.h), so a BLAS must not start some of its own. Each
// has its own way to be told.
#pragma once

#include <optional>
#include <string>

namespace elbo {

/// What a BLAS shows of itself.
struct BlasTraits {
  std::optional<std::string> openblas, mkl, blis;  ///< the version text of the one in use
  std::string file;                                ///< the file with its sgemm; empty where unknown
  std::string core;                                ///< the processor that OpenBLAS takes this one for
};

/// Vectors that a processor has and OpenBLAS has kernels for.
enum class WideVectors { none, avx2, avx512 };

/// The core that OpenBLAS should take the processor for; empty where it knows better. One that is newer than
/// its OpenBLAS is taken for one of 2004, whose vectors are a quarter as long (measured: OpenBLAS 0.3.21 on
/// an Emerald Rapids, 32 Gflop/s instead of 140).
std::string better_core(const BlasTraits& traits, WideVectors vectors);

struct BlasDescription {
  std::string name;     ///< "OpenBLAS 0.3.21 ... SkylakeX", "BLIS 0.9.0", "BLAS of /usr/lib/libblas.so.3"
  std::string warning;  ///< one clause on why it will be slow; empty where it will not
};

BlasDescription describe(const BlasTraits& traits, WideVectors vectors);

/// The BLAS in use.
const BlasDescription& blas();

/// Asks, in the environment, for what `better_core` says, unless the user has said something. OpenBLAS reads
/// that as a program starts: true where the program should start again.
bool ask_for_better_core();

/// Keeps BLAS from starting threads of its own; gemm and linalg call it before they call BLAS.
void use_one_blas_thread();

}  // namespace elbo
