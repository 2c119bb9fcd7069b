// gemm: matrix products, the one place that calls BLAS.
//
// Row-major, with transposes as flags and leading axes as a batch. Products in f32 that are large enough go
// to our own kernel (tensor/gemm_kernel.cpp) where the processor has AVX-512 or AVX2; the rest is BLAS.
// Either runs single-threaded inside our own parallel region, each thread computing blocks of the result:
// right with every BLAS build, and no second thread runtime competes for the cores. A product's bits depend
// on its own sizes and numbers alone, not on the batch it is in nor on the thread count, if BLAS repeats
// itself when it is called the same way again, as OpenBLAS does.
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
/// `finish` is an epilogue, on the CPU: gemm calls it for every block of c that is done and still in the
/// cache, and it may change the elements. Blocks are of any size, in any order, from several threads, and
/// cover each element once.
void gemm(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b,
          bool accumulate = false, double alpha = 1.0, const BlockFunction* finish = nullptr);

/// The shape of op(a) op(b), or an error that names both shapes and says which product would fit.
Shape gemm_shape(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b);

/// The new tensor op(a) op(b).
Tensor matmul(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b);

/// With what precision the GPU multiplies f32 numbers; sums are always f32. Tensor cores make tf32 (10 bits
/// of mantissa) and bf16 (7 bits) several times as fast. f32 to begin with. f64 products, and the CPU, do not
/// care.
enum class MatmulPrecision { f32, tf32, bf16 };
void set_matmul_precision(MatmulPrecision precision);
MatmulPrecision matmul_precision();
/// "f32", "tf32", "bf16"; anything else is an Error.
MatmulPrecision parse_matmul_precision(std::string_view text);
const char* name(MatmulPrecision precision);

}  // namespace elbo
