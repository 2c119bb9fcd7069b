// Checkpoints: what is in them comes back, and one of broken numbers takes no good one's place.
#include "nn/checkpoint.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

/// A store of two parameters, of several members or one, and an optimiser with moments.
struct Model {
  ParameterStore store;
  std::unique_ptr<Adam> adam;
  explicit Model(int64_t members = 0, uint64_t seed = 0) : store(DType::f32, members) {
    store.add("weight", {3, 2}, parse_initializer("normal:1"));
    store.add("fixed", {2}, parse_initializer("normal:1"), false);
    store.initialise(seed);
    adam = std::make_unique<Adam>(store);
    store.at("weight").gradient.fill(0.5);
    store.at("weight").has_gradient = true;
    adam->step(0.1);
  }
  float& number(const char* parameter, int64_t at) { return store.at(parameter).value.data<float>()[at]; }
};

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("a checkpoint gives back parameters, moments, steps and text") {
    const TemporaryDirectory directory;
    Model model, other(0, 1);
    save_checkpoint(directory / "state", model.store, *model.adam, {{"epoch", "3"}});
    CHECK(load_checkpoint(directory / "state", other.store, *other.adam).at("epoch") == "3");
    CHECK(other.adam->steps() == 1);
    CHECK(other.store.at("weight").value.to_vector() == model.store.at("weight").value.to_vector());
    CHECK(other.adam->second_moment().to_vector() == model.adam->second_moment().to_vector());
  }

  TEST_CASE("a checkpoint of broken numbers leaves the one before") {
    const TemporaryDirectory directory;
    const std::string path = directory / "state";
    const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
    for (const char* where : {"weight", "fixed", "first", "second"})
      for (float bad : {nan, infinity, -infinity}) {
        CAPTURE(where);
        Model model;
        save_checkpoint(path, model.store, *model.adam, {});
        const std::string before = read_file(path);
        CHECK(first_not_finite(model.store, *model.adam) == std::vector<std::string>{""});
        std::string name = where;
        if (name == "weight" || name == "fixed") {
          model.number(where, 1) = bad;
        } else {
          const Tensor& moment = name == "first" ? model.adam->first_moment() : model.adam->second_moment();
          Tensor(moment).data<float>()[4] = bad;
          name = "adam." + name + "_moment";
        }
        CHECK(first_not_finite(model.store, *model.adam) == std::vector{name});
        CHECK_THROWS_WITH_AS(save_checkpoint(path, model.store, *model.adam, {}),
                             doctest::Contains((name + " is not finite").c_str()), Error);
        CHECK(read_file(path) == before);
        CHECK(directory.entries() == 1);
      }
  }

  TEST_CASE("a checkpoint is written while one member is whole") {
    const TemporaryDirectory directory;
    for (int64_t whole : {0, 1, 2}) {
      Model model(3);
      for (int64_t member = 0; member < 3; ++member)
        if (member != whole) model.number("weight", 6 * member + 5) = std::nanf("");
      save_checkpoint(directory / "state", model.store, *model.adam, {});
      std::vector<std::string> broken(3, "weight");
      broken[static_cast<size_t>(whole)] = "";
      CHECK(first_not_finite(model.store, *model.adam) == broken);
      CHECK(has_finite_member(model.store, *model.adam));
      model.number("weight", 6 * whole) = std::nanf("");
      CHECK_FALSE(has_finite_member(model.store, *model.adam));
      CHECK_THROWS_AS(save_checkpoint(directory / "state", model.store, *model.adam, {}), Error);
    }
  }
}

}  // namespace elbo
