// The cases of `elbo bench` on a GPU that are one kernel, or one product, on arrays far larger than its
// cache.
#include <bit>

#include "apps/bench/gpu.h"
#include "autograd/tape.h"
#include "datasets/device_batches.h"
#include "nn/optimizer.h"
#include "tensor/gemm.h"
#include "tensor/map_loops.h"
#include "vae/fused.h"
#include "vae/reparameterize_kernel.h"

namespace elbo {
namespace {

constexpr int64_t kColumns = 1024, kDimensions = 784, kLatent = 200;

struct BiasRelu {
  template <class T>
  ELBO_HD T operator()(T x, T bias) const {
    const T y = x + bias;
    return y > T(0) ? y : T(0);
  }
};

/// f32 numbers of one array: half a gigabyte, or a sixteenth of the free memory.
int64_t elements() {
  static const int64_t count = [] {  // once: what is free changes
    if (gpu_is_emulated()) return int64_t{1} << 14;
    const uint64_t fitting = std::bit_floor(uint64_t{cuda::describe().free / (16 * sizeof(float))});
    return static_cast<int64_t>(std::min(uint64_t{1} << 27, fitting));
  }();
  return count;
}
int64_t rows_of(int64_t width) { return elements() / width; }

Tensor empty(const Shape& shape) { return Tensor::empty(shape, DType::f32, Device::cuda); }
Tensor draws(const Shape& shape, uint64_t seed) {
  return normal(shape, DType::f32, {.seed = seed, .stream = kTestInput}, 1, Device::cuda);
}
/// Every one of them, once.
template <class... Tensors>
double bytes_of(const Tensors&... tensors) {
  return (static_cast<double>(tensors.byte_count()) + ...);
}

GpuFigures figures(double bytes, const GpuTiming& timing) { return {.timing = timing, .bytes = bytes}; }

GpuFigures copy(double seconds) {
  const Tensor from = draws({elements()}, 1), to = empty({elements()});
  return figures(bytes_of(from, to), time_on_gpu(seconds, 1, [&] { to.copy_from(from); }));
}

GpuFigures product(MatmulPrecision precision, double seconds) {
  int64_t size = gpu_is_emulated() ? 64 : 8192;
  while (!gpu_is_emulated() && 3 * size * size > elements() * 4) size /= 2;
  const Tensor a = draws({size, size}, 1), b = draws({size, size}, 2), c = empty({size, size});
  const WithPrecision set(precision);
  const GpuTiming timing = time_on_gpu(seconds, 1, [&] { gemm(c, a, Transpose::no, b, Transpose::no); });
  return {.timing = timing, .flops = 2 * std::pow(static_cast<double>(size), 3)};
}

GpuFigures bias_and_activation(double seconds) {
  const Tensor x = draws({rows_of(kColumns), kColumns}, 1), bias = draws({kColumns}, 2), y = empty(x.shape());
  return figures(bytes_of(x, bias, y), time_on_gpu(seconds, 1, [&] { map_into(y, BiasRelu{}, x, bias); }));
}

GpuFigures sum_into(const Shape& shape, double seconds) {
  const Tensor x = draws({rows_of(kColumns), kColumns}, 1), y = empty(shape);
  return figures(bytes_of(x, y),
                 time_on_gpu(seconds, 1, [&] { map_reduce_into<Sum>(y, false, Identity{}, x); }));
}

using LogLikelihood = std::function<Variable(const Variable& x, const Variable& output)>;
Variable gaussian(const Variable& x, const Variable& mean) {
  const Variable log_sigma2 = Tensor::full({1}, 0.1, DType::f32, Device::cuda);
  return gaussian_log_likelihood(x, mean, log_sigma2);
}

GpuFigures likelihood(const LogLikelihood& f, double seconds) {
  const Tensor x = draws({rows_of(kDimensions), kDimensions}, 1), output = draws(x.shape(), 2);
  Tensor y = f(x, output).value();
  return figures(bytes_of(x, output, y), time_on_gpu(seconds, 1, [&] { y = f(x, output).value(); }));
}

/// Down to the decoder's output.
GpuFigures likelihood_gradient(const LogLikelihood& f, double seconds) {
  const Tensor x = draws({rows_of(kDimensions), kDimensions}, 1), output = draws(x.shape(), 2);
  Parameter leaf{"", output, empty(x.shape()), false};
  const Tensor dy = Tensor::full({x.size(0)}, 1, DType::f32, Device::cuda);
  // The forward half is not to be timed: it stays outside the capture.
  const auto backward = [&](const auto& walk) {
    leaf.has_gradient = false;
    Tape tape;
    const Variable y = f(x, leaf);
    walk([&] { tape.backward(y, dy); });
  };
  cuda::Graph graph;
  backward([](const auto& walk) { walk(); });
  backward([&](const auto& walk) { graph = cuda::Graph::capture(walk); });
  return figures(bytes_of(x, output, dy, leaf.gradient), time_on_gpu(seconds, 1, [&] { graph.replay(); }));
}

struct Posterior200 {
  Tensor mean = draws({rows_of(kLatent), kLatent}, 1), log_variance = draws(mean.shape(), 2);
  Tensor z = empty(mean.shape()), kl = empty({mean.size(0)});
  cuda::Reparameterization r{mean,          log_variance,  {.seed = 3, .stream = kLatentNoise},
                             /*members=*/1, /*samples=*/1, /*parts=*/1};
};

GpuFigures reparameterize(double seconds) {
  const Posterior200 p;
  return figures(bytes_of(p.mean, p.log_variance, p.z, p.kl), time_on_gpu(seconds, 1, [&] {
                   if constexpr (kHasGpuCode) cuda::reparameterize(p.r, p.z, p.kl);
                 }));
}

GpuFigures reparameterize_gradient(double seconds) {
  const Posterior200 p;
  const Tensor d_mean = empty(p.mean.shape()), d_log_variance = empty(p.mean.shape());
  p.z.fill(1);
  p.kl.fill(1);
  return figures(bytes_of(p.mean, p.log_variance, p.z, p.kl, d_mean, d_log_variance),
                 time_on_gpu(seconds, 1, [&] {
                   if constexpr (kHasGpuCode)
                     cuda::reparameterize_gradients(p.r, p.z, p.kl, d_mean, false, d_log_variance, false);
                 }));
}

GpuFigures adam(double seconds) {
  ParameterStore store(DType::f32, 0, Device::cuda);
  Parameter& weights = store.add("weights", {elements() / 2}, {Initializer::Kind::constant, 1});
  store.initialise(1);
  fill_normal(weights.gradient, {.seed = 2, .stream = kTestInput});
  Adam optimiser(store);
  const Tensor numbers = Tensor::from<double>({2}, {1, 1e-4}).to(Device::cuda);
  const GpuTiming timing = time_on_gpu(seconds, 1, [&] {
    weights.has_gradient = true;
    optimiser.apply(numbers);
  });
  return figures(7 * bytes_of(weights.value), timing);  // read w, m, v, g; write w, m, v
}

GpuFigures gather(double seconds) {
  const int64_t rows = rows_of(kDimensions);
  Dataset data{.name = "bytes",
               .x = Tensor::empty({rows, kDimensions}, DType::u8),
               .labels = {},
               .fingerprint = {},
               .truth = {}};
  uint32_t state = 1;
  for (uint8_t& byte : data.x.span<uint8_t>()) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(state >> 24);
  }
  DeviceBatches batches(data, {.kind = Preprocessing::Kind::logit}, {.batch = rows});
  batches.begin_epoch(0);
  const Tensor x = empty({rows, kDimensions}), place = Tensor::zeros({2}, DType::i64, Device::cuda);
  // A byte and its place in the order come in, a number goes out.
  const double bytes = bytes_of(x, data.x) + 8 * static_cast<double>(rows);
  return figures(bytes, time_on_gpu(seconds, 1, [&] { batches.fill(x, place); }));
}

GpuFigures draw_normal(double seconds) {
  const Tensor x = empty({elements()});
  return figures(bytes_of(x),
                 time_on_gpu(seconds, 1, [&] { fill_normal(x, {.seed = 1, .stream = kTestInput}); }));
}

}  // namespace

