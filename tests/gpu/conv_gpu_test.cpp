// Convolutions on the GPU: the same as on the CPU, alone, in two streams and in a captured graph.
#include <doctest/doctest.h>

#include <cmath>

#include "tensor/conv.h"
#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"
#include "tensor/gemm.h"
#include "tests/error_of.h"
#include "tests/gpu/near.h"
#include "tests/tensor/conv_cases.h"
#include "tests/tensor/naive.h"

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

  TEST_CASE("convolutions in tf32 agree with the CPU to the precision of tf32") {
    for (MatmulPrecision precision : {MatmulPrecision::tf32, MatmulPrecision::bf16}) {
      const Mode mode(precision);
      check_parity(DType::f32, 5e-3);
    }
  }

  TEST_CASE("plain kernels, which do what cuDNN refuses, agree with the CPU in f32") {
    Engine engine(7);
    for (const ConvCase& c : conv_cases()) {
      CAPTURE(c.str());
      const Operands cpu(c, DType::f32, engine), gpu = cpu.on_gpu();
      cpu.compute(c.options);
      const ConvSizes s = sizes_of(c);
      if constexpr (kHasGpuCode) {
        cuda::plain::conv_forward(s, gpu.y, gpu.x, gpu.weight, false);
        cuda::plain::conv_backward_data(s, gpu.dx, gpu.dy, gpu.weight, false);
        cuda::plain::conv_backward_weight(s, gpu.dw, gpu.x, gpu.dy, false);
      }
      CHECK(near(gpu.y, cpu.y, 1e-5));
      CHECK(near(gpu.dx, cpu.dx, 1e-5));
      CHECK(near(gpu.dw, cpu.dw, 1e-5));
    }
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
