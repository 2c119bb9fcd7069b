// Parameters as files: a member's come back by name, in PyTorch's layouts, and what does not fit changes
// nothing.
#include "nn/parameter_file.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

constexpr Initializer kNormal{Initializer::Kind::normal, 1};

/// A layer, a convolution's weight, and a number that is given.
void declare(ParameterStore& store, uint64_t seed) {
  store.add("layer.weight", {3, 2}, kNormal);
  store.add("conv.weight", {2, 3, 4, 5}, kNormal);
  store.add("given", {1}, kNormal, false);
  store.initialise(seed);
}

std::vector<double> values(const ParameterStore& store, int64_t member = -1) {
  std::vector<double> all;
  for (const Parameter& parameter : store.all())
    for (double value : (member < 0 ? parameter.value : parameter.value.slice(member)).to_vector())
      all.push_back(value);
  return all;
}

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("parameter file: a member of an ensemble comes back as a model of its own or as another member") {
    const TemporaryDirectory folder;
    ParameterStore all(DType::f64, 3), alone(DType::f64), others(DType::f64, 2);
    declare(all, 1);
    declare(alone, 2);
    declare(others, 3);
    save_parameters(folder / "member.safetensors", all, 1, {{"made", "by hand"}});
    CHECK(folder.entries() == 1);
    const SafetensorsFile file = read_safetensors(folder / "member.safetensors");
    CHECK(file.metadata == std::map<std::string, std::string>{{"made", "by hand"}});
    load_parameters(file, alone);
    CHECK(values(alone) == values(all, 1));
    const std::vector<double> untouched = values(others, 0);
    load_parameters(file, others, 1);
    CHECK(values(others, 1) == values(all, 1));
    CHECK(values(others, 0) == untouched);
    // (C_out, KH, KW, C_in) here, (C_out, C_in, KH, KW) there.
    const Tensor& there = file.at("conv.weight");
    REQUIRE(there.shape() == Shape{2, 5, 3, 4});
    for (int64_t o = 0; o < 2; ++o)
      for (int64_t yx = 0; yx < 12; ++yx)
        for (int64_t i = 0; i < 5; ++i)
          CHECK(there.at((o * 5 + i) * 12 + yx) == alone.at("conv.weight").value.at((o * 12 + yx) * 5 + i));
  }

  TEST_CASE("parameter file: what does not fit is told in one line and changes nothing") {
    const TemporaryDirectory folder;
    ParameterStore store(DType::f64), other(DType::f64, 2);
    declare(store, 1);
    declare(other, 2);
    save_parameters(folder / "model.safetensors", store);
    const SafetensorsFile whole = read_safetensors(folder / "model.safetensors");
    const std::vector<double> before = values(other);
    const auto refusal = [&](auto change) {
      SafetensorsFile file = whole;
      file.path = "model.safetensors";
      change(file);
      const std::string text = error_of([&] { load_parameters(file, other, 1); });
      CHECK(values(other) == before);
      return text;
    };
    CHECK(refusal([](SafetensorsFile& f) { f.tensors[2].value = Tensor::zeros({2}, DType::f64); }) ==
          "[load] model.safetensors: given is f64 (2,), the model needs f64 (1,)");
    CHECK(refusal([](SafetensorsFile& f) { f.tensors[2].value = Tensor::zeros({1}); }) ==
          "[load] model.safetensors: given is f32 (1,), the model needs f64 (1,)");
    CHECK(refusal([](SafetensorsFile& f) {
            f.tensors.push_back({"more", Tensor::zeros({1})});
          }) == "[load] model.safetensors: a model of these parts has 3 tensors, the file has 4");
    CHECK(mentions(refusal([](SafetensorsFile& f) { f.tensors.pop_back(); }), "given"));
    CHECK(error_of([&] { load_parameters(whole, other, 2); }) == "[parameters] there is no member 2 among 2");
    CHECK(error_of([&] { save_parameters(folder / "no.safetensors", store, 1); }) ==
          "[parameters] there is no member 1 among 1");
    CHECK(folder.entries() == 1);
  }
}

}  // namespace elbo