std::vector<GpuCase> gpu_kernel_cases() {
  const auto of_precision = [](MatmulPrecision precision) {
    return [precision](double seconds) { return product(precision, seconds); };
  };
  return {{"copy", copy},
          {"matmul-f32", of_precision(MatmulPrecision::f32)},
          {"matmul-tf32", of_precision(MatmulPrecision::tf32)},
          {"matmul-bf16", of_precision(MatmulPrecision::bf16)},
          {"bias-relu", bias_and_activation},
          {"sum-rows",
           [](double seconds) {
             return sum_into({rows_of(kColumns), 1}, seconds);
           }},
          {"sum-columns",
           [](double seconds) {
             return sum_into({1, kColumns}, seconds);
           }},
          {"gaussian-forward", [](double seconds) { return likelihood(gaussian, seconds); }},
          {"gaussian-backward", [](double seconds) { return likelihood_gradient(gaussian, seconds); }},
          {"bernoulli-forward", [](double seconds) { return likelihood(bernoulli_log_likelihood, seconds); }},
          {"bernoulli-backward",
           [](double seconds) { return likelihood_gradient(bernoulli_log_likelihood, seconds); }},
          {"reparameterize-forward", reparameterize},
          {"reparameterize-backward", reparameterize_gradient},
          {"adam", adam},
          {"gather-logit", gather},
          {"fill-normal", draw_normal}};
}

}  // namespace elbo
