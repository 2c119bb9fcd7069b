// Validation: which evaluation is the best, where patience ends, and what a resumed run finds.
#include "apps/training/validation.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <random>

#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

/// A store of one parameter of two numbers for each member, all of which are `value`.
struct Models {
  ParameterStore store;
  Parameter& parameter;
  explicit Models(int64_t members) : store(DType::f32, members), parameter(store.add("w", {2}, {})) {
    store.initialise(0);
  }
  void set(double value) { parameter.value.fill(value); }
};

std::vector<std::optional<HeldOut>> found(const std::vector<double>& elbos) {
  std::vector<std::optional<HeldOut>> all;
  for (const double elbo : elbos) all.push_back(HeldOut{elbo, 0.5, elbo + 1, 1});
  return all;
}

std::vector<double> best_of(const Validation& validation, int64_t members) {
  Models to(members);
  validation.copy_best(to.store);
  return to.parameter.value.to_vector();
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("the best evaluation is the largest number, and patience counts those since") {
    std::mt19937 random(3);
    for (int trial = 0; trial < 300; ++trial) {
      const int64_t patience = trial % 5;
      std::vector<double> curve;
      for (int i = 0; i < 20; ++i) {
        const int value = static_cast<int>(random() % 9);
        curve.push_back(value == 8 ? std::nan("") : value);
      }
      MemberValidation member;
      int64_t ended = 0;
      for (int64_t i = 0; i < 20 && member.ended == 0; ++i)
        member.take_in(10 * (i + 1), {curve[static_cast<size_t>(i)], 0.1, 0, 0}, patience);
      // The definition, looking back over the whole curve at every evaluation.
      size_t best = 20;
      for (size_t i = 0; i < 20 && ended == 0; ++i) {
        if (!std::isnan(curve[i]) && (best == 20 || curve[i] > curve[best])) best = i;
        const size_t since = best == 20 ? i + 1 : i - best;
        if (patience > 0 && since >= static_cast<size_t>(patience)) ended = 10 * static_cast<int64_t>(i + 1);
      }
      CHECK(member.ended == ended);
      CHECK(member.best_epoch == (best == 20 ? 0 : 10 * static_cast<int64_t>(best + 1)));
      if (best < 20) CHECK(member.best_elbo == curve[best]);
    }
  }

  TEST_CASE("each member's parameters are kept as they were at its own best") {
    const TemporaryDirectory directory;
    const RunDirectory run("train", directory / "run");
    Models models(3);
    Validation validation({.every = 2, .patience = 2}, models.store, run);
    validation.begin();
    CHECK_FALSE(validation.due(1));
    CHECK(validation.due(2));
    const std::vector<std::vector<double>> curves{{1, 2, 3}, {3, 2, 1}, {1, 5, 2}};  // by epoch: 2, 4, 6
    for (size_t i = 0; i < 3; ++i) {
      models.set(static_cast<double>(i + 1));
      validation.take_in(2 * static_cast<int64_t>(i + 1), found(curves[i]), 0);
      CHECK_FALSE(validation.due(2 * static_cast<int64_t>(i + 1)));
    }
    CHECK(best_of(validation, 3) == std::vector<double>{2, 2, 3, 3, 1, 1});
    CHECK(validation.members()[0].best_epoch == 4);
    CHECK(validation.members()[1].best_epoch == 6);
    CHECK(validation.members()[2].best_epoch == 2);
    CHECK_FALSE(validation.ended(0));
    CHECK(validation.ended(2));
    // One that has ended is passed over, and one that broke has nothing to say.
    models.set(9);
    validation.take_in(8, {HeldOut{7, 0, 0, 0}, std::nullopt, HeldOut{99, 0, 0, 0}}, 0);
    CHECK(best_of(validation, 3) == std::vector<double>{9, 9, 3, 3, 1, 1});
    CHECK(validation.members()[1].epoch.size() == 3);
    CHECK(validation.members()[2].best_epoch == 2);
  }

  TEST_CASE("a resumed validation is that of its checkpoint, whatever came after it") {
    const TemporaryDirectory directory;
    const RunDirectory run("train", directory / "run");
    const std::string checkpoint = directory / "run/checkpoint", csv = directory / "run/validation.csv";
    Models models(2);
    const ValidationOptions options{.every = 1, .patience = 5};
    std::string state, rows;
    {
      Validation validation(options, models.store, run);
      validation.begin();
      models.set(1);
      validation.take_in(1, found({-0.1, 1.0 / 3}), 0);
      models.set(2);
      validation.take_in(2, {HeldOut{-2, 0, 0, 0}, HeldOut{std::nan(""), 0, 0, 0}}, 0);
      state = validation.save(20);
      validation.saved();
      rows = read_file(csv);
      // Then the run goes on, is better, writes what the next checkpoint needs, and dies before that.
      models.set(3);
      validation.take_in(3, found({8, 9}), 0);
      CHECK(validation.save(30) != state);
    }
    CHECK(std::filesystem::exists(checkpoint + "/best-20.safetensors"));
    CHECK(std::filesystem::exists(checkpoint + "/best-30.safetensors"));
    models.set(4);
    Validation again(options, models.store, run);
    again.resume(state);
    CHECK(read_file(csv) == rows);
    CHECK(best_of(again, 2) == std::vector<double>{1, 1, 1, 1});
    CHECK(again.members()[1].best_elbo == 1.0 / 3);
    CHECK(again.members()[0].epoch == std::vector<double>{1, 2});
    CHECK(again.members()[0].elbo == std::vector<double>{-0.1, -2});
    CHECK(again.members()[1].since_best == 1);
    CHECK(again.save(20) == state);
    again.saved();
    CHECK_FALSE(std::filesystem::exists(checkpoint + "/best-30.safetensors"));
    again.take_in(3, found({8, 0}), 0);
    again.save(30);
    again.saved();
    CHECK(best_of(again, 2) == std::vector<double>{4, 4, 1, 1});
    CHECK_FALSE(std::filesystem::exists(checkpoint + "/best-20.safetensors"));
  }

  TEST_CASE("a state of another run is refused") {
    const TemporaryDirectory directory;
    const RunDirectory run("train", directory / "run");
    Models models(2), alone(0);
    Validation validation({.every = 1}, models.store, run);
    validation.begin();
    validation.take_in(1, found({1, 2}), 0);
    const std::string state = validation.save(5);
    Validation other({.every = 1}, alone.store, run);
    CHECK(mentions(error_of([&] { other.resume(state); }), "it is of 2 members"));
    for (const char* broken : {"", "{}", "[]", "{\"last_epoch\": 1}"})
      CHECK(mentions(error_of([&] { Validation({.every = 1}, models.store, run).resume(broken); }),
                     "does not go on with this validation"));
  }

  TEST_CASE("patience without evaluations, and evaluations that no epoch has, are refused") {
    CHECK(mentions(error_of([] { check({.every = 0, .patience = 3}, 10); }), "give --validate-every too"));
    CHECK(mentions(error_of([] { check({.every = 11}, 10); }), "there is no epoch 11; training has 10"));
    check({.every = 10, .patience = 1}, 10);
    check({}, 10);
  }
}

}  // namespace elbo
