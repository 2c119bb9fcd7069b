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
  /// The epilogue, or null; called for each tile of c that is done. The numbers are c's place in the whole
  /// result.
  const BlockFunction* finish = nullptr;
  int64_t batch = 0, row = 0, column = 0;
};

/// Whether sgemm is worth calling for a product of this size: it exists in this build (AVX-512 or AVX2) and
/// tends to be faster than BLAS.
bool sgemm_suits(int64_t m, int64_t n, int64_t k);

/// Computes the product on the calling thread. An element of c is the same sum in the same order wherever it
/// lies in c, so cutting a product into blocks of rows or columns does not change a bit of it.
void sgemm(const Sgemm& p);

}  // namespace elbo
