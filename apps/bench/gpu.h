// elbo bench on a GPU: kernels against the copy bandwidth of this card, products, and whole training steps.
//
// A case is timed by the GPU's own clock, several runs between two events, and reported as the median over
// repeats. Kernels are in bench_gpu_kernels.cpp, training steps in bench_gpu_steps.cpp.
// bench/compare_pytorch_cuda.py runs the same steps in PyTorch, interleaved.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "apps/training/options.h"
#include "tensor/cuda/device.h"
#include "tensor/gemm.h"
#include "vae/deep_vae.h"

namespace elbo {

/// Of `elbo bench`, on any device.
struct BenchOptions {
  std::string only;
  double seconds = 2;
  bool no_peak = false;
  RunOptions run{};
};

void bench_gpu(const BenchOptions& options);

// For its two halves.

struct GpuTiming {
  double median = 0, best = 0;  ///< microseconds of one run
  int64_t repeats = 0, runs = 0;
};

struct GpuFigures {
  GpuTiming timing{};
  double bytes = 0;  ///< that a run must move at least: every input read once, every output written once
  double flops = 0;  ///< of a run's products
  size_t nodes = 0;  ///< of the captured step
  int64_t members = 0;
  bool is_step = false;
  double elbo = std::numeric_limits<double>::quiet_NaN();  ///< of a step, after all that were timed
};

struct GpuCase {
  std::string name;
  std::function<GpuFigures(double seconds)> run;
};
/// The sizes of the cases follow from the GPU's free memory; where the GPU is emulated they are tiny, and the
/// figures mean nothing.
std::vector<GpuCase> gpu_kernel_cases();
std::vector<GpuCase> gpu_step_cases();
bool gpu_is_emulated();

// The networks of the cases, on either device.

/// Multilayer perceptrons with these widths of x, hidden layers and z.
DeepVaeOptions dense_network(const std::vector<int64_t>& widths, int64_t members = 0);
/// Higgins' convolutional network for 64x64 colour images, with so many channels.
DeepVaeOptions higgins_network(int64_t channels = 32);

/// Products have this precision until the end of its scope.
class WithPrecision {
 public:
  explicit WithPrecision(MatmulPrecision precision) { set_matmul_precision(precision); }
  ~WithPrecision() { set_matmul_precision(before_); }
  WithPrecision(const WithPrecision&) = delete;
  WithPrecision& operator=(const WithPrecision&) = delete;

 private:
  const MatmulPrecision before_ = matmul_precision();
};

/// `work` enqueues `units` runs. Called for about `seconds`, after warming up, and so often between two
/// events that what the events cost does not count.
template <class Work>
GpuTiming time_on_gpu(double seconds, int64_t units, const Work& work) {
  constexpr double kInterval = 5, kFewest = 3;  // milliseconds; repeats
  cuda::Event begin, end;
  const auto measure = [&](int64_t calls) {
    begin.record();
    for (int64_t i = 0; i < calls; ++i) work();
    end.record();
    end.wait();
    return cuda::Event::milliseconds(begin, end);
  };
  // What is done for the first time, the capture of graphs included; then until the clocks have risen.
  for (int i = 0; i < 3; ++i) measure(1);
  double spent = 0, once = 0;
  do {
    once = measure(1);
    spent += once;
  } while (spent < 200 * seconds);
  const auto calls =
      gpu_is_emulated() ? 1 : std::clamp<int64_t>(static_cast<int64_t>(std::ceil(kInterval / once)), 1, 1000);
  std::vector<double> times;
  for (spent = 0; spent < 800 * seconds || times.size() < kFewest; spent += times.back())
    times.push_back(measure(calls));
  std::sort(times.begin(), times.end());
  const auto runs = static_cast<double>(calls * units);
  return {1e3 * times[times.size() / 2] / runs, 1e3 * times.front() / runs,
          static_cast<int64_t>(times.size()), static_cast<int64_t>(times.size()) * calls * units};
}

}  // namespace elbo
