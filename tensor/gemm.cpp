#include "tensor/gemm.h"

#include <cblas.h>

#include <limits>
#include <type_traits>

#include "tensor/blas.h"
#include "tensor/cuda/gemm.h"
#include "tensor/file.h"
#include "tensor/gemm_kernel.h"
#include "tensor/loop.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

struct Matrices {
  int64_t m, n, k, lda, ldb, ldc;
  CBLAS_TRANSPOSE ta, tb;
  bool own;  // whether our own sgemm does it, if in f32; follows from the sizes above
};

/// Some rows and columns of a product: a, b and c point at what belongs to these.
template <class T>
struct Part {
  const T* a;
  const T* b;
  T* c;
  int64_t batch, row, column, rows, columns;
};

void blas_gemm(const Matrices& p, const Part<float>& part, float alpha, float beta) {
  cblas_sgemm(CblasRowMajor, p.ta, p.tb, static_cast<int>(part.rows), static_cast<int>(part.columns),
              static_cast<int>(p.k), alpha, part.a, static_cast<int>(p.lda), part.b, static_cast<int>(p.ldb),
              beta, part.c, static_cast<int>(p.ldc));
}

void blas_gemm(const Matrices& p, const Part<double>& part, double alpha, double beta) {
  cblas_dgemm(CblasRowMajor, p.ta, p.tb, static_cast<int>(part.rows), static_cast<int>(part.columns),
              static_cast<int>(p.k), alpha, part.a, static_cast<int>(p.lda), part.b, static_cast<int>(p.ldb),
              beta, part.c, static_cast<int>(p.ldc));
}

template <class T>
void compute(const Matrices& p, const Part<T>& part, bool accumulate, T alpha, const BlockFunction* finish) {
  if constexpr (std::is_same_v<T, float>) {
    if (p.own) {
      sgemm({part.rows, part.columns, p.k, part.a, p.lda, p.ta == CblasTrans, part.b, p.ldb,
             p.tb == CblasTrans, part.c, p.ldc, alpha, accumulate, finish, part.batch, part.row,
             part.column});
      return;
    }
  }
  blas_gemm(p, part, alpha, accumulate ? 1 : 0);
  if (finish) (*finish)({part.c, p.ldc, part.batch, part.row, part.column, part.rows, part.columns});
}

/// How many blocks of rows and of columns a product is cut into, which threads then take one by one.
struct Cuts {
  int64_t rows = 1, columns = 1;
};

/// In a block of another size BLAS sums the same element in another order. So the blocks for BLAS follow from
/// the product's own sizes, and BLAS gets the same calls for a product alone or one of many, on any number of
/// threads.
Cuts cuts_for_blas(const Matrices& p) {
  // Each block packs its operands again, which costs one thread about 5 % at batch 128 and 5 to 20 % for
  // large products. Twice as many blocks would cost up to 35 %.
  constexpr int64_t kMost = 8, kShortest = 96;
  constexpr double kLeast = 1e6;  // multiply-adds of a block: tens of microseconds
  Cuts cuts;
  while (cuts.rows * cuts.columns < kMost) {
    const int64_t height = p.m / cuts.rows, width = p.n / cuts.columns;
    const double half =
        0.5 * static_cast<double>(height) * static_cast<double>(width) * static_cast<double>(p.k);
    if (std::max(height, width) < 2 * kShortest || half < kLeast) break;
    (width >= height ? cuts.columns : cuts.rows) *= 2;
  }
  return cuts;
}

/// Our own kernel's sums do not depend on the cuts, so each thread gets one block; of many products, each
/// thread gets whole ones.
Cuts cuts_for_own(const Matrices& p, int64_t batches) {
  constexpr int64_t kNarrowest = 32;
  const int64_t wanted = batches >= threads() ? 1 : threads();
  const bool by_columns = p.n >= p.m;
  const int64_t cuts = std::clamp<int64_t>((by_columns ? p.n : p.m) / kNarrowest, 1, wanted);
  return by_columns ? Cuts{1, cuts} : Cuts{cuts, 1};
}

