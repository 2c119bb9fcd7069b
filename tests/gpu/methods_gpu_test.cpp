// LiBI and lagging inference networks on the GPU: the CPU's numbers and decisions, and resumed ones bit for
// bit. Numbers are in f64, where what differs between the devices is the order of sums and the last bits of
// the noise's logarithms and cosines, some 1e-16; Adam's first steps turn gradients into their signs, so that
// what is relative to a small gradient grows to what is relative to a rate.
#include <doctest/doctest.h>

#include <limits>

#include "autograd/tape.h"
#include "tests/gpu/near.h"
#include "tests/temporary_directory.h"
#include "tests/vae/linear_jtex.h"
#include "vae/captured_steps.h"
#include "vae/henze_zirkler.h"
#include "vae/lagging.h"
#include "vae/libi.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

constexpr int64_t kMembers = 3, kPoints = 24, kBatch = 12, kPerEpoch = kPoints / kBatch;
constexpr double kTolerance = 1e-9;

Numbers rates() { return {0.1, 0.03, 1e-6}; }

/// A training of three members with their own data on a device.
struct Run {
  std::unique_ptr<Vae> vae;
  Training training;

  /// To the end, or to a step; returns how many steps were captured.
  int64_t finish(int64_t until = std::numeric_limits<int64_t>::max()) {
    CapturedSteps steps(training);
    int64_t captured = 0, taken = 0;
    while (training.steps() < until && (taken = steps.take(until - training.steps())) > 0)
      captured += steps.captured() ? taken : 0;
    steps.receive(true);
    return captured;
  }
};

using Begin = Run(Device);

Run begin_libi(Device device) {
  const Tensor x = jtex_data(kMembers, kPoints, 21).to(device),
               validation = jtex_data(kMembers, kPoints, 31).to(device);
  auto vae = linear_jtex(kMembers, 0, 5, device);
  const LibiOptions options{.repetitions = 2, .eps_hz = {0.1, 1, 10}, .chosen_on = validation};
  auto phases =
      libi_phases(*vae, options, {.loss = elbo_loss(*vae), .steps = 12, .rates = {0.3}, .clip = 30});
  Training training(vae->parameters(), phases, whole_set(x), {.seed = 4});
  return {std::move(vae), std::move(training)};
}

Run begin_lagging(Device device) {
  const Tensor x = jtex_data(kMembers, kPoints, 21).to(device);
  auto vae = linear_jtex(kMembers, 0, 5, device);
  const LaggingOptions options{
      .fresh = shuffled_batches(x, kBatch, 7).batch, .information_on = x, .per_epoch = kPerEpoch};
  auto phases = std::vector{lagging_phase(
      *vae, options, {.loss = elbo_loss(*vae), .steps = 2 * kPerEpoch + 1, .rates = rates(), .clip = 30})};
  Training training(vae->parameters(), phases, shuffled_batches(x, kBatch, 4), {.seed = 4});
  return {std::move(vae), std::move(training)};
}

void check_parameters(const Run& gpu, const Run& cpu) {
  for (const Parameter& parameter : cpu.vae->parameters().all()) {
    CAPTURE(parameter.name);
    CHECK(near(gpu.vae->parameters().at(parameter.name).value, parameter.value, kTolerance));
  }
}

/// Broken off after each of these steps.
void check_resumed(Begin begin, const Run& unbroken, std::initializer_list<int64_t> stops) {
  const TemporaryDirectory folder;
  const std::string path = (folder.path() / "state.safetensors").string();
  for (int64_t stop : stops) {
    CAPTURE(stop);
    Run first = begin(Device::cuda), second = begin(Device::cuda);
    first.finish(stop);
    first.training.save(path);
    second.training.load(path);
    second.finish();
    CHECK(numbers_of(*second.vae) == numbers_of(*unbroken.vae));
  }
}

