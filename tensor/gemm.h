// gemm: matrix products, the one place that calls BLAS.
//
// Row-major, with transposes as flags and leading axes as a batch. Products in f32 that are large enough go
// to our own kernel (tensor/gemm_kernel.cpp) where the processor has AVX-512 or AVX2; the rest is BLAS.
// Our own parallel region divides the result into blocks, and each thread computes its blocks by itself: this
// is right with every BLAS, and no second thread runtime competes for the cores. A product's bits depend on
// its own sizes and numbers alone, not on its batch nor on the thread count, if BLAS gives the same bits for
// the same call, as OpenBLAS does.
//
//   Tensor c = matmul(a, Transpose::no, b, Transpose::yes);  // a (m, k), b (n, k) -> (m, n)
//   gemm(c, a, Transpose::no, b, Transpose::yes, true);      // c += a b^T
#pragma once

#include "tensor/function_ref.h"
#include "tensor/tensor.h"

namespace elbo {

/// Whether op(x) is x, or x with its last two axes swapped.
enum class Transpose { no, yes };

/// A part of a finished product: `rows` rows of `columns` elements, `stride` elements apart, which begin at
/// (row, column) of the matrix that is number `batch` of c.
struct Block {
  void* data;
  int64_t stride, batch, row, column, rows, columns;

  /// Row i of the block, with the element type of c.
  template <class T>
  T* row_data(int64_t i) const {
    return static_cast<T*>(data) + i * stride;
  }
};

using BlockFunction = FunctionRef<void(const Block&)>;

/// c = alpha op(a) op(b) + (accumulate ? c : 0), all f32 or all f64.
///
/// The last two axes are the matrices: op(a) (..., m, k), op(b) (..., k, n), c (..., m, n). Leading axes of a
/// and b broadcast to c's. Throws when inner sizes or leading axes disagree. c must not overlap a or b.
/// `finish` is an epilogue, on the CPU: gemm calls it for every finished block of c while the block is in the
/// cache, and the epilogue may change the elements. Blocks have any size, come in any order, from several
/// threads, and cover each element once.
void gemm(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b,
          bool accumulate = false, double alpha = 1.0, const BlockFunction* finish = nullptr);

/// The shape of op(a) op(b), or an error that names both shapes and says which product would fit.
Shape gemm_shape(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b);

/// The new tensor op(a) op(b).
Tensor matmul(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b);

/// With what precision the GPU multiplies f32 numbers; sums are always f32. Tensor cores multiply tf32 (10
/// bits of mantissa) and bf16 (7 bits) several times as fast. The default is f32. f64 products and the CPU
/// ignore this.
enum class MatmulPrecision { f32, tf32, bf16 };
void set_matmul_precision(MatmulPrecision precision);
MatmulPrecision matmul_precision();
/// "f32", "tf32", "bf16"; anything else is an Error.
MatmulPrecision parse_matmul_precision(std::string_view text);
const char* name(MatmulPrecision precision);

}  // namespace elbo
