// The convolution library of CUDA builds (conv.h): cuDNN's functions, which NVIDIA calls legacy, on f32 with
// channels last. cuDNN's gradients by weight are not used: for three channels of 64 images of 64x64 they took
// 570 us on an H100, whatever the precision.
//
// cuDNN's heuristic, a function of sizes, precision, library and GPU, names algorithms; the first that is
// deterministic runs. One that fails is not asked again, and the next is tried; after the last one the
// convolution is refused.
#include <cudnn.h>

#include <algorithm>
#include <compare>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"
#include "tensor/gemm.h"

namespace elbo::cuda {
namespace {

/// What an algorithm may use besides operands. The fastest rarely need more, and memory is for the model.
constexpr size_t kLargestWorkspace = size_t{256} << 20;

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) fail("[conv2d] cuDNN: {} ({})", cudnnGetErrorString(status), what);
}

/// The handle and the workspace of one stream. Never freed: at exit the GPU may be gone before, and a
/// captured graph goes on using the workspace of its capture when a larger one has replaced that.
struct StreamState {
  cudnnHandle_t handle = nullptr;
  void* workspace = nullptr;
  size_t bytes = 0;
  size_t refused = std::numeric_limits<size_t>::max();  // so many there were not, and are not asked for again

  /// Whether there are so many.
  bool reserve(size_t wanted) {
    if (wanted <= bytes) return true;
    if (wanted >= refused) return false;
    // Twice as much if possible, so that few are replaced.
    for (const size_t size : {std::max(wanted, std::min(2 * bytes, kLargestWorkspace)), wanted})
      if (void* const memory = allocate_for_good(size)) {
        workspace = memory;
        bytes = size;
        return true;
      }
    refused = wanted;
    return false;
  }
};

StreamState& current_stream() {
  static auto* const states = new std::map<void*, StreamState>;
  StreamState& state = (*states)[stream()];
  if (!state.handle) {
    cudnnHandle_t handle = nullptr;
    check(cudnnCreate(&handle), "it could not be started");
    check(cudnnSetStream(handle, static_cast<cudaStream_t>(stream())), "setting its stream");
    state.handle = handle;
  }
  return state;
}

/// A description that cuDNN keeps.
template <class D, cudnnStatus_t (*create)(D*), cudnnStatus_t (*destroy)(D)>
class Descriptor {
 public:
  Descriptor() { check(create(&descriptor_), "describing a convolution"); }
  ~Descriptor() { destroy(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator D() const { return descriptor_; }

 private:
  D descriptor_ = nullptr;
};
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor = Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor,
                                         cudnnDestroyConvolutionDescriptor>;

/// A convolution in cuDNN's words. The gradient by a tensor has that tensor's descriptor.
struct Descriptors {
  TensorDescriptor x, y;
  FilterDescriptor weight;
  ConvolutionDescriptor convolution;

  explicit Descriptors(const ConvSizes& s) {
    const auto number = [](int64_t size) { return static_cast<int>(size); };
    constexpr auto kType = CUDNN_DATA_FLOAT;
    constexpr auto kOrder = CUDNN_TENSOR_NHWC;  // of memory; sizes are given in the order NCHW
    check(cudnnSetTensor4dDescriptor(x, kOrder, kType, number(s.batch), number(s.channels), number(s.height),
                                     number(s.width)),
          "describing a tensor");
    check(cudnnSetTensor4dDescriptor(y, kOrder, kType, number(s.batch), number(s.filters),
                                     number(s.out_height), number(s.out_width)),
          "describing a tensor");
    check(cudnnSetFilter4dDescriptor(weight, kType, kOrder, number(s.filters), number(s.channels),
                                     number(s.kernel_height), number(s.kernel_width)),
          "describing a filter");
    check(cudnnSetConvolution2dDescriptor(convolution, number(s.padding), number(s.padding), number(s.stride),
                                          number(s.stride), 1, 1, CUDNN_CROSS_CORRELATION, kType),
          "describing a convolution");
  }
};

// What the three directions call each of cuDNN's functions. `dependable` exists for everything, and is
// deterministic.

struct Forward {
  using Algorithm = cudnnConvolutionFwdAlgo_t;
  using Performance = cudnnConvolutionFwdAlgoPerf_t;
  static constexpr int algorithms = CUDNN_CONVOLUTION_FWD_ALGO_COUNT;
  static constexpr Algorithm dependable = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;

  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(h, d.x, d.weight, d.convolution, d.y, algorithm, bytes);
  }
  static cudnnStatus_t guess(cudnnHandle_t h, const Descriptors& d, int room, int* count,
                             Performance* found) {
    return cudnnGetConvolutionForwardAlgorithm_v7(h, d.x, d.weight, d.convolution, d.y, room, count, found);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm algorithm, const float* alpha,
                           const float* x, const float* weight, const float* beta, float* y, void* memory,
                           size_t bytes) {
    return cudnnConvolutionForward(h, alpha, d.x, x, d.weight, weight, d.convolution, algorithm, memory,
                                   bytes, beta, d.y, y);
  }
};

struct BackwardData {
  using Algorithm = cudnnConvolutionBwdDataAlgo_t;
  using Performance = cudnnConvolutionBwdDataAlgoPerf_t;
  static constexpr int algorithms = CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT;
  static constexpr Algorithm dependable = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;

  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionBackwardDataWorkspaceSize(h, d.weight, d.y, d.convolution, d.x, algorithm,
                                                        bytes);
  }
  static cudnnStatus_t guess(cudnnHandle_t h, const Descriptors& d, int room, int* count,
                             Performance* found) {
    return cudnnGetConvolutionBackwardDataAlgorithm_v7(h, d.weight, d.y, d.convolution, d.x, room, count,
                                                       found);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm algorithm, const float* alpha,
                           const float* dy, const float* weight, const float* beta, float* dx, void* memory,
                           size_t bytes) {
    return cudnnConvolutionBackwardData(h, alpha, d.weight, weight, d.y, dy, d.convolution, algorithm, memory,
                                        bytes, beta, d.x, dx);
  }
};

