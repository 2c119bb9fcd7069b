// elbo bench: how long a training step takes, in milliseconds, flop rates and shares of this machine's
// measured peak; on a GPU (bench_gpu.h) kernels beside its memory bandwidth, too. bench/compare_pytorch.py
// and bench/compare_pytorch_cuda.py run the same cases in PyTorch, interleaved.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>

#include "apps/bench/fma_peak.h"
#include "apps/bench/gpu.h"
#include "apps/command.h"
#include "apps/support/arguments.h"
#include "apps/support/log.h"
#include "apps/support/table.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "nn/optimizer.h"
#include "tensor/blas.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "vae/elbo_loss.h"
#include "vae/linear_vae.h"

namespace elbo {

DeepVaeOptions dense_network(const std::vector<int64_t>& widths, int64_t members) {
  const std::vector<int64_t> hidden(widths.begin() + 1, widths.end() - 1);
  return {.dimensions = widths.front(),
          .latent = widths.back(),
          .encoder_hidden = hidden,
          .decoder_hidden = {hidden.rbegin(), hidden.rend()},
          .members = members};
}

DeepVaeOptions higgins_network(int64_t channels) {
  const ImageSize image{64, 64, 3};
  return {.dimensions = image.pixels(), .latent = 32, .conv = ConvNetwork{.image = image, .width = channels}};
}

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Timing {
  double median, best;  // milliseconds
  int64_t runs;
  uint64_t allocations;  // of the system, during the timed runs
  size_t peak_bytes;
};

/// Runs `work` for about `seconds`, after warming up.
template <class Work>
Timing time_it(double seconds, const Work& work) {
  for (int i = 0; i < 5; ++i) work();
  reset_peak_memory();
  const uint64_t allocations = memory_counters().system_allocations;
  std::vector<double> times;
  times.reserve(1 << 16);
  const Clock::time_point start = Clock::now();
  while (times.size() < 10 || (seconds_since(start) < seconds && times.size() < times.capacity())) {
    const Clock::time_point begin = Clock::now();
    work();
    times.push_back(1e3 * seconds_since(begin));
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[0], static_cast<int64_t>(times.size()),
          memory_counters().system_allocations - allocations, memory_counters().peak};
}

/// Most memory this process has held, from the kernel (getrusage would tell its parent's where that was
/// larger).
int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

struct Case {
  std::string name;
  double flops;  // of the gemms of one run; 0 where memory is what counts
  double bytes;  // moved at least; 0 where flops count
  Timing timing;
};

/// A whole training step of the 784-200 linear VAE: forward, backward, Adam.
Case linear_vae_step(int64_t batch, bool analytic, double seconds) {
  constexpr int64_t kDimensions = 784, kLatent = 200;
  LinearVae vae({.dimensions = kDimensions, .latent = kLatent}, 1);
  Adam adam(vae.parameters());
  const Tensor x = uniform({batch, kDimensions}, DType::f32, {.seed = 2, .stream = kTestInput});
  uint64_t step = 0;
  const Timing timing = time_it(seconds, [&] {
    {
      Tape tape;
      const Variable elbo = analytic
                                ? vae.analytic_elbo(x)
                                : vae.stochastic_elbo(x, {.seed = 3, .stream = kLatentNoise, .step = step++});
      tape.backward(-elbo);
    }
    adam.step(1e-4);
  });
  return {fmt::format("linear-vae{}-{}", analytic ? "-analytic" : "", batch),
          10.0 * static_cast<double>(batch * kDimensions * kLatent), 0, timing};
}

/// A whole training step of deep VAEs: forward, backward, Adam.
Case deep_vae_step(const char* name, const DeepVaeOptions& options, int64_t batch, int64_t samples,
                   double seconds) {
  DeepVae vae(options, 1);
  Adam adam(vae.parameters());
  const Tensor x = uniform({batch, options.dimensions}, DType::f32, {.seed = 2, .stream = kTestInput});
  const Loss loss = elbo_loss(vae, {}, samples);
  uint64_t step = 0;
  const Timing timing = time_it(seconds, [&] {
    differentiate(loss, x, {}, {.seed = 3, .stream = kLatentNoise, .step = step++});
    adam.step(1e-4);
  });
  return {name, training_flops(options, samples) * static_cast<double>(batch * vae.models()), 0, timing};
}

Case adam_step(double seconds) {
  constexpr int64_t kParameters = 3'000'000;
  ParameterStore store;
  Parameter& weights = store.add("weights", {kParameters}, {Initializer::Kind::normal, 1});
  store.initialise(1);
  fill_normal(weights.gradient, {.seed = 2, .stream = kTestInput});
  Adam adam(store);
  const Timing timing = time_it(seconds, [&] {
    weights.has_gradient = true;
    adam.step(1e-4);
  });
  // Read w, m, v, g; write w, m, v.
  return {"adam-3m", 0, 7.0 * 4 * kParameters, timing};
}

Case gemm_case(int64_t rows, double seconds) {
  const Tensor x = normal({rows, 784}, DType::f32, {.seed = 1}),
               w = normal({200, 784}, DType::f32, {.seed = 2});
  const Tensor y = Tensor::empty({rows, 200});
  return {fmt::format("gemm-{}x784x200", rows), 2.0 * static_cast<double>(rows) * 784 * 200, 0,
          time_it(seconds, [&] { gemm(y, x, Transpose::no, w, Transpose::yes); })};
}

void bench(const BenchOptions& o) {
  apply(o.run);
  if (device_of(o.run) == Device::cuda) return bench_gpu(o);
  const DeepVaeOptions lucas = dense_network({784, 1024, 512, 200}), small = dense_network({10, 50, 50, 2}),
                       smallest = dense_network({2, 50, 2}, 20);
  const std::vector<std::pair<std::string, std::function<Case()>>> cases{
      {"linear-vae-128", [&] { return linear_vae_step(128, false, o.seconds); }},
      {"linear-vae-1000", [&] { return linear_vae_step(1000, false, o.seconds); }},
      {"linear-vae-analytic-1000", [&] { return linear_vae_step(1000, true, o.seconds); }},
      {"mlp-vae-128", [&] { return deep_vae_step("mlp-vae-128", lucas, 128, 1, o.seconds); }},
      {"mlp-vae-1000", [&] { return deep_vae_step("mlp-vae-1000", lucas, 1000, 1, o.seconds); }},
      {"small-vae-100-samples",
       [&] { return deep_vae_step("small-vae-100-samples", small, 2000, 100, o.seconds); }},
      {"ensemble-20", [&] { return deep_vae_step("ensemble-20", smallest, 500, 1, o.seconds); }},
      {"conv-vae-64", [&] { return deep_vae_step("conv-vae-64", higgins_network(), 64, 1, o.seconds); }},
      {"adam-3m", [&] { return adam_step(o.seconds); }},
      {"gemm-128x784x200", [&] { return gemm_case(128, o.seconds); }},
      {"gemm-1000x784x200", [&] { return gemm_case(1000, o.seconds); }}};
  // Whatever else the machine does while the peak is measured makes it look lower, so that is done often.
  double peak = NAN;
  const auto look_at_peak = [&] {
    if (!o.no_peak) peak = std::fmax(peak, measure_fma_peak());
  };
  std::vector<Case> measured;
  std::string known;
  for (const auto& [name, run] : cases) {
    known += (known.empty() ? "" : ", ") + name;
    if (!o.only.empty() && o.only != name) continue;
    look_at_peak();
    measured.push_back(run());
  }
  if (measured.empty()) fail("[bench] there is no case '{}'; there are {}", o.only, known);
  look_at_peak();

  const auto rate = [](const Case& c) { return c.flops / c.timing.median * 1e-6; };
  const Case& fastest = *std::ranges::max_element(measured, {}, rate);
  const bool low_peak = rate(fastest) > peak;
  Table table({"case", Table::number("median ms"), Table::number("best ms"), Table::number("Gflop/s"),
               Table::number("share of FMA peak"), Table::number("GB/s"), Table::number("allocations"),
               Table::number("peak MB of tensors")});
  Json rows = Json::array();
  for (const Case& c : measured) {
    const bool has_share = c.flops > 0 && !o.no_peak && !low_peak;
    table.row({c.name, fmt::format("{:.3f}", c.timing.median), fmt::format("{:.3f}", c.timing.best),
               c.flops > 0 ? fmt::format("{:.1f}", rate(c)) : "",
               has_share ? fmt::format("{:.0f} %", 100 * rate(c) / peak) : "",
               c.bytes > 0 ? fmt::format("{:.1f}", c.bytes / c.timing.median * 1e-6) : "",
               std::to_string(c.timing.allocations),
               fmt::format("{:.1f}", static_cast<double>(c.timing.peak_bytes) * 1e-6)});
    rows.push_back({{"name", c.name},
                    {"median_ms", c.timing.median},
                    {"best_ms", c.timing.best},
                    {"runs", c.timing.runs},
                    {"gflops", c.flops > 0 ? Json(rate(c)) : Json(nullptr)},
                    {"fma_share", has_share ? Json(rate(c) / peak) : Json(nullptr)},
                    {"system_allocations", c.timing.allocations},
                    {"peak_tensor_bytes", c.timing.peak_bytes},
                    {"peak_resident_bytes", peak_resident_bytes()}});
  }
  const std::string peak_is_low =
      low_peak ? fmt::format(
                     "{} ran at {:.0f} Gflop/s, more than the FMA peak that was measured, {:.0f}. Other work "
                     "kept the cores busy meanwhile, so no shares are given; try again when it has ended.",
                     fastest.name, rate(fastest), peak)
               : "";
  if (o.run.json) {
    if (low_peak) log_line(peak_is_low);
    fmt::print("{}", json_text({{"threads", threads()},
                                {"fma_peak_gflops", o.no_peak || low_peak ? Json(nullptr) : Json(peak)},
                                {"blas", blas().name},
                                {"cases", rows}}));
    return;
  }
  fmt::print("{} threads, BLAS {}\n", threads(), blas().name);
  if (low_peak)
    fmt::print("{}\n", peak_is_low);
  else if (!o.no_peak)
    fmt::print("measured FMA peak: {:.0f} Gflop/s in f32\n", peak);
  fmt::print("\n{}", table.text());
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<BenchOptions>();
  add_run_options(arguments, o->run, false);
  arguments.add_text("--case", o->only, "Run this case only");
  arguments.add_number("--seconds", o->seconds, "Time for each case", kPositive).show_default();
  arguments.add_flag("--no-peak", o->no_peak, "Do not measure the FMA peak, or the copy bandwidth of a GPU");
  arguments.run([o] { bench(*o); });
}

}  // namespace

const Command bench_command{"bench", "Time training steps against the machine's peak", "", "20 s",
                            add_options};

}  // namespace elbo
