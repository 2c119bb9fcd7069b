// The calls that gemm_cuda.cpp makes, without a GPU: a stub of cuBLASLt takes them, checks what the library
// would check, and computes what they describe, in column-major order and by its own rules, from memory of
// the host.
//
// The code under test is included here under another name, with the stub's functions in place of the
// library's.
#include <cublasLt.h>
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <set>

#include "tensor/gemm.h"
#include "tensor/loop.h"
#include "tests/error_of.h"
#include "tests/tensor/operands.h"

namespace {
namespace stub {

struct Operation {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  int64_t bias_stride = 0;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t ld, stride = 0;
  int32_t batch = 1;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t a = 256, b = 256, c = 256, d = 256;
};
/// What the heuristic was told, to be compared with what the call brings.
struct Algorithm {
  Preference preference;
  uintptr_t bias_alignment;
};

// How it behaves, and what it has seen.
bool refuses_epilogues = false, refuses_batches = false;
cublasStatus_t answer = CUBLAS_STATUS_SUCCESS;  // of calls
int heuristics = 0, calls = 0;
int64_t largest_batch = 0;
cublasComputeType_t compute{};
std::map<void*, std::set<void*>> workspaces;  // of each stream
char streams[2];
int stream = 0;
size_t allocated = 0;

template <class T, class Opaque>
T& as(Opaque* opaque) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  return *std::launder(reinterpret_cast<T*>(opaque->data));
}
void require(bool ok, const char* what) {
  if (!ok) elbo::fail("stub: {}", what);
}
template <class T>
cublasStatus_t assign(T& to, const void* from, size_t size) {
  require(size == sizeof(T), "size of an attribute");
  std::memcpy(&to, from, size);
  return CUBLAS_STATUS_SUCCESS;
}
uintptr_t alignment(const void* pointer) {
  const auto bits = reinterpret_cast<uintptr_t>(pointer);
  return bits & -bits;
}

cublasStatus_t create(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(streams);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t init(cublasLtMatmulDescOpaque_t* to, cublasComputeType_t compute_type, cudaDataType_t scale) {
  new (to->data) Operation{.compute = compute_type, .scale = scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set(cublasLtMatmulDescOpaque_t* of, cublasLtMatmulDescAttributes_t which, const void* value,
                   size_t size) {
  auto& operation = as<Operation>(of);
  if (which == CUBLASLT_MATMUL_DESC_TRANSA) return assign(operation.op_a, value, size);
  if (which == CUBLASLT_MATMUL_DESC_TRANSB) return assign(operation.op_b, value, size);
  if (which == CUBLASLT_MATMUL_DESC_EPILOGUE) return assign(operation.epilogue, value, size);
  if (which == CUBLASLT_MATMUL_DESC_BIAS_POINTER) return assign(operation.bias, value, size);
  require(which == CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, "attribute of a product");
  return assign(operation.bias_stride, value, size);
}
cublasStatus_t init(cublasLtMatrixLayoutOpaque_t* to, cudaDataType_t type, uint64_t rows, uint64_t columns,
                    int64_t ld) {
  require(rows > 0 && columns > 0 && ld >= static_cast<int64_t>(rows), "sizes of a matrix");
  new (to->data) Layout{.type = type, .rows = rows, .columns = columns, .ld = ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set(cublasLtMatrixLayoutOpaque_t* of, cublasLtMatrixLayoutAttribute_t which, const void* value,
                   size_t size) {
  if (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return assign(as<Layout>(of).batch, value, size);
  require(which == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, "attribute of a matrix");
  return assign(as<Layout>(of).stride, value, size);
}
cublasStatus_t init(cublasLtMatmulPreferenceOpaque_t* to) {
  new (to->data) Preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set(cublasLtMatmulPreferenceOpaque_t* of, cublasLtMatmulPreferenceAttributes_t which,
                   const void* value, size_t size) {
  auto& preference = as<Preference>(of);
  if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return assign(preference.workspace, value, size);
  if (which == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) return assign(preference.a, value, size);
  if (which == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES) return assign(preference.b, value, size);
  if (which == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES) return assign(preference.c, value, size);
  require(which == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, "attribute of a preference");
  return assign(preference.d, value, size);
}

cublasStatus_t heuristic(cublasLtHandle_t, cublasLtMatmulDescOpaque_t* desc, cublasLtMatrixLayoutOpaque_t* la,
                         cublasLtMatrixLayoutOpaque_t* lb, cublasLtMatrixLayoutOpaque_t* lc,
                         cublasLtMatrixLayoutOpaque_t* ld, cublasLtMatmulPreferenceOpaque_t* preference,
                         int wanted, cublasLtMatmulHeuristicResult_t* result, int* found) {
  ++heuristics;
  const auto& o = as<Operation>(desc);
  const auto &a = as<Layout>(la), &b = as<Layout>(lb), &c = as<Layout>(lc), &d = as<Layout>(ld);
  const bool is_f64 = a.type == CUDA_R_64F;
  require(wanted == 1 && b.type == a.type && c.type == a.type && d.type == a.type && o.scale == a.type,
          "types");
  require((o.compute == CUBLAS_COMPUTE_64F) == is_f64, "compute type");
  require(a.batch == d.batch && b.batch == d.batch && c.batch == d.batch, "batch counts");
  require(d.batch == 1 || d.stride >= d.ld * static_cast<int64_t>(d.columns), "results overlap");
  require(d.batch < 65536 && c.ld == d.ld && c.stride == d.stride, "result");
  const bool ta = o.op_a == CUBLAS_OP_T, tb = o.op_b == CUBLAS_OP_T;
  require((ta ? a.columns : a.rows) == d.rows && (tb ? b.rows : b.columns) == d.columns &&
              (ta ? a.rows : a.columns) == (tb ? b.columns : b.rows),
          "sizes");
  *found = 0;
  if (refuses_epilogues && o.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (refuses_batches && d.batch > 1) return CUBLAS_STATUS_SUCCESS;
  *found = 1;
  result->state = CUBLAS_STATUS_SUCCESS;
  static_assert(sizeof(Algorithm) <= sizeof result->algo);
  new (result->algo.data) Algorithm{as<Preference>(preference), alignment(o.bias)};
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
void multiply(const Operation& o, const T alpha, const T* a, const Layout& la, const T* b, const Layout& lb,
              const T beta, T* d, const Layout& ld) {
  const bool ta = o.op_a == CUBLAS_OP_T, tb = o.op_b == CUBLAS_OP_T;
  const auto inner = static_cast<int64_t>(ta ? la.rows : la.columns);
  for (int64_t which = 0; which < ld.batch; ++which) {
    const T *const pa = a + which * la.stride, *const pb = b + which * lb.stride;
    T* const bias = static_cast<T*>(o.bias) + (o.bias ? which * o.bias_stride : 0);
    for (int64_t j = 0; j < static_cast<int64_t>(ld.columns); ++j) {
      T sum_b = 0;
      for (int64_t l = 0; l < inner; ++l) sum_b += pb[tb ? j + l * lb.ld : l + j * lb.ld];
      if (o.epilogue == CUBLASLT_EPILOGUE_BGRADB) bias[j] = sum_b;
      for (int64_t i = 0; i < static_cast<int64_t>(ld.rows); ++i) {
        T sum = 0;
        for (int64_t l = 0; l < inner; ++l)
          sum += pa[ta ? l + i * la.ld : i + l * la.ld] * pb[tb ? j + l * lb.ld : l + j * lb.ld];
        T& out = d[which * ld.stride + i + j * ld.ld];
        out = alpha * sum + (beta == 0 ? 0 : beta * out);
        if (o.epilogue & CUBLASLT_EPILOGUE_BIAS) out += bias[i];
        if ((o.epilogue & CUBLASLT_EPILOGUE_RELU) == CUBLASLT_EPILOGUE_RELU && out < 0) out = 0;
      }
    }
  }
}

cublasStatus_t matmul(cublasLtHandle_t, cublasLtMatmulDescOpaque_t* desc, const void* alpha, const void* a,
                      cublasLtMatrixLayoutOpaque_t* la, const void* b, cublasLtMatrixLayoutOpaque_t* lb,
                      const void* beta, const void* c, cublasLtMatrixLayoutOpaque_t* lc, void* d,
                      cublasLtMatrixLayoutOpaque_t* ld, cublasLtMatmulAlgo_t* algorithm, void* workspace,
                      size_t size, cudaStream_t on) {
  ++calls;
  if (answer != CUBLAS_STATUS_SUCCESS) return answer;
  const auto& o = as<Operation>(desc);
  const auto &sa = as<Layout>(la), &sb = as<Layout>(lb), &sd = as<Layout>(ld);
  const auto& told = *std::launder(reinterpret_cast<Algorithm*>(algorithm->data));
  require(c == d && lc == ld, "the product is not made in place");
  require(size <= told.preference.workspace && size <= allocated && alignment(workspace) >= 256, "workspace");
  const auto bytes = [&](const Layout& layout) {
    return static_cast<int64_t>(layout.type == CUDA_R_64F ? 8 : 4);
  };
  for (int64_t which = 0; which < sd.batch; ++which) {
    const auto aligned = [&](const void* p, const Layout& layout, uintptr_t as_told) {
      return alignment(static_cast<const char*>(p) + which * layout.stride * bytes(layout)) >= as_told;
    };
    require(aligned(a, sa, told.preference.a) && aligned(b, sb, told.preference.b) &&
                aligned(d, sd, told.preference.c) && aligned(d, sd, told.preference.d),
            "a matrix is less aligned than the heuristic was told");
    if (o.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
      require(
          alignment(static_cast<char*>(o.bias) + which * o.bias_stride * bytes(sd)) >= told.bias_alignment,
          "a bias is less aligned than the heuristic was told");
  }
  largest_batch = std::max<int64_t>(largest_batch, sd.batch);
  compute = o.compute;
  workspaces[on].insert(workspace);
  if (sd.type == CUDA_R_64F)
    multiply(o, *static_cast<const double*>(alpha), static_cast<const double*>(a), sa,
             static_cast<const double*>(b), sb, *static_cast<const double*>(beta), static_cast<double*>(d),
             sd);
  else
    multiply(o, *static_cast<const float*>(alpha), static_cast<const float*>(a), sa,
             static_cast<const float*>(b), sb, *static_cast<const float*>(beta), static_cast<float*>(d), sd);
  return CUBLAS_STATUS_SUCCESS;
}
const char* status_string(cublasStatus_t) { return "status"; }
size_t version() { return 130102; }

}  // namespace stub
}  // namespace

#define cublasLtCreate stub::create
#define cublasLtMatmulDescInit stub::init
#define cublasLtMatmulDescSetAttribute stub::set
#define cublasLtMatrixLayoutInit stub::init
#define cublasLtMatrixLayoutSetAttribute stub::set
#define cublasLtMatmulPreferenceInit stub::init
#define cublasLtMatmulPreferenceSetAttribute stub::set
#define cublasLtMatmulAlgoGetHeuristic stub::heuristic
#define cublasLtMatmul stub::matmul
#define cublasLtGetStatusString stub::status_string
#define cublasLtGetVersion stub::version
#define cuda cuda_on_stub
#include "tensor/cuda/gemm_cuda.cpp"

namespace elbo {

namespace cuda {
void* stream() { return &stub::streams[stub::stream]; }
void* allocate_for_good(size_t bytes) {
  stub::allocated = bytes;
  return std::aligned_alloc(256, 1024);  // a part: the stub only looks at where it begins
}
void require_available() {}
}  // namespace cuda

namespace {

constexpr Transpose kOps[] = {Transpose::no, Transpose::yes};

/// What `action` adds to the counters.
struct Counts {
  int heuristics, calls;
  bool operator==(const Counts&) const = default;
};
template <class Action>
Counts counts_of(const Action& action) {
  const Counts before{stub::heuristics, stub::calls};
  action();
  return {stub::heuristics - before.heuristics, stub::calls - before.calls};
}

/// The transposed copy of the last two axes.
Tensor transposed(const Tensor& x) {
  Shape shape = x.shape().drop_back(2).concatenated({x.size(-1), x.size(-2)});
  const std::vector<double> from = x.to_vector();
  std::vector<double> to(from.size());
  const int64_t rows = x.size(-2), columns = x.size(-1);
  for (int64_t i = 0; i < x.elements(); ++i) {
    const int64_t matrix = i / (rows * columns), row = i / columns % rows, column = i % columns;
    to[static_cast<size_t>((matrix * columns + column) * rows + row)] = from[static_cast<size_t>(i)];
  }
  return Tensor::from(shape, to).to(x.dtype());
}

/// A copy that begins `shift` elements after memory that is well aligned.
Tensor shifted(const Tensor& x, int64_t shift) {
  const Tensor room = Tensor::empty({x.elements() + shift}, x.dtype());
  const Tensor copy = room.view_at(shift, x.shape());
  copy.copy_from(x);
  return copy;
}

/// alpha a b + beta c for a (..., m, k) and b (..., k, n), one element at a time.
std::vector<double> gemm_twin(const Tensor& c, const Tensor& a, const Tensor& b, double beta, double alpha) {
  const int64_t m = c.size(-2), n = c.size(-1), k = a.size(-1);
  const Shape batch = c.shape().drop_back(2);
  const std::vector<double> as = a.to_vector(), bs = b.to_vector();
  std::vector<double> result = c.to_vector();
  for (int64_t flat = 0; flat < c.elements(); ++flat) {
    const int64_t which = flat / (m * n), i = flat / n % m, j = flat % n;
    const int64_t from_a = offset_twin(a.shape().drop_back(2), batch, which) * m * k + i * k;
    const int64_t from_b = offset_twin(b.shape().drop_back(2), batch, which) * k * n + j;
    double sum = 0;
    for (int64_t l = 0; l < k; ++l)
      sum += as[static_cast<size_t>(from_a + l)] * bs[static_cast<size_t>(from_b + l * n)];
    double& out = result[static_cast<size_t>(flat)];
    out = alpha * sum + (beta == 0 ? 0 : beta * out);
  }
  return result;
}

void check(Engine& engine, const Shape& batch_a, const Shape& batch_b, int64_t m, int64_t n, int64_t k) {
  const Shape batch = broadcast(batch_a, batch_b, "test");
  for (Transpose op_a : kOps)
    for (Transpose op_b : kOps)
      for (DType dtype : {DType::f32, DType::f64}) {
        const Tensor a = small_numbers(batch_a.concatenated({m, k}), dtype, engine);
        const Tensor b = small_numbers(batch_b.concatenated({k, n}), dtype, engine);
        const int64_t shift = pick(engine, {0, 0, 1, 2, 3});
        const Tensor given_a = shifted(op_a == Transpose::no ? a : transposed(a), shift);
        const Tensor given_b =
            shifted(op_b == Transpose::no ? b : transposed(b), pick(engine, {0, 0, shift}));
        const Tensor c = shifted(small_numbers(batch.concatenated({m, n}), dtype, engine), shift);
        CAPTURE(given_a.shape().str());
        CAPTURE(given_b.shape().str());
        const std::vector<double> onto = gemm_twin(c, a, b, 1, -0.5);
        cuda::gemm(c, given_a, op_a, given_b, op_b, true, -0.5);
        CHECK(c.to_vector() == onto);
        c.fill(std::nan(""));
        cuda::gemm(c, given_a, op_a, given_b, op_b, false, 2);
        CHECK(c.to_vector() == gemm_twin(c, a, b, 0, 2));
      }
}

/// Checks x w^T + bias with shapes (..., rows, in), (..., out, in), (..., out).
bool check_bias(Engine& engine, DType dtype, const Shape& x_shape, const Shape& w_shape,
                const Shape& bias_shape, int64_t shift, bool relu = false) {
  const Tensor x = small_numbers(x_shape, dtype, engine), w = small_numbers(w_shape, dtype, engine);
  const Tensor bias = shifted(small_numbers(bias_shape, dtype, engine), shift);
  const Shape leading = broadcast(x_shape.drop_back(2), w_shape.drop_back(2), "test");
  const int64_t rows = x_shape[-2], out = w_shape[-2];
  const Tensor y = Tensor::full(leading.concatenated({rows, out}), std::nan(""), dtype);
  if (!cuda::gemm_bias(y, x, w, bias, relu)) return false;
  std::vector<double> expected = gemm_twin(y, x, transposed(w), 0, 1);
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto flat = static_cast<int64_t>(i);
    const int64_t which = offset_twin(bias_shape.drop_back(1), leading, flat / (rows * out));
    expected[i] += bias.at(which * out + flat % out);
    if (relu) expected[i] = std::max(expected[i], 0.0);
  }
  CHECK(y.to_vector() == expected);
  return true;
}

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("cuBLAS: products, transposes, batches and broadcasts as the stub understands them") {
    Engine engine(1);
    for (auto [m, n, k] :
         {std::array<int64_t, 3>{1, 1, 1}, {3, 5, 2}, {4, 8, 12}, {1, 7, 3}, {6, 1, 4}, {5, 2, 1}}) {
      check(engine, {}, {}, m, n, k);
      check(engine, {3}, {3}, m, n, k);
      check(engine, {3}, {}, m, n, k);
      check(engine, {}, {3}, m, n, k);
      check(engine, {3}, {1}, m, n, k);
      check(engine, {1}, {3}, m, n, k);
      check(engine, {1}, {1}, m, n, k);
      check(engine, {2, 3}, {2, 3}, m, n, k);
      check(engine, {2, 3}, {3}, m, n, k);
      check(engine, {2, 3}, {2, 1}, m, n, k);
      check(engine, {2, 1}, {1, 3}, m, n, k);
      check(engine, {2, 1, 3}, {4, 1}, m, n, k);
      check(engine, {4, 1, 3}, {1, 2, 3}, m, n, k);
      check(engine, {2, 2, 3}, {2, 1, 1}, m, n, k);
    }
    for (int i = 0; i < 300; ++i) {
      Shape batch;
      for (int64_t axes = pick(engine, {0, 1, 2, 3, 4}); axes > 0; --axes)
        batch.push_back(pick(engine, {1, 2, 3}));
      check(engine, random_operand(batch, engine), random_operand(batch, engine),
            pick(engine, {1, 2, 3, 4, 6}), pick(engine, {1, 2, 3, 4, 6}), pick(engine, {1, 2, 3, 4}));
    }
  }

  TEST_CASE("cuBLAS: members and a shared operand are one call, and planned once") {
    const auto multiply = [](const Shape& a, const Shape& b, const Shape& c) {
      const Tensor ta = Tensor::zeros(a), tb = Tensor::zeros(b), tc = Tensor::zeros(c);
      return [=] { cuda::gemm(tc, ta, Transpose::no, tb, Transpose::no, false, 1); };
    };
    for (const auto& action :
         {multiply({11, 3, 5}, {11, 5, 7}, {11, 3, 7}), multiply({3, 5}, {11, 5, 7}, {11, 3, 7}),
          multiply({11, 3, 5}, {5, 7}, {11, 3, 7}), multiply({2, 11, 3, 5}, {5, 7}, {2, 11, 3, 7}),
          multiply({2, 11, 3, 5}, {2, 1, 5, 7}, {2, 11, 3, 7})}) {
      counts_of(action);
      CHECK(counts_of(action) == Counts{0, 1});
    }
    // Shared b: one matrix with more rows.
    stub::largest_batch = 0;
    multiply({11, 3, 5}, {5, 7}, {11, 3, 7})();
    CHECK(stub::largest_batch == 1);
    CHECK(counts_of(multiply({6, 5, 3, 4}, {5, 4, 2}, {6, 5, 3, 2})).calls == 6);
    CHECK(counts_of(multiply({70'000, 1, 1}, {70'000, 1, 1}, {70'000, 1, 1})).calls == 3);
  }

  TEST_CASE("cuBLAS: where there is no kernel for a batch, its products are made one by one") {
    Engine engine(2);
    stub::refuses_batches = true;
    check(engine, {9, 2}, {9, 2}, 13, 11, 17);
    check(engine, {9, 2}, {9, 1}, 13, 11, 17);
    stub::refuses_batches = false;
    const Tensor a = small_numbers({18, 13, 17}, DType::f32, engine), c = Tensor::zeros({18, 13, 13});
    CHECK(counts_of([&] { cuda::gemm(c, a, Transpose::no, a, Transpose::yes, false, 1); }).calls == 1);
  }

  TEST_CASE("cuBLAS: a bias with the product") {
    Engine engine(3);
    for (DType dtype : {DType::f32, DType::f64})
      for (int64_t shift : {0, 1, 2})
        for (int64_t out : {5, 6, 8}) {
          CHECK(check_bias(engine, dtype, {4, 3}, {out, 3}, {out}, shift));
          CHECK(check_bias(engine, dtype, {7, 4, 3}, {7, out, 3}, {7, out}, shift));
          CHECK(check_bias(engine, dtype, {4, 3}, {7, out, 3}, {7, out}, shift));
          CHECK(check_bias(engine, dtype, {7, 4, 3}, {out, 3}, {out}, shift));
          CHECK(check_bias(engine, dtype, {7, 4, 3}, {out, 3}, {7, out}, shift));
          CHECK(check_bias(engine, dtype, {1, 4, 3}, {1, out, 3}, {1, out}, shift));
          CHECK(check_bias(engine, dtype, {7, 4, 3}, {7, out, 3}, {7, out}, shift, /*relu=*/true));
        }

    // What the heuristic or the call refuses is refused, and not asked for again.
    const auto refusal = [&](int64_t out) {
      return counts_of([&] { CHECK(!check_bias(engine, DType::f32, {4, 19}, {out, 19}, {out}, 0)); });
    };
    stub::refuses_epilogues = true;
    CHECK(refusal(5) == Counts{1, 0});
    CHECK(refusal(5) == Counts{0, 0});
    stub::refuses_epilogues = false;
    stub::answer = CUBLAS_STATUS_NOT_SUPPORTED;
    CHECK(refusal(6) == Counts{1, 1});
    CHECK(refusal(6) == Counts{0, 0});
    stub::answer = CUBLAS_STATUS_SUCCESS;
    const Counts none = counts_of([&] {
      CHECK(!check_bias(engine, DType::f32, {4, 0}, {5, 0}, {5}, 0));
      CHECK(!check_bias(engine, DType::f32, {2, 3, 4, 3}, {3, 5, 3}, {3, 5}, 0));  // would be two calls
    });
    CHECK(none == Counts{0, 0});
  }

  TEST_CASE("cuBLAS: the weights' gradient with the bias's") {
    Engine engine(4);
    for (DType dtype : {DType::f32, DType::f64})
      for (bool accumulate : {false, true})
        for (auto [rows, in, out] : {std::array<int64_t, 3>{4, 3, 5}, {1, 6, 2}, {7, 1, 1}}) {
          const Tensor d = small_numbers({rows, out}, dtype, engine),
                       x = small_numbers({rows, in}, dtype, engine);
          const Tensor dw = small_numbers({out, in}, dtype, engine),
                       db = Tensor::full({out}, std::nan(""), dtype);
          const std::vector<double> expected = gemm_twin(dw, transposed(d), x, accumulate, 1);
          CHECK(cuda::gemm_bias_gradient(dw, db, d, x, accumulate));
          CHECK(dw.to_vector() == expected);
          CHECK(db.to_vector() ==
                gemm_twin(Tensor::zeros({1, out}, dtype), Tensor::full({1, rows}, 1, dtype), d, 0, 1));
        }
    const Tensor members = Tensor::zeros({2, 3, 3}), biases = Tensor::zeros({2, 3});
    CHECK(!cuda::gemm_bias_gradient(members, biases, members, members, false));
  }

  TEST_CASE("cuBLAS: precisions, streams and errors") {
    const Tensor a = Tensor::zeros({4, 4}), c = Tensor::zeros({4, 4}), d = Tensor::zeros({4, 4}, DType::f64);
    const auto multiply = [](const Tensor& to, const Tensor& x) {
      cuda::gemm(to, x, Transpose::no, x, Transpose::no, false, 1);
    };
    for (auto [precision, compute] : {std::pair{MatmulPrecision::bf16, CUBLAS_COMPUTE_32F_FAST_16BF},
                                      {MatmulPrecision::tf32, CUBLAS_COMPUTE_32F_FAST_TF32},
                                      {MatmulPrecision::f32, CUBLAS_COMPUTE_32F}}) {
      set_matmul_precision(precision);
      multiply(c, a);
      CHECK(stub::compute == compute);
      multiply(Tensor::zeros({4, 4}, DType::f64), d);
      CHECK(stub::compute == CUBLAS_COMPUTE_64F);
    }
    stub::stream = 1;
    multiply(c, a);
    multiply(c, a);
    stub::stream = 0;
    REQUIRE(stub::workspaces.size() == 2);
    CHECK(stub::workspaces[&stub::streams[0]].size() == 1);
    CHECK(stub::workspaces[&stub::streams[1]].size() == 1);
    CHECK(stub::workspaces[&stub::streams[0]] != stub::workspaces[&stub::streams[1]]);
    stub::answer = CUBLAS_STATUS_EXECUTION_FAILED;
    CHECK(error_of([&] { multiply(c, a); }) == "[gemm] cuBLAS: status for a (4, 4), b (4, 4)");
    stub::answer = CUBLAS_STATUS_SUCCESS;
    CHECK(error_of([&] { multiply(c, a); }).empty());
    CHECK(std::string(cuda::blas_name()) == "cuBLAS 13.1.2");
  }
}

}  // namespace elbo
