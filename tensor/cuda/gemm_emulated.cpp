// Matrix products of emulated builds (gemm.h): loops that run when their turn in the stream comes.
#include <algorithm>
#include <vector>

#include "tensor/cuda/gemm.h"
#include "tensor/cuda/kernel.h"
#include "tensor/error.h"
#include "tensor/loop.h"

namespace elbo::cuda {
namespace {

enum Operand { kC, kA, kB, kBias, kOperands };

/// c = alpha op(a) op(b) + bias + (accumulate ? c : 0), or relu of that, and sums[i] over the columns of
/// op(a). Of tensors it has their addresses alone: like work on a GPU, it keeps no memory alive while it
/// waits.
template <class T>
struct Product {
  T* c;
  const T* a;
  const T* b;
  const T* bias;  // null without one
  T* sums;        // null without them
  int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate, relu;
  double alpha;
  detail::Loop matrices;  // over the leading axes, counted in matrices

  void operator()() const {
    for (int64_t which = 0; which < detail::elements(matrices); ++which) {
      int64_t offset[kOperands] = {};
      detail::seek(matrices, which, kOperands, offset);
      one(c + offset[kC] * m * n, a + offset[kA] * m * k, b + offset[kB] * k * n,
          bias ? bias + offset[kBias] * n : nullptr);
    }
  }

  void one(T* to, const T* left, const T* right, const T* add) const {
    const int64_t left_row = transpose_a ? 1 : k, left_column = transpose_a ? m : 1;
    const int64_t right_row = transpose_b ? 1 : n, right_column = transpose_b ? k : 1;
    std::vector<double> row(static_cast<size_t>(n));
    for (int64_t i = 0; i < m; ++i) {
      std::fill(row.begin(), row.end(), 0.0);
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        const auto factor = static_cast<double>(left[i * left_row + l * left_column]);
        const T* const line = right + l * right_row;
        for (int64_t j = 0; j < n; ++j)
          row[static_cast<size_t>(j)] += factor * static_cast<double>(line[j * right_column]);
        sum += factor;
      }
      for (int64_t j = 0; j < n; ++j) {
        double value = alpha * row[static_cast<size_t>(j)];
        if (accumulate) value += static_cast<double>(to[i * n + j]);
        if (add) value += static_cast<double>(add[j]);
        to[i * n + j] = static_cast<T>(relu && value < 0 ? 0 : value);
      }
      if (sums) sums[i] = static_cast<T>(sum);
    }
  }
};

struct Extras {
  const Tensor* bias = nullptr;
  const Tensor* sums = nullptr;
  bool relu = false;
};

void enqueue_product(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b,
                     bool accumulate, double alpha, const Extras& extras) {
  const Shape leading = c.shape().drop_back(2), leading_a = a.shape().drop_back(2);
  const Shape leading_b = b.shape().drop_back(2);
  const Shape leading_bias = extras.bias ? extras.bias->shape().drop_back(1) : Shape{};
  visit_floating(c.dtype(), "gemm", [&](auto zero) {
    using T = decltype(zero);
    emulation::enqueue(Product<T>{
        .c = c.data<T>(),
        .a = a.data<T>(),
        .b = b.data<T>(),
        .bias = extras.bias ? extras.bias->data<T>() : nullptr,
        .sums = extras.sums ? extras.sums->data<T>() : nullptr,
        .m = c.size(-2),
        .n = c.size(-1),
        .k = a.size(op_a == Transpose::no ? -1 : -2),
        .transpose_a = op_a == Transpose::yes,
        .transpose_b = op_b == Transpose::yes,
        .accumulate = accumulate,
        .relu = extras.relu,
        .alpha = alpha,
        .matrices = detail::plan_loop(leading, {&leading, &leading_a, &leading_b, &leading_bias})});
  });
}

}  // namespace

void gemm(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b, bool accumulate,
          double alpha) {
  enqueue_product(c, a, op_a, b, op_b, accumulate, alpha, {});
}

// The next two refuse some shapes that they could do, as the library refuses some: so that what callers do
// then is tested.

bool gemm_bias(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  const bool has_members = y.rank() > 2;
  if (has_members && y.size(-1) % 2 == 1) return false;
  enqueue_product(y, x, Transpose::no, w, Transpose::yes, false, 1, {.bias = &bias, .relu = relu});
  return true;
}

bool gemm_bias_gradient(const Tensor& dw, const Tensor& db, const Tensor& d, const Tensor& x,
                        bool accumulate) {
  const bool has_members = dw.rank() > 2 || d.rank() > 2;
  if (has_members || dw.size(-2) % 2 == 1) return false;
  // The rows of op(a) = d^T are the features, and its columns what db sums over.
  enqueue_product(dw, d, Transpose::yes, x, Transpose::no, accumulate, 1, {.sums = &db});
  return true;
}

const char* blas_name() { return "loops on the host"; }

}  // namespace elbo::cuda
