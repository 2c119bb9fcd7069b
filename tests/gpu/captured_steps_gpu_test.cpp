// The steps of a Training as a GPU takes them by itself: phases of a model of one's own
// (tests/vae/toy_model.h), whose members have a data set each, beside the CPU's plain steps.
#include "vae/captured_steps.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/gpu/near.h"
#include "tests/temporary_directory.h"
#include "tests/vae/toy_model.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

using namespace toy;

constexpr int64_t kFew = 5, kEncoder = 7, kGenerator = 6, kSteps = kEncoder + kGenerator;
constexpr double kTolerance = 1e-9, kBreaking = 1e200;

using Source = BatchSource (*)(const Tensor& x);
BatchSource by_fours(const Tensor& x) { return shuffled_batches(x, 8, 3); }  // 8, 8, 8 and 6 points

std::vector<Phase> short_phases(const Toy& toy) {
  std::vector<Phase> two = phases(toy, {0.1, 0.08, 0.06, 0.04, 0.02});
  two[0].steps = kEncoder;
  two[1].steps = two[1].schedule.total_steps = kGenerator;
  return two;
}

/// A training of a few members on a device, of phases that may be changed before it begins.
struct Run {
  Toy model;
  Training training;

  using Change = std::function<void(std::vector<Phase>&)>;
  explicit Run(Device device, Source source = whole_set, const Change& change = {})
      : model(kFew, 0, device),
        training(model.parameters(), changed(short_phases(model), change),
                 source(data_sets().slice(0, kFew).to(device)), {.seed = 4}) {}

  static std::vector<Phase> changed(std::vector<Phase> two, const Change& change) {
    if (change) change(two);
    return two;
  }
  Numbers all(int64_t member = -1) {
    Numbers numbers;
    for (const char* name : kNames)
      for (double value : values(model, name, member)) numbers.push_back(value);
    return numbers;
  }
  std::vector<int64_t> stops() const {
    std::vector<int64_t> stops;
    for (int64_t m = 0; m < kFew; ++m) stops.push_back(training.stopped(m));
    return stops;
  }
};

/// So many at a time, to the end or to a step.
void take_all(Run& run, int64_t chunk = 64, int64_t until = kSteps, bool capture = true) {
  CapturedSteps steps(run.training, "", capture);
  while (run.training.steps() < until && steps.take(std::min(chunk, until - run.training.steps())) > 0)
    CHECK(steps.captured());
  steps.receive(true);
}

/// Saved and loaded into another.
void hand_over(Run& from, Run& to) {
  const TemporaryDirectory folder;
  const std::string path = (folder.path() / "state.safetensors").string();
  from.training.save(path);
  to.training.load(path);
}

void check_close(const Numbers& a, const Numbers& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(kTolerance));
}

/// A member that is broken from the beginning, and rates with which one breaks in the first phase, one in the
/// second.
void break_one(Run& run) { run.model.parameters().at("decoder.triangle").value.slice(2).fill(800); }
void with_breaking_rates(std::vector<Phase>& two) {
  two[0].rates[3] = kBreaking;
  two[1].rates = {0.02, kBreaking, 0.02, 0.02, 0.02};
}

