// What a step has beside it, in both orders in which an emulated GPU may run its two streams: nothing reads
// it before the streams join.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/cuda/kernel.h"
#include "tensor/map.h"
#include "tests/gpu/near.h"
#include "tests/vae/parts_models.h"
#include "vae/captured_training.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

using namespace parts_models;
using cuda::emulation::Streams;

constexpr int64_t kPoints = 12, kSteps = 4, kMembers = 3;
constexpr double kRate = 0.02;

/// Back to the usual order at the end of its scope.
struct Ordered {
  explicit Ordered(Streams streams) { cuda::emulation::configure({.streams = streams}); }
  ~Ordered() { cuda::emulation::configure({}); }
};

struct Beside {
  Tensor x = normal({50}, DType::f64, {.seed = 1}).to(Device::cuda);
  Parameter w{"w", x.clone(), Tensor::zeros({50}, DType::f64, Device::cuda), false};
  Tensor twice = Tensor::zeros({50}, DType::f64, Device::cuda), read = twice.clone();

  void step() {
    Tape tape;
    const Variable loss = sum(square(Variable(w)));
    {
      const Tensor own = x.clone();
      Tape::beside({own}, [&] { map_into(twice, Scaled{2}, own); });
    }
    CHECK(cuda::side_work_pending());
    tape.backward(loss);
    CHECK_FALSE(cuda::side_work_pending());
    map_into(read, Identity{}, twice);
  }
  void check() {
    for (int64_t i = 0; i < 50; ++i) CHECK(read.at(i) == 2 * x.at(i));
  }
};

/// The samples of a step in several groups: a decoder that says its activations are so wide (elbo_loss.cpp).
std::unique_ptr<Vae> wide(const Model& model, int64_t widest, Device device) {
  return std::make_unique<Vae>(
      VaeOptions{.dimensions = kDimensions,
                 .latent = model.latent,
                 .dtype = DType::f64,
                 .device = device,
                 .members = kMembers},
      [&](ParameterStore& store) {
        Parts parts = model.make(store);
        parts.widest = widest;
        return parts;
      },
      11);
}

TEST_SUITE("emulation") {
  TEST_CASE("what a tape has beside it is there for whoever works after its walk, captured or not") {
    for (Streams streams : {Streams::main_first, Streams::side_first}) {
      const Ordered ordered(streams);
      Beside plain;
      plain.step();
      plain.check();
      Beside captured;
      captured.step();
      captured.read.fill(0);
      captured.twice.fill(0);
      const cuda::Graph graph = cuda::Graph::capture([&] { captured.step(); });
      graph.replay();
      captured.check();
    }
  }

  TEST_CASE("without a tape to be walked, and on the CPU, nothing is beside") {
    const auto check = [](const Tensor& x) {
      const Tensor y = Tensor::zeros(x.shape(), x.dtype(), x.device());
      Tape::beside({x}, [&] { map_into(y, Scaled{2}, x); });
      CHECK_FALSE(cuda::side_work_pending());
      CHECK(y.at(1) == 6);
    };
    const Tensor here = Tensor::full({4}, 3, DType::f64);
    check(here);
    check(here.to(Device::cuda));
    Parameter w{"w", here.to(Device::cuda), here.to(Device::cuda), false};
    Tape tape;
    const Variable loss = sum(square(Variable(w)));
    check(here);
    tape.backward(loss);
    check(here.to(Device::cuda));
  }

  TEST_CASE("the probes of a step are the CPU's in either order of streams, captured or not") {
    const Tensor x = data({kPoints, kDimensions}), there = x.to(Device::cuda);
    struct Case {
      int64_t samples, widest;
    };
    for (const Model& model : models())
      for (const Case& c : {Case{1, 0}, Case{6, 8192}, Case{6, int64_t{1} << 19}}) {  // one group, and six
        CAPTURE(std::string(model.name));
        CAPTURE(c.widest);
        const auto on_cpu = wide(model, c.widest, Device::cpu);
        Training cpu(on_cpu->parameters(),
                     {{.loss = elbo_loss(*on_cpu, {}, c.samples), .steps = kSteps, .rates = {kRate}}},
                     whole_set(x), {.seed = 4});
        std::vector<std::vector<double>> expected;
        while (cpu.step()) {
          expected.resize(cpu.terms().probes.size(), std::vector<double>(kMembers));
          for (size_t i = 0; i < expected.size(); ++i)
            for (size_t m = 0; m < kMembers; ++m)
              expected[i][m] += kPoints * cpu.terms().probes[i].at(static_cast<int64_t>(m));
        }
        for (Streams streams : {Streams::main_first, Streams::side_first})
          for (bool capture : {false, true}) {
            CAPTURE(static_cast<int>(streams));
            CAPTURE(capture);
            const Ordered ordered(streams);
            const auto on_gpu = wide(model, c.widest, Device::cuda);
            Adam adam(on_gpu->parameters());
            CapturedTraining gpu(on_gpu->parameters(), adam, elbo_loss(*on_gpu, {}, c.samples),
                                 {.seed = 4, .capture = capture},
                                 [&](int64_t, const Tensor&) { return there; });
            std::vector<CapturedTraining::Step> steps;
            for (int64_t step = 0; step < kSteps; ++step)
              steps.push_back({step, {step, 1, kSteps}, kPoints, 0, 0, std::vector<double>(kMembers, kRate)});
            gpu.run(steps);
            const CapturedTraining::Sums sums = gpu.read().wait();
            REQUIRE(sums.probes.size() == expected.size());
            for (size_t i = 0; i < expected.size(); ++i)
              for (size_t m = 0; m < kMembers; ++m)
                CHECK(sums.probes[i][m] == doctest::Approx(expected[i][m]).epsilon(1e-9));
            for (int64_t stopped : sums.stopped) CHECK(stopped == -1);
            for (size_t i = 0; i < expected.size(); ++i)
              CHECK(near(gpu.terms().probes[i], cpu.terms().probes[i], 1e-9));
          }
      }
  }
}

}  // namespace
}  // namespace elbo
