// Matrix products of CUDA builds (gemm.h): cuBLASLt, with a plan for each kind of product, made once and
// kept.
//
// A row-major matrix is its transpose in column-major order, which is cuBLAS's, and c = op(a) op(b) is
// c^T = op(b)^T op(a)^T. So cuBLAS gets b as its A, a as its B and c as its D, each as it lies in memory with
// rows and columns swapped, and with the same transposition flags: nothing is copied. Its matrices have as
// many rows as ours have columns, packed, so that the number of rows is also the leading dimension.
//
// Which kernel computes a product is the first answer of cuBLASLt's heuristic, a function of what Key holds,
// the library and the GPU. Nothing is timed, and every stream has a workspace of its own: a run that was
// resumed chooses the same kernels and repeats the unbroken one bit for bit.
#include <cublasLt.h>

#include <algorithm>
#include <compare>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "tensor/cuda/device.h"
#include "tensor/cuda/gemm.h"
#include "tensor/error.h"
#include "tensor/loop.h"

namespace elbo::cuda {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what NVIDIA advises for Hopper; ample for the others

/// Matrices of one call. Some kernels count them in 16 bits.
constexpr int64_t kLargestBatch = 32768;

/// A matrix as cuBLAS sees it, or `stride` elements apart as many of them as the product's batch has.
struct Layout {
  int64_t rows, columns, stride;
  uint32_t alignment;  // in bytes, of every matrix of the batch
  auto operator<=>(const Layout&) const = default;
};

/// Everything that decides how a product is computed: D = alpha op(A) op(B) + beta D, and an epilogue.
struct Key {
  Layout a, b, d;
  cublasOperation_t op_a, op_b;
  int32_t batch;
  cudaDataType_t type;  // of matrices, bias, alpha and beta
  cublasComputeType_t compute;
  cublasLtEpilogue_t epilogue;
  int64_t bias_stride;
  uint32_t bias_alignment;
  bool accumulate;
  auto operator<=>(const Key&) const = default;
};

/// cuBLASLt's words for a Key, and its choice. These descriptors own nothing and stay where they were made.
struct ProductPlan {
  cublasStatus_t status = CUBLAS_STATUS_NOT_INITIALIZED;  // why there is no kernel, or success
  cublasLtMatmulDescOpaque_t operation{};
  cublasLtMatrixLayoutOpaque_t a{}, b{}, d{};
  cublasLtMatmulAlgo_t algorithm{};
};

/// What one call is given beyond its plan.
struct Pointers {
  const void *a, *b;
  void* d;
  void* bias;  // or where its gradient goes; null without one
};

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("[gemm] cuBLAS: {} ({})", cublasLtGetStatusString(status), what);
}

/// Whether the library says that it has no such kernel, rather than that something went wrong.
bool is_missing(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
         status == CUBLAS_STATUS_ARCH_MISMATCH;
}

// Handle, workspaces and plans are never destroyed: at exit the GPU may be gone before them.

cublasLtHandle_t handle() {
  static const cublasLtHandle_t instance = [] {
    require_available();
    cublasLtHandle_t created = nullptr;
    check(cublasLtCreate(&created), "it could not be started");
    return created;
  }();
  return instance;
}

/// Scratch memory of the current stream: kernels of two streams at work in one would spoil each other's sums.
void* workspace() {
  static auto* const workspaces = new std::map<void*, void*>;
  void*& memory = (*workspaces)[stream()];
  if (!memory) memory = allocate_for_good(kWorkspace);
  if (!memory)
    throw OutOfMemory(
        fmt::format("[gemm] out of memory on the GPU: no {} bytes for cuBLAS to work in", kWorkspace));
  return memory;
}

std::unique_ptr<ProductPlan> make_plan(const Key& key) {
  auto result = std::make_unique<ProductPlan>();
  ProductPlan& plan = *result;
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulDescSetAttribute(&plan.operation, attribute, &value, sizeof value),
          "describing a product");
  };
  check(cublasLtMatmulDescInit(&plan.operation, key.compute, key.type), "describing a product");
  set(CUBLASLT_MATMUL_DESC_TRANSA, key.op_a);
  set(CUBLASLT_MATMUL_DESC_TRANSB, key.op_b);
  if (key.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, key.epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, key.bias_stride);
    // The heuristic takes the alignment that it may rely on from this pointer. Later calls may have pointers
    // of a lower alignment than the first, so this one is aligned as the key says and not better.
    void* const aligned_so = static_cast<char*>(workspace()) + key.bias_alignment;
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, aligned_so);
  }

  const auto set_layout = [&](cublasLtMatrixLayoutOpaque_t& matrix, const Layout& layout) {
    check(cublasLtMatrixLayoutInit(&matrix, key.type, static_cast<uint64_t>(layout.rows),
                                   static_cast<uint64_t>(layout.columns), layout.rows),
          "describing a matrix");
    if (key.batch == 1) return;
    check(cublasLtMatrixLayoutSetAttribute(&matrix, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &key.batch,
                                           sizeof key.batch),
          "describing a batch");
    check(cublasLtMatrixLayoutSetAttribute(&matrix, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                           &layout.stride, sizeof layout.stride),
          "describing a batch");
  };
  set_layout(plan.a, key.a);
  set_layout(plan.b, key.b);
  set_layout(plan.d, key.d);

  cublasLtMatmulPreferenceOpaque_t preference{};
  check(cublasLtMatmulPreferenceInit(&preference), "stating a preference");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
          "stating a preference");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.a.alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.b.alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.d.alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.d.alignment);

  cublasLtMatmulHeuristicResult_t answer{};
  int answers = 0;
  plan.status = cublasLtMatmulAlgoGetHeuristic(handle(), &plan.operation, &plan.a, &plan.b, &plan.d, &plan.d,
                                               &preference, 1, &answer, &answers);
  if (plan.status == CUBLAS_STATUS_SUCCESS)
    plan.status = answers == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : answer.state;
  plan.algorithm = answer.algo;
  return result;
}

