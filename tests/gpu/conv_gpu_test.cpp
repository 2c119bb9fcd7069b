// Convolutions on the GPU: the same as on the CPU, alone, in two streams and in a captured graph.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <utility>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/conv.h"
#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"
#include "tensor/gemm.h"
#include "tensor/map.h"
#include "tests/error_of.h"
#include "tests/gpu/near.h"
#include "tests/tensor/conv_cases.h"
#include "tests/tensor/operands.h"

namespace elbo {
namespace {

/// How precisely the GPU convolves until the end of the scope.
class Mode {
 public:
  explicit Mode(MatmulPrecision precision) : precision_(matmul_precision()) {
    set_matmul_precision(precision);
  }
  ~Mode() { set_matmul_precision(precision_); }
  Mode(const Mode&) = delete;
  Mode& operator=(const Mode&) = delete;

 private:
  MatmulPrecision precision_;
};

/// What goes into the functions of conv.h for one case, and what comes out.
struct Operands {
  Tensor x, weight, dy;
  Tensor y, dx, dw, transposed;

  Operands(const ConvCase& c, DType dtype, Engine& engine) {
    const auto rough = [&](const Shape& shape) {
      std::vector<double> values(static_cast<size_t>(shape.elements()));
      for (double& value : values) value = std::uniform_real_distribution<double>(-1, 1)(engine);
      return Tensor::from(shape, values).to(dtype);
    };
    x = rough(c.x), weight = rough(c.weight), dy = rough(c.y());
    // What is not to be added to must not be read either.
    y = Tensor::full(c.y(), std::nan(""), dtype);
    dx = Tensor::full(c.x, std::nan(""), dtype), dw = Tensor::full(c.weight, std::nan(""), dtype);
    transposed = Tensor::full(conv_transpose2d_shape(dy, weight, c.options), std::nan(""), dtype);
  }

  Operands on_gpu() const {
    Operands there = *this;
    for (Tensor* tensor :
         {&there.x, &there.weight, &there.dy, &there.y, &there.dx, &there.dw, &there.transposed})
      *tensor = tensor->to(Device::cuda);
    return there;
  }

  void compute(const ConvOptions& options) const {
    conv2d_into(y, x, weight, options);
    conv2d_backward_data(dx, dy, weight, options);
    conv2d_backward_weight(dw, x, dy, options);
    conv2d_backward_data(transposed, dy, weight, options);
  }

  /// All again, onto what is there.
  void accumulate(const ConvOptions& options) const {
    conv2d_backward_data(dx, dy, weight, options, true);
    conv2d_backward_weight(dw, x, dy, options, true);
    conv2d_into(y, transposed, weight, options, true);
    conv2d_backward_weight(dw, transposed, dy, options, true);
  }

  std::vector<Tensor> results() const { return {y, dx, dw, transposed}; }
};

void check_near(const Operands& gpu, const Operands& cpu, double tolerance) {
  const std::vector<Tensor> got = gpu.results(), wanted = cpu.results();
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(near(got[i], wanted[i], tolerance));
  }
}

void check_same_bits(const Operands& a, const Operands& b) {
  const std::vector<Tensor> as = a.results(), bs = b.results();
  for (size_t i = 0; i < as.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(as[i].to(Device::cpu), bs[i].to(Device::cpu)));
  }
}

void check_parity(DType dtype, double tolerance) {
  Engine engine(1);
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.str());
    const Operands cpu(c, dtype, engine), gpu = cpu.on_gpu();
    cpu.compute(c.options);
    gpu.compute(c.options);
    check_near(gpu, cpu, tolerance);
    cpu.accumulate(c.options);
    gpu.accumulate(c.options);
    check_near(gpu, cpu, tolerance);
  }
}

/// What conv_columns.cpp tells apart: channels and rows of the kernel that packs fit or do not, strides
/// longer than the kernel, pixels that no kernel reaches (which is output padding), padding beyond the image.
std::vector<ConvCase> column_cases() {
  std::vector<ConvCase> cases;
  int64_t count = 0;
  for (const int64_t channels : {1, 3, 8, 9, 32})
    for (const Shape& kernel : {Shape{1, 1}, Shape{2, 3}, Shape{4, 4}})
      for (const int64_t stride : {1, 2, 3})
        for (const int64_t padding : {0, 1, 2}) {
          const int64_t height = 5 + count % 3, width = 5 + count / 3 % 4;
          cases.push_back({.x = {5, height, width, channels},
                           .weight = {1 + count % 5, kernel[0], kernel[1], channels},
                           .options = {.stride = stride, .padding = padding}});
          ++count;
        }
  return cases;
}

