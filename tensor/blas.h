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
  std::optional<std::string> openblas, mkl, blis;  ///< its own version text, for the one that it is
  std::string file;                                ///< the file with its sgemm; empty where unknown
};

struct BlasDescription {
  std::string name;     ///< "OpenBLAS 0.3.21 ... SkylakeX", "BLIS 0.9.0", "BLAS of /usr/lib/libblas.so.3"
  std::string warning;  ///< one clause on why it will be slow; empty where it will not
};

BlasDescription describe(const BlasTraits& traits);

/// The BLAS in use.
const BlasDescription& blas();

/// Keeps BLAS from starting threads of its own; gemm and linalg call it before they call BLAS.
void use_one_blas_thread();

}  // namespace elbo