ProductPlan& plan_for(const Key& key) {
  static auto* const plans = new std::map<Key, std::unique_ptr<ProductPlan>>;
  std::unique_ptr<ProductPlan>& plan = (*plans)[key];
  if (!plan) plan = make_plan(key);
  return *plan;
}

/// Enqueues one call. What is missing is remembered, and then nothing was enqueued.
cublasStatus_t enqueue(const Key& key, const Pointers& pointers, double alpha) {
  ProductPlan& plan = plan_for(key);
  if (plan.status != CUBLAS_STATUS_SUCCESS) return plan.status;
  // Read by the call, and not later: streams may share the plan.
  if (pointers.bias)
    check(cublasLtMatmulDescSetAttribute(&plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &pointers.bias,
                                         sizeof pointers.bias),
          "giving it a bias");
  const double beta = key.accumulate ? 1 : 0, f64[] = {alpha, beta};
  const float f32[] = {static_cast<float>(alpha), static_cast<float>(beta)};
  const auto scalar = [&](int which) -> const void* {
    if (key.type == CUDA_R_64F) return &f64[which];
    return &f32[which];
  };
  const cublasStatus_t status =
      cublasLtMatmul(handle(), &plan.operation, scalar(0), pointers.a, &plan.a, pointers.b, &plan.b,
                     scalar(1), pointers.d, &plan.d, pointers.d, &plan.d, &plan.algorithm, workspace(),
                     kWorkspace, static_cast<cudaStream_t>(stream()));
  if (is_missing(status)) plan.status = status;
  return status;
}

