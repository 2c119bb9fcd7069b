// The whole cost of a small VAE in one op on the GPU (vae/small_vae.h), beside the plain ops of the CPU.
#include "tests/vae/small_vae.h"

#include "tests/gpu/near.h"
#include "vae/captured_training.h"
#include "vae/training.h"

namespace elbo {
namespace {

using namespace small_vae_tests;

constexpr Device kGpu = Device::cuda;
TEST_SUITE("gpu") {
  TEST_CASE("small VAEs: cost, probes and gradients of every model, as plain ops have them") {
    check_every_model(DType::f32, kGpu, 50);
  }

  TEST_CASE("small VAEs: samples in shares, of parts, of rows of a larger batch; parts of many rows") {
    check_shares(DType::f32, kGpu);
    check_as_plain(made_of("own variance", parts_models::own_variance_model), {.rows = 256 * 48 + 1000}, 0,
                   kGpu);
  }

  TEST_CASE("small VAEs: what the op does not take is left to plain ops") {
    check_left_to_plain_ops(kGpu, {made_of("f64", parts_models::own_variance_model, DType::f64),
                                   deep("wide", Likelihood::bernoulli, {65}, 5, 2),
                                   deep("wide data", Likelihood::bernoulli, {8}, 65, 2),
                                   deep("many layers", Likelihood::gaussian, {4, 4, 4, 4, 4, 4, 4}, 5, 2)});
  }

  TEST_CASE("small VAEs: a member's bits are those that it has alone, beside one that broke") {
    check_members_apart(kGpu, 130);
  }

  TEST_CASE("small VAEs: gradients add up, and without a tape there are none") {
    check_gradients_add_up(kGpu);
  }

  TEST_CASE("small VAEs: a captured step is a handful of kernels, and trains as the CPU does") {
    const Model model = models()[5];
    const Batch batch{.rows = 60, .samples = 2, .shared_x = false};
    const Tensor x = x_of(model, batch, 3), there = x.to(kGpu);
    const auto on_cpu = model.make(Device::cpu, 3, 0), on_gpu = model.make(kGpu, 3, 0);
    constexpr int64_t kSteps = 5;
    Training cpu(on_cpu->parameters(),
                 {{.loss = elbo_loss(*on_cpu, {}, batch.samples), .steps = kSteps, .rates = {1e-3}}},
                 whole_set(x), {.seed = 4});
    while (cpu.step()) {
    }
    Adam adam(on_gpu->parameters());
    CapturedTraining gpu(on_gpu->parameters(), adam, elbo_loss(*on_gpu, {}, batch.samples), {.seed = 4},
                         [&](int64_t, const Tensor&) { return there; });
    std::vector<CapturedTraining::Step> steps;
    for (int64_t step = 0; step < kSteps; ++step)
      steps.push_back({step, {step, 1, kSteps}, batch.rows, 0, 0, std::vector<double>(3, 1e-3)});
    gpu.run(steps);
    for (int64_t stopped : gpu.read().wait().stopped) CHECK(stopped == -1);
    for (const Parameter& parameter : on_cpu->parameters().all()) {
      CAPTURE(parameter.name);
      CHECK(near(on_gpu->parameters().at(parameter.name).value, parameter.value, 1e-4));
    }
    CHECK(gpu.nodes() > 0);
    CHECK(gpu.nodes() <= 7);  // plain ops: 27
  }
}

}  // namespace
}  // namespace elbo
