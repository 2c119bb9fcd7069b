// sgemm: our own matrix product in f32, for the shapes of training steps.
//
// gemm (tensor/gemm.h) is what everyone calls; it handles batches and threads, and calls this or BLAS for
// each block.
#pragma once

#include <cstdint>

#include "tensor/function_ref.h"

namespace elbo {

struct Block;
using BlockFunction = FunctionRef<void(const Block&)>;

/// c (m, n) = alpha op(a) op(b) + (accumulate ? c : 0), row-major in f32, rows lda, ldb and ldc apart.
struct Sgemm {
  int64_t m, n, k;
  const float* a;
  int64_t lda;
  bool a_transposed;  // op(a)(i, l) is a[l lda + i] instead of a[i lda + l]
  const float* b;
  int64_t ldb;
  bool b_transposed;
  float* c;
  int64_t ldc;
  float alpha;
  bool accumulate;
  /// The epilogue, or null; called for each finished tile of c. batch, row and column are c's place in the
  /// whole result.
  const BlockFunction* finish = nullptr;
  int64_t batch = 0, row = 0, column = 0;
};

/// Whether sgemm should do a product of this size: the build has it (AVX-512 or AVX2), and it tends to be
/// faster than BLAS.
bool sgemm_suits(int64_t m, int64_t n, int64_t k);

/// Computes the product on the calling thread. The sum of an element of c has the same order wherever the
/// element lies, so cutting a product into blocks of rows or columns changes no bit.
void sgemm(const Sgemm& p);

}  // namespace elbo
