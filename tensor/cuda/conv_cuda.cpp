// Convolutions of CUDA builds (conv.h): cuDNN's convolution functions, which are called legacy and do what is
// wanted here.
//
// f32 is convolved as it lies, channels last. cuDNN's f64 kernels know only channels first, so f64, which is
// for checks, is transposed there and back; f32 takes the same way if cuDNN has nothing else for it.
//
// A plan is made for all that decides how a convolution is computed. It chooses one algorithm for each of the
// three directions when that is first asked for:
// - by timing, as a rule. Timing is not the same twice, so neither are the last bits of results in two runs;
// - deterministic: the first that cuDNN's heuristic names, a function of sizes, library and GPU;
// - while a graph is captured, when nothing can be timed: also by the heuristic, and not kept.
#include <cudnn.h>

#include <algorithm>
#include <compare>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/kernels.h"
#include "tensor/gemm.h"

namespace elbo::cuda {
namespace {

/// What an algorithm may use besides operands. The fastest rarely need more, and memory is for the model.
constexpr size_t kLargestWorkspace = size_t{256} << 20;

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) fail("[conv2d] cuDNN: {} ({})", cudnnGetErrorString(status), what);
}

int narrow(int64_t size) {
  if (size > std::numeric_limits<int>::max()) fail("[conv2d] cuDNN takes sizes up to 2^31 - 1, got {}", size);
  return static_cast<int>(size);
}

/// What runs in a stream runs with that stream's handle and workspace. Never freed: at exit the GPU may be
/// gone before them, and captured graphs go on using the workspace that they were captured with when a larger
/// one has replaced it.
struct StreamState {
  cudnnHandle_t handle = nullptr;
  void* workspace = nullptr;
  size_t bytes = 0;