TEST_SUITE("gpu") {
  TEST_CASE("LiBI on the GPU trains and chooses as on the CPU, resumed or not") {
    Run cpu = begin_libi(Device::cpu), gpu = begin_libi(Device::cuda);
    while (cpu.training.step()) {
      REQUIRE(gpu.training.step());
      REQUIRE(gpu.training.phase().name == cpu.training.phase().name);
      for (size_t i = 0; i < cpu.training.terms().probes.size(); ++i)
        CHECK(close(gpu.training.terms().probes[i].to_vector(), cpu.training.terms().probes[i].to_vector(),
                    kTolerance));
    }
    CHECK_FALSE(gpu.training.step());
    check_parameters(gpu, cpu);
    const LibiOutcome there = libi_outcome(gpu.training), here = libi_outcome(cpu.training);
    CHECK(there.kept == here.kept);
    for (int64_t repetition : here.kept) CHECK(repetition > 0);
    REQUIRE(there.costs.size() == 2);
    for (size_t r = 0; r < 2; ++r) CHECK(close(there.costs[r], here.costs[r], kTolerance));
    Run captured = begin_libi(Device::cuda);
    CHECK(captured.finish() == 12);
    CHECK(numbers_of(*captured.vae) == numbers_of(*gpu.vae));
    CHECK(libi_outcome(captured.training).kept == there.kept);
    CHECK(libi_outcome(captured.training).costs == there.costs);
    check_resumed(begin_libi, gpu, {2, 7});
  }

  TEST_CASE("a lagging encoder on the GPU decides as on the CPU, resumed or not") {
    Run cpu = begin_lagging(Device::cpu), gpu = begin_lagging(Device::cuda);
    CHECK(cpu.finish() == 0);
    CHECK(gpu.finish() == 0);  // it looks at numbers between steps
    check_parameters(gpu, cpu);
    const LaggingOutcome there = lagging_outcome(gpu.training), here = lagging_outcome(cpu.training);
    CHECK(there.joint_from == here.joint_from);
    CHECK(there.encoder_steps == here.encoder_steps);
    CHECK(here.joint_from == std::vector<int64_t>{4, -1, 4});
    CHECK(there.encoder_steps[0] != there.encoder_steps[2]);  // so that their Adams count for themselves
    CHECK(close(there.information, here.information, kTolerance));
    check_resumed(begin_lagging, gpu, {4});
  }

  TEST_CASE("a lagging encoder's segments are captured, and train as on the CPU") {
    const auto begin = [](Device device) {
      const Tensor x = jtex_data(kMembers, kPoints, 21).to(device);
      auto vae = linear_jtex(kMembers, 0, 5, device);
      Training training(
          vae->parameters(),
          lagging_segments({.loss = elbo_loss(*vae), .steps = 9, .rates = rates(), .clip = 30}, 2),
          shuffled_batches(x, kBatch, 4), {.seed = 4});
      return Run{std::move(vae), std::move(training)};
    };
    Run cpu = begin(Device::cpu), gpu = begin(Device::cuda);
    CHECK(cpu.finish() == 0);
    CHECK(gpu.finish() == 9);
    check_parameters(gpu, cpu);
    check_resumed(begin, gpu, {3, 6});
  }

  TEST_CASE("Henze and Zirkler's statistic on the GPU, and its gradient, are the CPU's") {
    for (int64_t d : {1, 2, 5})
      for (DType dtype : {DType::f64, DType::f32}) {
        CAPTURE(d);
        const Tensor z = normal({kMembers, 40, d}, dtype, {.seed = 3}, kMembers);
        const auto gradient_on = [&](Device device) {
          Parameter parameter{"z", z.to(device), Tensor::zeros(z.shape(), dtype, device), false};
          Tape tape;
          const Variable statistic = henze_zirkler(parameter);
          tape.backward(sum(statistic));
          return std::pair{statistic.value(), parameter.gradient};
        };
        const auto [here, slope] = gradient_on(Device::cpu);
        const auto [there, slope_there] = gradient_on(Device::cuda);
        // The twin, of f32 in f32, sums 1600 pairs, each of whose distances is a difference of larger
        // numbers.
        const double tolerance = dtype == DType::f64 ? 1e-11 : 1e-3;
        CHECK(near(there, here, tolerance));
        CHECK(near(slope_there, slope, tolerance));
      }
  }

  TEST_CASE("members that take different numbers of Adam's steps do so on the GPU") {
    for (DType dtype : {DType::f64, DType::f32})
      for (int64_t members : {0, 3}) {
        const auto moved_on = [&](Device device) {
          ParameterStore store(dtype, members, device);
          Parameter &w = store.add("w", {2100}, {Initializer::Kind::normal, 1}),
                    &b = store.add("b", {3}, {Initializer::Kind::normal, 1});
          store.initialise(1);
          Adam adam(store);
          const auto models = static_cast<size_t>(std::max<int64_t>(members, 1));
          std::vector<int64_t> taken(models);
          for (int t = 1; t <= 6; ++t) {
            for (Parameter* p : {&w, &b}) {
              p->gradient.copy_from(normal(p->value.shape(), dtype, {.seed = static_cast<uint64_t>(t)}));
              p->has_gradient = true;
            }
            std::vector<double> now(models);
            for (size_t m = 0; m < models; ++m) {
              now[m] = t % static_cast<int>(m + 1) == 0 ? 0.1 / static_cast<double>(m + 1) : 0;
              taken[m] += now[m] != 0;
            }
            adam.step_at(taken, now);
            CHECK(w.has_gradient);
          }
          CHECK(adam.steps() == 0);
          return store.values();
        };
        CHECK(near(moved_on(Device::cuda), moved_on(Device::cpu)));
      }
  }
}

}  // namespace
}  // namespace elbo
