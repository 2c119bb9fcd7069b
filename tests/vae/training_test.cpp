// Training of models that nobody foresaw (toy_model.h): phases, members alone and together, stops,
// checkpoints.
#include "vae/training.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/error_of.h"
#include "tests/heap_counter.h"
#include "tests/temporary_directory.h"
#include "tests/vae/deep_setting.h"
#include "tests/vae/toy_model.h"
#include "vae/elbo_loss.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

using namespace toy;

/// What every step's first probe was, after all of them were taken.
std::vector<Numbers> errors_of(Training& training) {
  std::vector<Numbers> errors;
  while (training.step()) errors.push_back(training.terms().probes[0].to_vector());
  return errors;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("training: each phase moves its own parameters, and a member trains as it would alone") {
    Toy all(kMembers, 0, Device::cpu);
    Training training(all.parameters(), phases(all, rates()), whole_set(data_sets()), {.seed = 4});
    const Numbers decoder = values(all, "decoder.triangle");
    while (training.steps() < kFirst) REQUIRE(training.step());
    CHECK(training.phase().name == "encoder");
    CHECK(values(all, "decoder.triangle") == decoder);
    const Numbers encoder = values(all, "encoder.mean.weight");
    const double before = training.terms().probes[0].at(3);
    run(training);
    CHECK(training.steps() == kFirst + kSecond);
    CHECK(training.phase().name == "generator");
    CHECK(values(all, "encoder.mean.weight") == encoder);
    CHECK(values(all, "decoder.triangle") != decoder);
    CHECK(training.terms().probes[0].at(3) < before);

    for (int64_t m : {0, 7, 19}) {
      Toy alone(0, m, Device::cpu);
      Training own(alone.parameters(), phases(alone, {rates()[static_cast<size_t>(m)]}),
                   whole_set(data_sets().slice(m)), {.seed = 4});
      run(own);
      for (const char* name : kNames) {
        CAPTURE(name);
        const Numbers together = values(all, name, m), apart = values(alone, name);
        REQUIRE(together.size() == apart.size());
        for (size_t i = 0; i < apart.size(); ++i)
          CHECK(together[i] == doctest::Approx(apart[i]).epsilon(1e-11));
      }
    }
  }

  TEST_CASE("training: saved at any step and loaded, it goes on as if nothing had happened") {
    const TemporaryDirectory folder;
    const std::string path = (folder.path() / "state.safetensors").string();
    Toy whole(kMembers, 0, Device::cpu);
    Training unbroken(whole.parameters(), phases(whole, rates()), whole_set(data_sets()), {.seed = 4});
    const std::vector<Numbers> expected = errors_of(unbroken);
    for (int64_t stop : {int64_t{0}, int64_t{1}, kFirst - 1, kFirst, kFirst + 1, kFirst + kSecond}) {
      CAPTURE(stop);
      Toy first(kMembers, 0, Device::cpu), second(kMembers, 0, Device::cpu);
      for (const char* name : kNames)  // what is loaded is all that counts
        second.parameters().at(name).value.fill(0.125);
      Training begun(first.parameters(), phases(first, rates()), whole_set(data_sets()), {.seed = 4});
      while (begun.steps() < stop) begun.step();
      begun.save(path, {{"mine", "kept"}});
      Training resumed(second.parameters(), phases(second, rates()), whole_set(data_sets()), {.seed = 4});
      CHECK(resumed.load(path) == std::map<std::string, std::string>{{"mine", "kept"}});
      CHECK(resumed.steps() == stop);
      CHECK(std::vector(expected.begin() + stop, expected.end()) == errors_of(resumed));
      for (const char* name : kNames) CHECK(values(second, name) == values(whole, name));
    }
  }

  TEST_CASE("training: a member that breaks is stopped where it is, and the others go on as they would") {
    Toy sound(kMembers, 0, Device::cpu), ill(kMembers, 0, Device::cpu);
    ill.parameters().at("decoder.triangle").value.slice(2).fill(800);  // whose exponential is infinite
    Training one(sound.parameters(), phases(sound, rates()), whole_set(data_sets()), {.seed = 4});
    Training other(ill.parameters(), phases(ill, rates()), whole_set(data_sets()), {.seed = 4});
    const Numbers before = values(ill, "encoder.mean.weight", 2);
    run(one);
    run(other);
    CHECK(other.steps() == kFirst + kSecond);
    CHECK(other.stopped(2) == 0);
    CHECK(other.stopped(1) == -1);
    CHECK(values(ill, "encoder.mean.weight", 2) == before);
    for (int64_t m : {1, 3})
      CHECK(values(ill, "decoder.triangle", m) == values(sound, "decoder.triangle", m));
    const TemporaryDirectory folder;
    const std::string path = (folder.path() / "state.safetensors").string();
    other.save(path);
    Training resumed(ill.parameters(), phases(ill, rates()), whole_set(data_sets()), {.seed = 4});
    resumed.load(path);
    CHECK(resumed.stopped(2) == 0);
    CHECK(resumed.stopped(1) == -1);
    for (int64_t m = 0; m < kMembers; ++m) resumed.stop(m, 70);
    CHECK_FALSE(resumed.step());
  }

  TEST_CASE("training: a repeated step touches neither the system's memory nor the heap") {
    const auto check = [](Training& training) {
      for (int i = 0; i < 4; ++i) REQUIRE(training.step());
      const int64_t heap = heap_allocations();
      const uint64_t system = memory_counters().system_allocations;
      for (int i = 0; i < 10; ++i) training.step();
      const int64_t heap_after = heap_allocations();
      CHECK((heap > 0) == counts_heap());
      CHECK(heap_after == heap);
      CHECK(memory_counters().system_allocations == system);
    };
    // A loss of its own with numbers and probes, a data set for each member, two phases, the second clipped.
    Toy toy(kMembers, 0, Device::cpu);
    Training two(toy.parameters(), phases(toy, rates()), whole_set(data_sets()), {.seed = 4});
    check(two);
    while (two.steps() < kFirst) two.step();
    check(two);
    CHECK(two.phase().name == "generator");
    // The ELBO, which differentiates itself, by batches; with a weight that changes, in ensembles, in parts.
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 3})
        for (int64_t samples : {1, 3}) {
          CAPTURE(name(likelihood));
          CAPTURE(members);
          CAPTURE(samples);
          auto vae = small_deep_vae(likelihood, members);
          Tensor x = data_for(likelihood, 100, 4, 8);
          const Loss loss =
              elbo_loss(*vae, {.weights = {{.annealing = KlWeight::Annealing::linear}}}, samples);
          Training one(vae->parameters(), {{.loss = loss, .steps = 100, .clip = 50}},
                       shuffled_batches(x, 5, 1));
          check(one);
          Training whole(vae->parameters(), {{.loss = loss, .steps = 100}}, whole_set(x));
          check(whole);
        }
  }

  TEST_CASE("training: a phase can end before its last step") {
    Toy toy(0, 0, Device::cpu);
    std::vector<Phase> two = phases(toy, {0.01});
    two[0].until = [](int64_t step, const LossTerms& terms) {
      return step == 7 && std::isfinite(terms.cost.item());
    };
    std::vector<int64_t> seen;  // the steps of the second phase, as its loss sees them
    two[1].loss.numbers = [&](const TrainingTime& time) {
      CHECK(time.total_steps == kSecond);
      seen.push_back(time.step);
      return Tensor::full({1}, 1, DType::f64);
    };
    Training training(toy.parameters(), two, whole_set(data_sets().slice(0)), {.seed = 4});
    run(training);
    CHECK(training.steps() == 7 + kSecond);
    CHECK(training.steps_in_phase() == kSecond);
    CHECK(seen.size() == kSecond);
    CHECK(seen.front() == 0);
    CHECK(seen.back() == kSecond - 1);
  }

  TEST_CASE("training: hooks are called at their places, and what they note is in checkpoints as it is") {
    const TemporaryDirectory folder;
    const std::string path = (folder.path() / "state.safetensors").string();
    Toy toy(kMembers, 0, Device::cpu);
    std::vector<std::string> called;
    std::vector<Phase> two = phases(toy, rates());
    two[0].until = [](int64_t step, const LossTerms&) { return step == 3; };
    two[1].steps = 2;
    for (Phase& phase : two) {
      phase.before = [&, name = phase.name](Training& t) {
        called.push_back(fmt::format("before {} {}", name, t.steps()));
        const Phase& now = t.phase();
        CHECK(t.rates_now().at(5) ==
              now.rates[now.rates.size() == 1 ? 0 : 5] * now.schedule.at(t.time().step));
      };
      phase.beside = [&](Training& t) {
        called.push_back(fmt::format("beside {}", t.steps()));
        for (const char* name : kNames) CHECK(t.parameters().at(name).has_gradient);
      };
      phase.after = [&, name = phase.name](Training& t) {
        called.push_back(fmt::format("after {} {}", name, t.steps()));
        t.notes()["of " + name] = Tensor::full({2, 2}, static_cast<double>(t.steps()), DType::f64);
      };
    }
    const auto begin = [&] { return Training(toy.parameters(), two, whole_set(data_sets()), {.seed = 4}); };
    Training training = begin();
    while (training.steps() < 4) training.step();
    training.notes()["mine"] = Tensor::from<double>({3}, {0.1, std::nan(""), -INFINITY});
    training.notes()["count"] = Tensor::full({}, 7, DType::i64);
    training.save(path, {{"extra", "text"}});
    Training resumed = begin();
    resumed.notes()["of another"] = Tensor::zeros({1});
    CHECK(resumed.load(path).size() == 1);
    REQUIRE(resumed.notes().size() == 3);
    CHECK(resumed.notes().at("of encoder").to_vector() == Numbers{3, 3, 3, 3});
    const Numbers mine = resumed.notes().at("mine").to_vector();
    CHECK(mine[0] == 0.1);
    CHECK(std::isnan(mine[1]));
    CHECK(mine[2] == -INFINITY);
    CHECK(resumed.notes().at("count").span<int64_t>()[0] == 7);
    run(resumed);
    CHECK(resumed.notes().at("of generator").at(0) == 5);
    CHECK(called == std::vector<std::string>{"before encoder 0", "beside 0", "before encoder 1", "beside 1",
                                             "before encoder 2", "beside 2", "after encoder 3",
                                             "before generator 3", "beside 3", "before generator 4",
                                             "beside 4", "after generator 5"});
  }

  TEST_CASE("training: equal lengths add up to the whole, in whole epochs") {
    CHECK(equal_lengths(70, 6, 10) == std::vector<int64_t>{10, 10, 10, 10, 10, 20});
    CHECK(equal_lengths(7, 3) == std::vector<int64_t>{2, 2, 3});
    CHECK(error_of([] { equal_lengths(50, 6, 10); }) ==
          "[training] 6 phases of whole epochs need at least 60 steps of 10 to an epoch, and not 50");
    CHECK(error_of([] { equal_lengths(75, 6, 10); }).starts_with("[training] 6 phases of whole epochs"));
    CHECK(error_of([] { equal_lengths(5, 0); }).starts_with("[training] 0 phases"));
  }

  TEST_CASE("training: what cannot be trained is refused before anything is") {
    Toy toy(kMembers, 0, Device::cpu);
    const auto error = [&](Phase phase) {
      return error_of([&] { Training(toy.parameters(), {phase}, whole_set(data_sets())); });
    };
    CHECK(error_of([&] { Training(toy.parameters(), {}, whole_set(data_sets())); }) ==
          "[training] there must be a phase");
    CHECK(error({.name = "first"}) == "[training] phase 'first' has no loss");
    CHECK(error({.name = "first", .loss = toy.loss(), .rates = {1, 2}}) ==
          "[training] phase 'first' has 2 learning rates for 20 members; give one for all or one for each");
    CHECK(error({.loss = toy.loss(), .moves = {"decoder.", "codec."}}) ==
          "[parameters] no trained parameter has a name that begins with 'codec.'");
  }
}

}  // namespace elbo