  void* reserve(size_t wanted) {
    if (wanted <= bytes) return workspace;
    const size_t more = std::max(wanted, std::min(2 * bytes, kLargestWorkspace));  // so that few are replaced
    void* const memory = allocate_bytes(more);
    if (!memory)
      throw OutOfMemory(
          fmt::format("[conv2d] out of memory on the GPU: no {} bytes for cuDNN to work in", more));
    workspace = memory;
    bytes = more;
    return workspace;
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

/// The operands, in either role: a gradient has the description of what it belongs to.
enum Operand { kX, kWeight, kY };

/// A convolution whose operands all have one layout.
struct Layout {
  TensorDescriptor operands[3];
  FilterDescriptor filter;  // what operands[kWeight] describes, as convolutions want it
  ConvolutionDescriptor convolution;

  Layout(const ConvSizes& s, cudnnDataType_t type, cudnnTensorFormat_t format) {
    const int n = narrow(s.batch), c = narrow(s.channels), k = narrow(s.filters);
    const int r = narrow(s.kernel_height), t = narrow(s.kernel_width);
    const int padding = narrow(s.padding), stride = narrow(s.stride);
    // In whatever order they lie, sizes are told in the order of NCHW.
    const auto describe = [&](Operand which, int first, int depth, int height, int width) {
      check(cudnnSetTensor4dDescriptor(operands[which], format, type, first, depth, height, width),
            "describing a tensor");
    };
    describe(kX, n, c, narrow(s.height), narrow(s.width));
    describe(kWeight, k, c, r, t);
    describe(kY, n, k, narrow(s.out_height), narrow(s.out_width));
    check(cudnnSetFilter4dDescriptor(filter, type, format, k, c, r, t), "describing a filter");
    check(cudnnSetConvolution2dDescriptor(convolution, padding, padding, stride, stride, 1, 1,
                                          CUDNN_CROSS_CORRELATION, type),
          "describing a convolution");
  }
};

// What the three directions call each of cuDNN's functions. `first` and `second` are operands, `out` is the
// result.

struct Forward {
  using Algorithm = cudnnConvolutionFwdAlgo_t;
  using Performance = cudnnConvolutionFwdAlgoPerf_t;
  static constexpr Operand first = kX, second = kWeight, out = kY;
  static constexpr int algorithms = CUDNN_CONVOLUTION_FWD_ALGO_COUNT;
  static constexpr Algorithm dependable = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;

  static cudnnStatus_t workspace(cudnnHandle_t h, const Layout& l, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(h, l.operands[kX], l.filter, l.convolution, l.operands[kY],
                                                   algorithm, bytes);
  }
  static cudnnStatus_t guess(cudnnHandle_t h, const Layout& l, int room, int* count, Performance* found) {
    return cudnnGetConvolutionForwardAlgorithm_v7(h, l.operands[kX], l.filter, l.convolution, l.operands[kY],
                                                  room, count, found);
  }
  static cudnnStatus_t time(cudnnHandle_t h, const Layout& l, const void* x, const void* weight, void* y,
                            int room, int* count, Performance* found, void* memory, size_t bytes) {
    return cudnnFindConvolutionForwardAlgorithmEx(h, l.operands[kX], x, l.filter, weight, l.convolution,
                                                  l.operands[kY], y, room, count, found, memory, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Layout& l, Algorithm algorithm, const void* alpha,
                           const void* x, const void* weight, const void* beta, void* y, void* memory,
                           size_t bytes) {
    return cudnnConvolutionForward(h, alpha, l.operands[kX], x, l.filter, weight, l.convolution, algorithm,
                                   memory, bytes, beta, l.operands[kY], y);
  }
};

struct BackwardData {
  using Algorithm = cudnnConvolutionBwdDataAlgo_t;
  using Performance = cudnnConvolutionBwdDataAlgoPerf_t;
  static constexpr Operand first = kY, second = kWeight, out = kX;
  static constexpr int algorithms = CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT;
  static constexpr Algorithm dependable = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;

  static cudnnStatus_t workspace(cudnnHandle_t h, const Layout& l, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionBackwardDataWorkspaceSize(h, l.filter, l.operands[kY], l.convolution,
                                                        l.operands[kX], algorithm, bytes);
  }
  static cudnnStatus_t guess(cudnnHandle_t h, const Layout& l, int room, int* count, Performance* found) {
    return cudnnGetConvolutionBackwardDataAlgorithm_v7(h, l.filter, l.operands[kY], l.convolution,
                                                       l.operands[kX], room, count, found);
  }
  static cudnnStatus_t time(cudnnHandle_t h, const Layout& l, const void* dy, const void* weight, void* dx,
                            int room, int* count, Performance* found, void* memory, size_t bytes) {
    return cudnnFindConvolutionBackwardDataAlgorithmEx(h, l.filter, weight, l.operands[kY], dy, l.convolution,
                                                       l.operands[kX], dx, room, count, found, memory, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Layout& l, Algorithm algorithm, const void* alpha,
                           const void* dy, const void* weight, const void* beta, void* dx, void* memory,
                           size_t bytes) {
    return cudnnConvolutionBackwardData(h, alpha, l.filter, weight, l.operands[kY], dy, l.convolution,
                                        algorithm, memory, bytes, beta, l.operands[kX], dx);
  }
};

struct BackwardWeight {
  using Algorithm = cudnnConvolutionBwdFilterAlgo_t;
  using Performance = cudnnConvolutionBwdFilterAlgoPerf_t;
  static constexpr Operand first = kX, second = kY, out = kWeight;
  static constexpr int algorithms = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT;
  static constexpr Algorithm dependable = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;

  static cudnnStatus_t workspace(cudnnHandle_t h, const Layout& l, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(h, l.operands[kX], l.operands[kY], l.convolution,
                                                          l.filter, algorithm, bytes);
  }
  static cudnnStatus_t guess(cudnnHandle_t h, const Layout& l, int room, int* count, Performance* found) {
    return cudnnGetConvolutionBackwardFilterAlgorithm_v7(h, l.operands[kX], l.operands[kY], l.convolution,
                                                         l.filter, room, count, found);
  }
  static cudnnStatus_t time(cudnnHandle_t h, const Layout& l, const void* x, const void* dy, void* dw,
                            int room, int* count, Performance* found, void* memory, size_t bytes) {
    return cudnnFindConvolutionBackwardFilterAlgorithmEx(h, l.operands[kX], x, l.operands[kY], dy,
                                                         l.convolution, l.filter, dw, room, count, found,
                                                         memory, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Layout& l, Algorithm algorithm, const void* alpha,
                           const void* x, const void* dy, const void* beta, void* dw, void* memory,
                           size_t bytes) {
    return cudnnConvolutionBackwardFilter(h, alpha, l.operands[kX], x, l.operands[kY], dy, l.convolution,
                                          algorithm, memory, bytes, beta, l.filter, dw);
  }
};

/// Everything that decides how a convolution is computed.
struct Key {
  ConvSizes sizes;
  DType dtype;
  bool exact;  // f32 products in f32
  bool deterministic;
  auto operator<=>(const Key&) const = default;

  cudnnDataType_t type() const { return dtype == DType::f64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT; }
  /// What cuDNN calls precision. Its default includes tf32.
  cudnnMathType_t math() const { return exact ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH; }
  /// Whether an answer of cuDNN will do: it may offer other precisions than it was asked for.
  bool permits(cudnnMathType_t offered) const {
    return exact ? offered == CUDNN_FMA_MATH : offered != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
  }
};

template <class Direction>
struct Choice {
  bool channels_last;
  typename Direction::Algorithm algorithm;
  cudnnMathType_t math;
  size_t workspace;
};

struct Plan {
  Layout channels_last, channels_first;
  std::tuple<std::optional<Choice<Forward>>, std::optional<Choice<BackwardData>>,
             std::optional<Choice<BackwardWeight>>>
      choices;

  explicit Plan(const Key& key)
      : channels_last(key.sizes, key.type(), CUDNN_TENSOR_NHWC),
        channels_first(key.sizes, key.type(), CUDNN_TENSOR_NCHW) {}
};

Plan& plan_for(const Key& key) {
  static auto* const plans = new std::map<Key, Plan>;
  return plans->try_emplace(key, key).first->second;
}

/// The operands and the result of one call, as they lie in memory, which is channels last.
struct Call {
  const Tensor &out, &first, &second;
  bool accumulate;
};

/// All algorithms that cuDNN has for this, best first: by the clock, or by its heuristic. Empty when it does
/// not know.
template <class Direction>
std::vector<typename Direction::Performance> candidates(StreamState& state, const Key& key,
                                                        const Layout& layout, const Call& call) {
  // Some come in several precisions.
  std::vector<typename Direction::Performance> found(3 * Direction::algorithms);
  int count = 0;
  const auto room = static_cast<int>(found.size());
  cudnnStatus_t status;
  if (key.deterministic || capturing()) {
    status = Direction::guess(state.handle, layout, room, &count, found.data());
  } else {
    size_t largest = 0;
    for (int i = 0; i < Direction::algorithms; ++i) {
      size_t bytes = 0;
      const auto algorithm = static_cast<typename Direction::Algorithm>(i);
      if (Direction::workspace(state.handle, layout, algorithm, &bytes) == CUDNN_STATUS_SUCCESS &&
          bytes <= kLargestWorkspace)
        largest = std::max(largest, bytes);
    }
    // The result may hold what is to be added to. Values do not matter, nor in what layout they are.
    const Tensor scratch = Tensor::empty(call.out.shape(), key.dtype, Device::cuda);
    status = Direction::time(state.handle, layout, call.first.bytes(), call.second.bytes(), scratch.bytes(),
                             room, &count, found.data(), state.reserve(largest), largest);
  }
  found.resize(status == CUDNN_STATUS_SUCCESS ? static_cast<size_t>(count) : 0);
  return found;
}

template <class Direction>
std::optional<Choice<Direction>> choose(StreamState& state, const Key& key, const Layout& layout,
                                        bool channels_last, const Call& call) {
  const auto usable = [&](typename Direction::Algorithm algorithm, cudnnMathType_t math) {
    check(cudnnSetConvolutionMathType(layout.convolution, math), "setting its precision");
    std::optional<Choice<Direction>> choice{{channels_last, algorithm, math, 0}};
    if (Direction::workspace(state.handle, layout, algorithm, &choice->workspace) != CUDNN_STATUS_SUCCESS ||
        choice->workspace > kLargestWorkspace)
      choice.reset();
    return choice;
  };
  check(cudnnSetConvolutionMathType(layout.convolution, key.math()), "setting its precision");
  for (const auto& candidate : candidates<Direction>(state, key, layout, call)) {
    if (candidate.status != CUDNN_STATUS_SUCCESS || !key.permits(candidate.mathType)) continue;
    if (key.deterministic && candidate.determinism != CUDNN_DETERMINISTIC) continue;
    if (const auto choice = usable(candidate.algo, candidate.mathType)) return choice;
  }
  // Where the other layout cannot help any more, the algorithm that exists for everything, and is
  // deterministic.
  if (!channels_last) return usable(Direction::dependable, key.math());
  return std::nullopt;
}

const void* number(DType dtype, bool one) {
  static constexpr float floats[] = {0, 1};
  static constexpr double doubles[] = {0, 1};
  return dtype == DType::f64 ? static_cast<const void*>(&doubles[one]) : &floats[one];
}

template <class Direction>
void convolve(const ConvSizes& sizes, const Call& call) {
  const DType dtype = call.out.dtype();
  const Key key{.sizes = sizes,
                .dtype = dtype,
                .exact = dtype == DType::f32 && matmul_precision() == MatmulPrecision::f32,
                .deterministic = deterministic_convolutions()};
  StreamState& state = current_stream();
  Plan& plan = plan_for(key);
  auto& kept = std::get<std::optional<Choice<Direction>>>(plan.choices);
  auto choice = kept;
  if (!choice) {
    if (dtype == DType::f32) choice = choose<Direction>(state, key, plan.channels_last, true, call);
    if (!choice) choice = choose<Direction>(state, key, plan.channels_first, false, call);
    if (!choice)
      fail("[conv2d] cuDNN has no {} algorithm for x {}, weight {}, stride {}, padding {}", name(dtype),
           Shape{sizes.batch, sizes.height, sizes.width, sizes.channels}.str(),
           Shape{sizes.filters, sizes.kernel_height, sizes.kernel_width, sizes.channels}.str(), sizes.stride,
           sizes.padding);
    if (key.deterministic || !capturing()) kept = choice;
  }

  const Layout& layout = choice->channels_last ? plan.channels_last : plan.channels_first;
  const auto run = [&](const Tensor& out, const Tensor& first, const Tensor& second, bool accumulate) {
    void* const memory = state.reserve(choice->workspace);
    check(cudnnSetConvolutionMathType(layout.convolution, choice->math), "setting its precision");
    check(Direction::run(state.handle, layout, choice->algorithm, number(dtype, true), first.bytes(),
                         second.bytes(), number(dtype, accumulate), out.bytes(), memory, choice->workspace),
          "running a convolution");
  };
  if (choice->channels_last) return run(call.out, call.first, call.second, call.accumulate);

  const auto transpose = [&](const Tensor& to, const Layout& to_layout, const Tensor& from,
                             const Layout& from_layout, Operand which, bool accumulate) {
    check(cudnnTransformTensor(state.handle, number(dtype, true), from_layout.operands[which], from.bytes(),
                               number(dtype, accumulate), to_layout.operands[which], to.bytes()),
          "transposing a tensor");
  };
  const auto channels_first = [&](const Tensor& tensor, Operand which) {
    const Tensor result = Tensor::empty(tensor.shape(), dtype, Device::cuda);
    transpose(result, plan.channels_first, tensor, plan.channels_last, which, false);
    return result;
  };
  const Tensor out = Tensor::empty(call.out.shape(), dtype, Device::cuda);
  run(out, channels_first(call.first, Direction::first), channels_first(call.second, Direction::second),
      false);
  transpose(call.out, plan.channels_last, out, plan.channels_first, Direction::out, call.accumulate);
}

}  // namespace

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  const Tensor& bias, bool accumulate) {
  // What the convolution is added to is the bias in every pixel: rows that all come from the same place.
  if (bias.defined())
    copy_rows(y.bytes(), bias.byte_count(), bias.bytes(), 0, y.elements() / sizes.filters, bias.byte_count());
  convolve<Forward>(sizes, {y, x, weight, accumulate || bias.defined()});
}

void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  convolve<BackwardData>(sizes, {dx, dy, weight, accumulate});
}

void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  convolve<BackwardWeight>(sizes, {dw, x, dy, accumulate});
}

const char* cudnn_name() {
  static const std::string text = [] {
    const size_t version = cudnnGetVersion();
    return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }();
  return text.c_str();
}

}  // namespace elbo::cuda