TEST_SUITE("gpu") {
  TEST_CASE("captured steps: in every phase the GPU adds up and learns what the CPU does") {
    for (Source source : {Source(whole_set), Source(by_fours)}) {
      CAPTURE((source == by_fours));
      Run cpu(Device::cpu, source), gpu(Device::cuda, source);
      CapturedSteps steps(gpu.training);
      const int64_t per_epoch = cpu.training.time().steps_per_epoch;
      std::vector<Numbers> expected(2, Numbers(kFew));  // since the latest epoch or phase began
      int64_t received = 0;
      for (int64_t taken = 0; taken < kSteps; taken = gpu.training.steps()) {
        const int64_t chunk = steps.take(3);
        REQUIRE(chunk > 0);
        CHECK(steps.captured());
        for (int64_t i = 0; i < chunk; ++i) {
          REQUIRE(cpu.training.step());
          const LossTerms& terms = cpu.training.terms();
          for (size_t probe = 0; probe < 2; ++probe)
            for (int64_t m = 0; m < kFew; ++m)
              expected[probe][static_cast<size_t>(m)] +=
                  static_cast<double>(cpu.training.x().size(-2)) * terms.probes[probe].at(m);
        }
        CHECK(gpu.training.phase().name == cpu.training.phase().name);
        CHECK(gpu.training.steps_in_phase() == cpu.training.steps_in_phase());
        CHECK(near(gpu.training.terms().cost, cpu.training.terms().cost, kTolerance));
        CHECK(near(gpu.training.terms().probes[1], cpu.training.terms().probes[1], kTolerance));
        const std::vector<CapturedSteps::Result> results = steps.receive(true);
        REQUIRE(results.size() == 1);
        CHECK(results[0].step == cpu.training.steps());
        for (size_t probe = 0; probe < 2; ++probe)
          check_close(results[0].sums.probes[probe], expected[probe]);
        if (results[0].step % per_epoch == 0 || results[0].step == kEncoder)
          expected.assign(2, Numbers(kFew));
        ++received;
        check_close(gpu.all(), cpu.all());
      }
      CHECK(received >= 5);
      CHECK(steps.take() == 0);
      CHECK_FALSE(cpu.training.step());
      // Neither capturing nor how many are taken at once changes a bit.
      for (bool capture : {true, false}) {
        Run other(Device::cuda, source);
        take_all(other, 64, kSteps, capture);
        CHECK(other.all() == gpu.all());
      }
    }
  }

  TEST_CASE(
      "captured steps: broken off in either phase and resumed, they are those of an unbroken training") {
    for (Source source : {Source(whole_set), Source(by_fours)}) {
      Run unbroken(Device::cuda, source);
      take_all(unbroken);
      for (int64_t stop : {int64_t{3}, kEncoder, kEncoder + 2}) {
        CAPTURE(stop);
        Run first(Device::cuda, source), second(Device::cuda, source);
        take_all(first, 2, stop);
        hand_over(first, second);
        CHECK(second.training.phase().name == (stop > kEncoder ? "generator" : "encoder"));
        take_all(second);
        CHECK(second.training.steps() == kSteps);
        CHECK(second.all() == unbroken.all());
      }
    }
  }

  TEST_CASE("captured steps: a member that stops stays stopped in later phases, and no other notices") {
    Run cpu(Device::cpu, whole_set, with_breaking_rates), gpu(Device::cuda, whole_set, with_breaking_rates),
        sound(Device::cuda), untouched(Device::cpu);
    for (Run* run : {&cpu, &gpu, &untouched}) break_one(*run);
    run(cpu.training);
    take_all(gpu, 3);
    take_all(sound);
    CHECK(cpu.stops() == std::vector<int64_t>{-1, kEncoder + 1, 0, 1, -1});
    CHECK(gpu.stops() == cpu.stops());
    CHECK(gpu.training.steps() == kSteps);
    CHECK(gpu.all(2) == untouched.all(2));
    for (int64_t m : {0, 4}) CHECK(gpu.all(m) == sound.all(m));
    check_close(values(gpu.model, "prior.log_variance", 3), values(untouched.model, "prior.log_variance", 3));
    for (int64_t stop : {kEncoder - 1, kEncoder, kEncoder + 3}) {
      CAPTURE(stop);
      Run first(Device::cuda, whole_set, with_breaking_rates),
          second(Device::cuda, whole_set, with_breaking_rates);
      break_one(first);
      take_all(first, 64, stop);
      hand_over(first, second);
      take_all(second);
      CHECK(second.stops() == cpu.stops());
      CHECK(second.all() == gpu.all());
    }
  }

  TEST_CASE("captured steps: a training of which every member has stopped is over") {
    const auto breaking = [](std::vector<Phase>& two) { two[0].rates = {kBreaking}; };
    Run gpu(Device::cuda, whole_set, breaking);
    CapturedSteps steps(gpu.training);
    int64_t taken = 0;
    while (const int64_t now = steps.take(2)) {
      taken += now;
      steps.receive(true);
    }
    CHECK(taken == 2);
    CHECK(gpu.stops() == std::vector<int64_t>(kFew, 1));
  }

  TEST_CASE("captured steps: phases that look between steps take plain ones, and every phase's end is seen") {
    for (bool looks : {true, false}) {
      CAPTURE(looks);
      std::vector<std::string> seen;
      const auto hook = [&](std::vector<Phase>& two) {
        two[0].steps = 3;
        if (looks)
          two[0].until = [](int64_t, const LossTerms& terms) { return !std::isfinite(terms.cost.at(0)); };
        for (Phase& phase : two)
          phase.after = [&](Training& training) {
            seen.push_back(fmt::format("{} at {}, member 2 stopped at {}", training.phase().name,
                                       training.steps(), training.stopped(2)));
            CHECK(std::isfinite(training.terms().cost.at(0)));
          };
      };
      Run cpu(Device::cpu, whole_set, hook), gpu(Device::cuda, whole_set, hook);
      for (Run* run : {&cpu, &gpu}) break_one(*run);
      run(cpu.training);
      const std::vector<std::string> expected = seen;
      CHECK(expected == std::vector<std::string>{"encoder at 3, member 2 stopped at 0",
                                                 "generator at 9, member 2 stopped at 0"});
      seen.clear();
      CapturedSteps steps(gpu.training);
      while (gpu.training.steps() < 3) {
        CHECK(steps.take() == (looks ? 1 : 3));
        CHECK(steps.captured() != looks);
      }
      CHECK(steps.receive(true).empty() == looks);
      CHECK(steps.take() == kGenerator);
      CHECK(steps.captured());
      CHECK(seen == expected);
      for (int64_t m : {0, 1, 3, 4}) check_close(gpu.all(m), cpu.all(m));
    }
  }

  TEST_CASE("shuffled batches made on the GPU are the CPU's, of one set or of each member's") {
    for (DType dtype : {DType::f64, DType::f32})
      for (const Shape& shape : {Shape{11, 3}, Shape{4, 11, 3}}) {
        const Tensor x = normal(shape, dtype, {.seed = 1});
        const BatchSource here = shuffled_batches(x, 4, 7),
                          there = shuffled_batches(x.to(Device::cuda), 4, 7);
        REQUIRE(there.per_epoch == here.per_epoch);
        for (int64_t step : {0, 1, 2, 3, 4, 5, 1, 8}) {
          CAPTURE(step);
          const Tensor batch = there.batch(step);
          CHECK(batch.device() == Device::cuda);
          CHECK(batch.shape() == here.batch(step).shape());
          CHECK(batch.to_vector() == here.batch(step).to_vector());
        }
      }
  }
}

}  // namespace
}  // namespace elbo
