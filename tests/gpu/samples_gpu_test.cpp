// Many samples of z in a step on the GPU: all parts at once, or as many as memory allows, with the noise that
// the CPU's parts draw one after another.
#include <doctest/doctest.h>

#include "tests/gpu/near.h"
#include "tests/vae/parts_models.h"
#include "vae/captured_training.h"
#include "vae/elbo_loss.h"
#include "vae/linear_likelihood.h"
#include "vae/luecke_models.h"
#include "vae/training.h"

namespace elbo {
namespace {

using namespace parts_models;

constexpr int64_t kPoints = 12, kSteps = 4;
constexpr double kRate = 0.02, kTolerance = 1e-9;

/// The number of parts, and how many of them fit in a GPU's memory, follow from the width that a decoder says
/// its activations have. `widest` makes them as many as one likes, of a small network.
std::unique_ptr<Vae> model_of(int64_t widest, int64_t members, Device device) {
  return std::make_unique<Vae>(
      VaeOptions{.dimensions = kDimensions,
                 .latent = kLatent,
                 .dtype = DType::f64,
                 .device = device,
                 .members = members,
                 .first_member = 2},
      [=](ParameterStore& store) {
        Parts parts = own_variance_model(store);
        parts.widest = widest;
        return parts;
      },
      11);
}

struct Case {
  const char* name;
  int64_t samples, widest;
};
// The bytes of one sample of one member are 12 points * widest * 8. A part is 512 KiB, a group 256 MiB.
constexpr Case kOneGroup[] = {{"4 parts of 3", 12, 2048}, {"6 parts of 1", 6, 8192}};
constexpr Case kGroups[] = {
    {"7 parts of 1, one model's in 2 groups, three members' in 7", 7, int64_t{1} << 19},
    {"10 parts of 1, three members' in 2 groups", 10, int64_t{1} << 17}};

size_t nodes_of(const Case& c, int64_t members) {
  const Tensor x = data({kPoints, kDimensions}).to(Device::cuda);
  const auto vae = model_of(c.widest, members, Device::cuda);
  Adam adam(vae->parameters());
  CapturedTraining training(vae->parameters(), adam, elbo_loss(*vae, {}, c.samples), {.seed = 4},
                            [&](int64_t, const Tensor&) { return x; });
  const auto models = static_cast<size_t>(vae->models());
  std::vector<CapturedTraining::Step> steps(2,
                                            {.rows = kPoints, .rates = std::vector<double>(models, kRate)});
  training.run(steps);
  return training.nodes();
}

template <class Make>
void check_training(const Make& make, int64_t samples, bool capture) {
  CAPTURE(capture);
  const std::unique_ptr<Vae> on_cpu = make(Device::cpu), on_gpu = make(Device::cuda);
  const Tensor x = data({kPoints, on_cpu->dimensions()}), there = x.to(Device::cuda);
  Training cpu(on_cpu->parameters(),
               {{.loss = elbo_loss(*on_cpu, {}, samples), .steps = kSteps, .rates = {kRate}}}, whole_set(x),
               {.seed = 4});
  while (cpu.step()) {
  }
  Adam adam(on_gpu->parameters());
  CapturedTraining gpu(on_gpu->parameters(), adam, elbo_loss(*on_gpu, {}, samples),
                       {.seed = 4, .capture = capture}, [&](int64_t, const Tensor&) { return there; });
  const auto models = static_cast<size_t>(on_gpu->models());
  std::vector<CapturedTraining::Step> steps;
  for (int64_t step = 0; step < kSteps; ++step)
    steps.push_back({step, {step, 1, kSteps}, kPoints, 0, 0, std::vector<double>(models, kRate)});
  gpu.run(steps);
  for (int64_t stopped : gpu.read().wait().stopped) CHECK(stopped == -1);
  CHECK(near(gpu.terms().cost, cpu.terms().cost, kTolerance));
  for (size_t i = 0; i < cpu.terms().probes.size(); ++i)
    CHECK(near(gpu.terms().probes[i], cpu.terms().probes[i], kTolerance));
  for (const Parameter& parameter : on_cpu->parameters().all()) {
    CAPTURE(parameter.name);
    CHECK(near(on_gpu->parameters().at(parameter.name).value, parameter.value, kTolerance));
  }
}

TEST_SUITE("gpu") {
  TEST_CASE("many samples: steps have the CPU's noise, its terms and its gradients") {
    for (const auto& cases : {std::span<const Case>(kOneGroup), std::span<const Case>(kGroups)})
      for (const Case& c : cases)
        for (int64_t members : {0, 3})
          for (bool capture : {false, true}) {
            CAPTURE(std::string(c.name));
            CAPTURE(members);
            check_training([&](Device device) { return model_of(c.widest, members, device); }, c.samples,
                           capture);
          }
  }

  TEST_CASE(
      "many samples: a linear last layer, whose output a GPU makes and the CPU does not, in one part and in "
      "two") {
    for (int64_t samples : {4, 1024})
      for (int64_t members : {0, 3})
        for (bool capture : {false, true}) {
          CAPTURE(samples);
          CAPTURE(members);
          const auto make = [&](Device device) {
            return luecke_vae(LueckeModel::vae1,
                              {.dimensions = 130,
                               .latent = 11,
                               .hidden = {5},
                               .dtype = DType::f64,
                               .device = device,
                               .members = members,
                               .first_member = 2},
                              11);
          };
          REQUIRE(suits_linear_likelihood(*make(Device::cuda), samples));
          check_training(make, samples, capture);
        }
  }

  TEST_CASE("many samples: a step's kernels are as many as its groups, not its samples, ask for") {
    for (int64_t members : {0, 3}) {
      CAPTURE(members);
      const size_t in_one_part = nodes_of({"", 4, 8}, members);
      CHECK(in_one_part > 0);
      // Sums of many terms, and products that the library cuts, take a kernel more.
      for (const Case& c : kOneGroup) CHECK(nodes_of(c, members) < in_one_part + 10);
      CHECK(nodes_of({"", 240, 2048}, members) < in_one_part + 10);
    }
    CHECK(nodes_of(kGroups[0], 0) < nodes_of(kGroups[0], 3));
    CHECK(nodes_of(kGroups[1], 0) < nodes_of(kGroups[1], 3));
  }
}

}  // namespace
}  // namespace elbo