/// The numbers of a tensor on the GPU, one element after where packs could begin.
Tensor unaligned_on_gpu(const Tensor& tensor, DType dtype) {
  const Tensor arena = Tensor::empty({1 + tensor.elements()}, dtype, Device::cuda);
  const Tensor result = arena.slice(1, arena.elements()).reshape(tensor.shape());
  result.copy_from(tensor.to(dtype).to(Device::cuda));
  return result;
}

size_t nodes_of(const std::function<void()>& work) {
  work();
  return cuda::Graph::capture(work).nodes();
}

/// An encoder's layer, with gradients long enough for algorithms to share out the sum.
const ConvCase kLayer{
    .x = {16, 16, 16, 32}, .weight = {32, 4, 4, 32}, .options = {.stride = 2, .padding = 1}};

}  // namespace

TEST_SUITE("gpu") {
  TEST_CASE("convolutions in f32 agree with the CPU to the precision of f32") {
    const Mode mode(MatmulPrecision::f32);
    check_parity(DType::f32, 1e-5);  // tf32 would miss this by far
  }

  TEST_CASE("convolutions in f64 agree with the CPU to the precision of f64, whatever that of f32 is") {
    const Mode mode(MatmulPrecision::tf32);
    check_parity(DType::f64, 1e-13);
  }

  TEST_CASE("convolutions in tf32 and bf16 agree with the CPU to that precision") {
    for (const auto& [precision, tolerance] :
         {std::pair(MatmulPrecision::tf32, 5e-3), std::pair(MatmulPrecision::bf16, 3e-2)}) {
      const Mode mode(precision);
      check_parity(DType::f32, tolerance);
    }
  }

  TEST_CASE("convolutions with columns agree with the CPU's in f64, however the batch is cut") {
    if constexpr (kHasGpuCode) {
      const Mode mode(MatmulPrecision::f32);
      Engine engine(8);
      for (const ConvCase& c : column_cases()) {
        CAPTURE(c.str());
        const ConvSizes s = sizes_of(c);
        const Operands exact(c, DType::f64, engine);
        exact.compute(c.options);
        const int64_t image = s.out_height * s.out_width * c.weight.elements() / s.filters;
        for (const DType dtype : {DType::f32, DType::f64})
          // Fewer numbers than one image has; two images, and a last part that is smaller; the whole batch.
          for (const int64_t most : {int64_t{1}, 2 * image + 1, 1000 * image}) {
            CAPTURE(most);
            const bool aligned = most > image;
            const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-13;
            const auto there = [&](const Tensor& tensor) {
              return aligned ? tensor.to(dtype).to(Device::cuda) : unaligned_on_gpu(tensor, dtype);
            };
            const auto unwritten = [&](const Shape& shape) {
              return there(Tensor::full(shape, std::nan("")));
            };
            const Tensor x = there(exact.x), weight = there(exact.weight), dy = there(exact.dy);
            const Tensor y = unwritten(c.y()), dx = unwritten(c.x), dw = unwritten(c.weight);
            for (const bool accumulate : {false, true}) {
              cuda::columns::conv_forward(s, y, x, weight, accumulate, most);
              cuda::columns::conv_backward_data(s, dx, dy, weight, accumulate, most);
              cuda::columns::conv_backward_weight(s, dw, x, dy, accumulate, most);
              for (const auto& [got, wanted] : {std::pair(y, exact.y), {dx, exact.dx}, {dw, exact.dw}})
                CHECK(near(got.to(DType::f64), map(Scaled{accumulate ? 2.0 : 1.0}, wanted), tolerance));
            }
          }
      }
    }
  }

  TEST_CASE("a convolution's bias takes one kernel in each direction") {
    // One for the bias with the activation, beside those of the convolution.
    const auto there = [](const Shape& shape) { return Tensor::full(shape, 0.5, DType::f64, Device::cuda); };
    const ConvOptions options{.stride = 2, .padding = 1};
    const Tensor x = there({2, 6, 6, 3});
    Parameter weight{.name = "weight", .value = there({4, 4, 4, 3}), .gradient = there({4, 4, 4, 3})};
    Parameter bias{.name = "bias", .value = there({4}), .gradient = there({4})};
    const auto layer = [&] { return conv2d(x, weight, bias, options, Activation::relu); };
    const Tensor y = there({2, 3, 3, 4});
    CHECK(nodes_of([&] { layer(); }) == nodes_of([&] { conv2d_into(y, x, weight.value, options); }) + 1);
    const auto step = [&] {
      Tape tape;
      tape.backward(sum(layer()));
    };
    const size_t nodes = nodes_of(step);
    bias.trained = false;
    CHECK(nodes == nodes_of(step) + 1);
  }

  TEST_CASE("convolutions repeat every bit") {
    Engine engine(2);
    for (MatmulPrecision precision : {MatmulPrecision::f32, MatmulPrecision::tf32}) {
      const Mode mode(precision);
      const Operands cpu(kLayer, DType::f32, engine), first = cpu.on_gpu();
      first.compute(kLayer.options);
      first.accumulate(kLayer.options);
      for (int repeat = 0; repeat < 5; ++repeat) {
        const Operands again = cpu.on_gpu();
        again.compute(kLayer.options);
        again.accumulate(kLayer.options);
        check_same_bits(again, first);
      }
    }
  }

  TEST_CASE("captured convolutions do what they do uncaptured, on what is there when they are replayed") {
    Engine engine(3);
    for (DType dtype : {DType::f32, DType::f64}) {
      const Mode mode(MatmulPrecision::f32);
      const Operands cpu(kLayer, dtype, engine), plain = cpu.on_gpu(), captured = cpu.on_gpu();
      plain.compute(kLayer.options);
      plain.accumulate(kLayer.options);
      const cuda::Graph graph = cuda::Graph::capture([&] {
        captured.compute(kLayer.options);
        captured.accumulate(kLayer.options);
      });
      for (int replay = 0; replay < 2; ++replay) {
        const Operands other(kLayer, dtype, engine);
        for (const Operands* to : {&plain, &captured}) {
          to->x.copy_from(other.x);
          to->dy.copy_from(other.dy);
        }
        plain.compute(kLayer.options);
        plain.accumulate(kLayer.options);
        graph.replay();
        check_same_bits(captured, plain);
      }
    }
  }

  TEST_CASE("a captured convolution goes on with its own workspace when a later one needs a larger one") {
    Engine engine(4);
    const Mode mode(MatmulPrecision::f32);
    const Operands cpu(kLayer, DType::f32, engine), gpu = cpu.on_gpu();
    cpu.compute(kLayer.options);
    gpu.compute(kLayer.options);
    const cuda::Graph graph = cuda::Graph::capture([&] { gpu.compute(kLayer.options); });
    for (const Tensor& result : gpu.results()) result.fill(std::nan(""));
    graph.replay();
    check_near(gpu, cpu, 1e-5);
    // A later convolution needs a larger workspace. The graph goes on with its own.
    const ConvCase larger{.x = {4, 16, 16, 64}, .weight = {64, 4, 4, 64}, .options = kLayer.options};
    Operands(larger, DType::f32, engine).on_gpu().compute(larger.options);
    for (const Tensor& result : gpu.results()) result.fill(std::nan(""));
    graph.replay();
    check_near(gpu, cpu, 1e-5);
  }

  TEST_CASE("gradients by image and weight can be taken in two streams at once") {
    Engine engine(5);
    const Mode mode(MatmulPrecision::f32);
    const Operands cpu(kLayer, DType::f32, engine), gpu = cpu.on_gpu();
    cpu.compute(kLayer.options);
    for (int repeat = 0; repeat < 10; ++repeat) {
      gpu.compute(kLayer.options);
      gpu.dx.fill(std::nan(""));
      gpu.dw.fill(std::nan(""));
      {
        const cuda::SideStream side;
        conv2d_backward_weight(gpu.dw, gpu.x, gpu.dy, kLayer.options);
      }
      conv2d_backward_data(gpu.dx, gpu.dy, gpu.weight, kLayer.options);
      cuda::join_side_stream();
      check_near(gpu, cpu, 1e-5);
    }
  }

  TEST_CASE("operands of a convolution on two devices are refused") {
    Engine engine(6);
    const Operands cpu(kLayer, DType::f32, engine);
    CHECK(error_of([&] { conv2d_into(cpu.y, cpu.x, cpu.weight.to(Device::cuda), kLayer.options); }) ==
          "[conv2d] weight is on cuda, what it is combined with on cpu; move one with to(Device)");
    CHECK(mentions(error_of([&] {
                     conv2d_into(cpu.y, cpu.x.to(Device::cuda), cpu.weight.to(Device::cuda), kLayer.options);
                   }),
                   "y is on cpu"));
  }

  TEST_CASE("the convolution library has a name") { CHECK(mentions(cuda::cudnn_name(), "cuDNN")); }
}

}  // namespace elbo
