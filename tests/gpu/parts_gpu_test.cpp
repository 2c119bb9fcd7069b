// Models made of parts (tests/vae/parts_models.h) in captured steps on the GPU, beside the CPU's loop.
#include <doctest/doctest.h>

#include "tests/gpu/near.h"
#include "tests/vae/parts_models.h"
#include "vae/captured_training.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

using namespace parts_models;

constexpr int64_t kMembers = 3, kPoints = 12, kSteps = 6;
constexpr double kRate = 0.02;

TEST_SUITE("gpu") {
  TEST_CASE("captured training: every model made of parts trains as it does on the CPU") {
    const Tensor x = data({kPoints, kDimensions}), there = x.to(Device::cuda);
    for (const Model& model : models())
      for (int64_t samples : {1, 4}) {
        CAPTURE(std::string(model.name));
        CAPTURE(samples);
        const auto on_cpu = make(model, kMembers), on_gpu = make(model, kMembers, 0, Device::cuda);
        Training cpu(on_cpu->parameters(),
                     {{.loss = elbo_loss(*on_cpu, {}, samples), .steps = kSteps, .rates = {kRate}}},
                     whole_set(x), {.seed = 4});
        while (cpu.step()) {
        }
        Adam adam(on_gpu->parameters());
        CapturedTraining gpu(on_gpu->parameters(), adam, elbo_loss(*on_gpu, {}, samples), {.seed = 4},
                             [&](int64_t, const Tensor&) { return there; });
        std::vector<CapturedTraining::Step> steps;
        for (int64_t step = 0; step < kSteps; ++step)
          steps.push_back({step, {step, 1, kSteps}, kPoints, 0, 0, std::vector<double>(kMembers, kRate)});
        gpu.run(steps);
        for (int64_t stopped : gpu.read().wait().stopped) CHECK(stopped == -1);
        CHECK(gpu.nodes() > 0);
        for (const Parameter& parameter : on_cpu->parameters().all()) {
          CAPTURE(parameter.name);
          CHECK(near(on_gpu->parameters().at(parameter.name).value, parameter.value, 1e-8));
        }
      }
  }
}

}  // namespace
}  // namespace elbo