/// Where block `i` of `cuts` begins along a side: at a multiple of 16 elements, so that no two threads write
/// one cache line often.
int64_t edge(int64_t side, int64_t i, int64_t cuts) { return i == cuts ? side : side * i / cuts / 16 * 16; }

template <class T>
void run(const Matrices& p, const Tensor& c, const Tensor& a, const Tensor& b, bool accumulate, T alpha,
         const BlockFunction* finish) {
  const Shape batch = c.shape().drop_back(2);
  const Shape batch_a = a.shape().drop_back(2), batch_b = b.shape().drop_back(2);
  const detail::Loop matrices = detail::plan_loop(batch, {&batch, &batch_a, &batch_b});
  const int64_t batches = batch.elements();
  const bool own = p.own && std::is_same_v<T, float>;
  const Cuts cuts = own ? cuts_for_own(p, batches) : cuts_for_blas(p);
  const int64_t blocks = cuts.rows * cuts.columns;
  const int64_t flops = 2 * p.m * p.n * p.k;
  const int64_t grain = std::max<int64_t>(1, 400'000 * blocks / std::max<int64_t>(flops, 1));
  parallel_for(batches * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t which = item / blocks, block = item % blocks;
      const int64_t i = block / cuts.columns, j = block % cuts.columns;
      const int64_t row = edge(p.m, i, cuts.rows), column = edge(p.n, j, cuts.columns);
      int64_t matrix[3] = {};  // of c, a and b
      detail::seek(matrices, which, 3, matrix);
      const T* const whole_a = a.data<T>() + matrix[1] * p.m * p.k;
      const T* const whole_b = b.data<T>() + matrix[2] * p.k * p.n;
      const Part<T> part{whole_a + row * (p.ta == CblasNoTrans ? p.lda : 1),
                         whole_b + column * (p.tb == CblasNoTrans ? 1 : p.ldb),
                         c.data<T>() + (which * p.m + row) * p.n + column,
                         which,
                         row,
                         column,
                         edge(p.m, i + 1, cuts.rows) - row,
                         edge(p.n, j + 1, cuts.columns) - column};
      compute(p, part, accumulate, alpha, finish);
    }
  });
}

int64_t rows(const Tensor& x, Transpose op) { return x.size(op == Transpose::no ? -2 : -1); }
int64_t columns(const Tensor& x, Transpose op) { return x.size(op == Transpose::no ? -1 : -2); }
Transpose other(Transpose op) { return op == Transpose::no ? Transpose::yes : Transpose::no; }

const char* product_name(Transpose op_a, Transpose op_b) {
  if (op_a == Transpose::no) return op_b == Transpose::no ? "matmul" : "matmul_nt";
  return op_b == Transpose::no ? "matmul_tn" : "matmul_tt";
}

[[noreturn]] void fail_inner_sizes(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b) {
  std::string hint;
  const auto try_instead = [&](Transpose try_a, Transpose try_b) {
    if (hint.empty() && columns(a, try_a) == rows(b, try_b))
      hint = fmt::format("; did you mean {}?", product_name(try_a, try_b));
  };
  try_instead(op_a, other(op_b));
  try_instead(other(op_a), op_b);
  try_instead(other(op_a), other(op_b));
  fail("[{}] inner sizes differ: a {}, b {}{}", product_name(op_a, op_b), a.shape().str(), b.shape().str(),
       hint);
}

MatmulPrecision precision_in_use = MatmulPrecision::f32;
constexpr const char* kPrecisions[] = {"f32", "tf32", "bf16"};  // in the order of the enum

void check_devices(const Tensor& c, const Tensor& a, const Tensor& b) {
  if (a.device() != b.device())
    fail("[gemm] a is on {} and b on {}; move one of them", name(a.device()), name(b.device()));
  if (c.device() != a.device())
    fail("[gemm] a and b are on {} and the result given on {}; it must be where they are", name(a.device()),
         name(c.device()));
}

}  // namespace