/// Everything that decides how an f32 convolution is computed.
struct Key {
  ConvSizes sizes;
  bool exact;  // products in f32
  auto operator<=>(const Key&) const = default;

  /// What cuDNN calls precision. Its default includes tf32.
  cudnnMathType_t math() const { return exact ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH; }
  /// Whether a precision that cuDNN offers may be used; it may offer others than the one asked for.
  bool permits(cudnnMathType_t offered) const {
    return exact ? offered == CUDNN_FMA_MATH : offered != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
  }
};

/// An algorithm that may be run.
template <class Direction>
struct Candidate {
  typename Direction::Algorithm algorithm;
  cudnnMathType_t math;
  size_t workspace;
};

/// Those of a direction, best first, once cuDNN was asked.
template <class Direction>
using Candidates = std::optional<std::vector<Candidate<Direction>>>;

struct CudnnPlan {
  Descriptors descriptors;
  std::tuple<Candidates<Forward>, Candidates<BackwardData>> candidates;

  explicit CudnnPlan(const Key& key) : descriptors(key.sizes) {}
};

CudnnPlan& plan_for(const Key& key) {
  static auto* const plans = new std::map<Key, CudnnPlan>;
  return plans->try_emplace(key, key).first->second;
}

template <class Direction>
std::vector<Candidate<Direction>> ask(cudnnHandle_t handle, const Key& key, const Descriptors& descriptors) {
  check(cudnnSetConvolutionMathType(descriptors.convolution, key.math()), "setting its precision");
  std::vector<Candidate<Direction>> list;
  // Some algorithms come in several precisions.
  std::vector<typename Direction::Performance> found(3 * Direction::algorithms);
  int count = 0;
  if (Direction::guess(handle, descriptors, static_cast<int>(found.size()), &count, found.data()) ==
      CUDNN_STATUS_SUCCESS)
    for (const auto& each : std::span(found).first(static_cast<size_t>(count)))
      if (each.status == CUDNN_STATUS_SUCCESS && key.permits(each.mathType) &&
          each.determinism == CUDNN_DETERMINISTIC && each.memory <= kLargestWorkspace)
        list.push_back({each.algo, each.mathType, each.memory});
  size_t bytes = 0;
  if (Direction::workspace(handle, descriptors, Direction::dependable, &bytes) == CUDNN_STATUS_SUCCESS &&
      bytes <= kLargestWorkspace)
    list.push_back({Direction::dependable, key.math(), bytes});
  return list;
}

/// Returns false, with nothing enqueued, where cuDNN cannot do it or is not wanted for it.
template <class Direction>
bool convolve(const ConvSizes& sizes, const Tensor& out, const Tensor& first, const Tensor& second,
              bool accumulate) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();  // what cuDNN counts to
  if (out.dtype() != DType::f32 || std::max({out.elements(), first.elements(), second.elements()}) > kMost)
    return false;
  const Key key{.sizes = sizes, .exact = matmul_precision() == MatmulPrecision::f32};
  StreamState& state = current_stream();
  CudnnPlan& plan = plan_for(key);
  auto& candidates = std::get<Candidates<Direction>>(plan.candidates);
  if (!candidates) candidates = ask<Direction>(state.handle, key, plan.descriptors);
  const float one = 1, beta = accumulate ? 1 : 0;
  for (size_t next = 0; next < candidates->size();) {
    const Candidate<Direction> best = (*candidates)[next];
    if (!state.reserve(best.workspace)) {  // another may need less
      ++next;
      continue;
    }
    check(cudnnSetConvolutionMathType(plan.descriptors.convolution, best.math), "setting its precision");
    if (Direction::run(state.handle, plan.descriptors, best.algorithm, &one, first.data<float>(),
                       second.data<float>(), &beta, out.data<float>(), state.workspace,
                       best.workspace) == CUDNN_STATUS_SUCCESS)
      return true;
    candidates->erase(candidates->begin() + static_cast<std::ptrdiff_t>(next));
  }
  return false;
}

}  // namespace

bool library::conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                           bool accumulate) {
  return convolve<Forward>(sizes, y, x, weight, accumulate);
}

bool library::conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy,
                                 const Tensor& weight, bool accumulate) {
  return convolve<BackwardData>(sizes, dx, dy, weight, accumulate);
}

const char* cudnn_name() {
  static const std::string text = [] {
    const size_t version = cudnnGetVersion();
    return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }();
  return text.c_str();
}

}  // namespace elbo::cuda