cublasComputeType_t compute_type(DType dtype) {
  if (dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  switch (matmul_precision()) {
    case MatmulPrecision::f32:
      break;
    case MatmulPrecision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case MatmulPrecision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F;
}

/// The power of two, up to 16 bytes, that all matrices of a batch are aligned to. Kernels ask for no more; a
/// larger one would let chance, the place in memory, choose the kernel.
uint32_t alignment(const void* first, int64_t stride_bytes) {
  const uintptr_t bits = reinterpret_cast<uintptr_t>(first) | static_cast<uintptr_t>(stride_bytes) | 16;
  return static_cast<uint32_t>(bits & -bits);
}

/// A product in elbo's words. `bias` (..., n) has the leading axes of c, or fewer; with BGRADB it is (m) and
/// is written.
struct Product {
  const Tensor &c, &a;
  Transpose op_a;
  const Tensor& b;
  Transpose op_b;
  bool accumulate;
  double alpha;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const Tensor* bias = nullptr;
};

enum Operand { kC, kA, kB, kBias, kOperands };

/// A product as calls: each does `batch` matrices, `stride` elements apart, and `outer` walks from one call
/// to the next.
struct Arrangement {
  int64_t m, n, k;
  int64_t batch, stride[kOperands];
  detail::Loop outer;
};

Arrangement arrange(const Product& p) {
  Arrangement result{.m = p.c.size(-2),
                     .n = p.c.size(-1),
                     .k = p.a.size(p.op_a == Transpose::no ? -1 : -2),
                     .batch = 1,
                     .stride = {},
                     .outer = {}};
  // Elements from one matrix to the next along each leading axis; adjacent axes are merged where all operands
  // allow it.
  const Shape c = p.c.shape().drop_back(2), a = p.a.shape().drop_back(2), b = p.b.shape().drop_back(2);
  const Shape bias = p.bias ? p.bias->shape().drop_back(1) : Shape{};
  detail::Loop& loop = result.outer = detail::plan_loop(c, {&c, &a, &b, &bias});
  const int64_t matrix[] = {result.m * result.n, result.m * result.k, result.k * result.n, result.n};
  for (int operand = 0; operand < kOperands; ++operand)
    for (int axis = 0; axis < loop.rank; ++axis) loop.stride[operand][axis] *= matrix[operand];

  // Matrices a that follow each other and meet the same b are one matrix with more rows.
  const int last = loop.rank - 1;
  if (p.op_a == Transpose::no && loop.stride[kA][last] == matrix[kA] && loop.stride[kB][last] == 0 &&
      loop.stride[kBias][last] == 0 && loop.size[last] <= std::numeric_limits<int>::max() / result.m) {
    result.m *= loop.size[last];
    --loop.rank;
  }
  // The innermost axis that is left is the batch.
  if (loop.rank > 0) {
    const int axis = --loop.rank;
    result.batch = loop.size[axis];
    for (int operand = 0; operand < kOperands; ++operand) result.stride[operand] = loop.stride[operand][axis];
  }
  return result;
}

/// Enqueues the call for `count` matrices that begin `offset` elements into the operands.
cublasStatus_t call(const Product& p, const Arrangement& shape, const int64_t* offset, int64_t count) {
  const DType dtype = p.c.dtype();
  const Tensor* const tensors[] = {&p.c, &p.a, &p.b, p.bias};
  char* data[kOperands];
  int64_t stride[kOperands];
  uint32_t aligned[kOperands];
  for (int operand = 0; operand < kOperands; ++operand) {
    const Tensor* const tensor = tensors[operand];
    data[operand] = tensor ? static_cast<char*>(tensor->bytes()) + offset[operand] * size_of(dtype) : nullptr;
    stride[operand] = count > 1 ? shape.stride[operand] : 0;
    aligned[operand] = alignment(data[operand], stride[operand] * size_of(dtype));
  }
  const int64_t m = shape.m, n = shape.n, k = shape.k;
  const bool transpose_a = p.op_a == Transpose::yes, transpose_b = p.op_b == Transpose::yes;
  const Key key{.a = {transpose_b ? k : n, transpose_b ? n : k, stride[kB], aligned[kB]},
                .b = {transpose_a ? m : k, transpose_a ? k : m, stride[kA], aligned[kA]},
                .d = {n, m, stride[kC], aligned[kC]},
                .op_a = transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                .op_b = transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                .batch = static_cast<int32_t>(count),
                .type = dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F,
                .compute = compute_type(dtype),
                .epilogue = p.epilogue,
                .bias_stride = stride[kBias],
                .bias_alignment = aligned[kBias],
                .accumulate = p.accumulate};
  return enqueue(key, {.a = data[kB], .b = data[kA], .d = data[kC], .bias = data[kBias]}, p.alpha);
}

/// Returns false, with nothing enqueued, when there is an epilogue and the library has no kernel with that.
bool multiply(const Product& p) {
  const Arrangement shape = arrange(p);
  const int64_t calls = detail::elements(shape.outer);
  int64_t step = std::min(shape.batch, kLargestBatch);
  const bool has_epilogue = p.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  if (has_epilogue && (calls > 1 || step < shape.batch))
    return false;  // a later call could be the one that fails

  for (int64_t which = 0; which < calls; ++which) {
    int64_t begin[kOperands] = {};
    detail::seek(shape.outer, which, kOperands, begin);
    for (int64_t first = 0; first < shape.batch;) {
      int64_t offset[kOperands];
      for (int operand = 0; operand < kOperands; ++operand)
        offset[operand] = begin[operand] + first * shape.stride[operand];
      const int64_t count = std::min(step, shape.batch - first);
      const cublasStatus_t status = call(p, shape, offset, count);
      if (status == CUBLAS_STATUS_SUCCESS)
        first += count;
      else if (is_missing(status) && has_epilogue)
        return false;
      else if (is_missing(status) && step > 1)
        step = 1;  // no kernel for a batch of these: one by one
      else
        fail("[gemm] cuBLAS: {} for a {}, b {}", cublasLtGetStatusString(status), p.a.shape().str(),
             p.b.shape().str());
    }
  }
  return true;
}

}  // namespace

void gemm(const Tensor& c, const Tensor& a, Transpose op_a, const Tensor& b, Transpose op_b, bool accumulate,
          double alpha) {
  multiply({c, a, op_a, b, op_b, accumulate, alpha});
}

bool gemm_bias(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  if (y.elements() == 0 || x.elements() == 0) return false;
  // Of 13.1 it is known that its ReLU lets NaN through; there are reports of older ones that make it 0.
  if (relu && cublasLtGetVersion() < 130100) return false;
  // D is y^T: its rows are the features, and cuBLAS adds one bias to each row.
  const auto epilogue = relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
  return multiply({y, x, Transpose::no, w, Transpose::yes, false, 1, epilogue, &bias});
}

bool gemm_bias_gradient(const Tensor& dw, const Tensor& db, const Tensor& d, const Tensor& x,
                        bool accumulate) {
  if (dw.rank() != 2 || d.rank() != 2 || dw.elements() == 0 || d.elements() == 0) return false;
  // dw = d^T x, so D = dw^T = x^T d: cuBLAS's A is x, as it lies (in, N), and its B is d, which lies as (out,
  // N) and is transposed to op(B) (N, out). BGRADB sums op(B) over the inner size of the product, N, and
  // writes as many sums as D has columns, out: db. (BGRADA would sum x.) D's beta does not concern it.
  return multiply({dw, d, Transpose::yes, x, Transpose::no, accumulate, 1, CUBLASLT_EPILOGUE_BGRADB, &db});
}

const char* blas_name() {
  static const std::string text = [] {
    const size_t version = cublasLtGetVersion();
    return fmt::format("cuBLAS {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }();
  return text.c_str();
}

}  // namespace elbo::cuda