Shape gemm_shape(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b) {
  if (a.rank() < 2 || b.rank() < 2)
    fail("[matmul] needs matrices: a {}, b {}", a.shape().str(), b.shape().str());
  if (columns(a, op_a) != rows(b, op_b)) fail_inner_sizes(a, op_a, b, op_b);
  if (a.dtype() != b.dtype())
    fail("[matmul] a is {} and b is {}; convert one of them", name(a.dtype()), name(b.dtype()));
  return broadcast(a.shape().drop_back(2), b.shape().drop_back(2), "matmul")
      .concatenated({rows(a, op_a), columns(b, op_b)});
}

void gemm(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b, bool accumulate,
          double alpha, const BlockFunction* finish) {
  const Shape shape = gemm_shape(a, op_a, b, op_b);
  if (!(shape == c.shape()) || c.dtype() != a.dtype())
    fail("[gemm] the product is {} {}, the result given is {} {}", name(a.dtype()), shape.str(),
         name(c.dtype()), c.shape().str());
  check_devices(c, a, b);
  const bool on_gpu = c.device() == Device::cuda;
  if (on_gpu && finish)
    fail(
        "[gemm] only the CPU finishes blocks of a product; on the GPU use cuda::gemm_bias, or a map "
        "afterwards");
  if (c.elements() == 0) return;
  const Matrices p{c.size(-2),
                   c.size(-1),
                   columns(a, op_a),
                   std::max<int64_t>(a.size(-1), 1),
                   std::max<int64_t>(b.size(-1), 1),
                   c.size(-1),
                   op_a == Transpose::no ? CblasNoTrans : CblasTrans,
                   op_b == Transpose::no ? CblasNoTrans : CblasTrans,
                   sgemm_suits(c.size(-2), c.size(-1), columns(a, op_a))};
  if (std::max({p.m, p.n, p.k}) > std::numeric_limits<int>::max())
    fail("[gemm] BLAS takes sizes up to 2^31 - 1, got a {}, b {}", a.shape().str(), b.shape().str());
  if (p.k == 0) {
    if (!accumulate) c.fill(0);
    if (finish) {
      for (int64_t batch = 0; batch < c.elements() / (p.m * p.n); ++batch)
        (*finish)({static_cast<char*>(c.bytes()) + batch * p.m * p.n * size_of(c.dtype()), p.n, batch, 0, 0,
                   p.m, p.n});
    }
    return;
  }
  if (on_gpu) {
    visit_floating(c.dtype(), "gemm", [&](auto) {
      if constexpr (kHasGpuCode) cuda::gemm(c, a, op_a, b, op_b, accumulate, alpha);
    });
    return;
  }
  use_one_blas_thread();
  visit_floating(c.dtype(), "gemm", [&](auto zero) {
    using T = decltype(zero);
    run<T>(p, c, a, b, accumulate, static_cast<T>(alpha), finish);
  });
}

Tensor matmul(const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b) {
  Tensor c = Tensor::empty(gemm_shape(a, op_a, b, op_b), a.dtype(), a.device());
  gemm(c, a, op_a, b, op_b);
  return c;
}

void set_matmul_precision(MatmulPrecision precision) { precision_in_use = precision; }
MatmulPrecision matmul_precision() { return precision_in_use; }

MatmulPrecision parse_matmul_precision(std::string_view text) {
  for (size_t i = 0; i < std::size(kPrecisions); ++i)
    if (text == kPrecisions[i]) return static_cast<MatmulPrecision>(i);
  fail("[matmul] unknown precision {}; there are {}", quote(text), fmt::join(kPrecisions, ", "));
}

const char* name(MatmulPrecision precision) { return kPrecisions[static_cast<size_t>(precision)]; }

}  // namespace elbo
