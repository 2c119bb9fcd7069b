// The whole cost of a small VAE in one op on the GPU (vae/small_vae.h), beside the plain ops of the CPU.
#include "tests/vae/small_vae.h"

#include "autograd/tape.h"
#include "tests/gpu/near.h"
#include "vae/captured_training.h"
#include "vae/training.h"

namespace elbo {
namespace {

using namespace small_vae_tests;

constexpr Device kGpu = Device::cuda;
// In f32 both round, and a normal's last bits differ between the devices.
constexpr double kTolerance = 2e-5;

void check_as_on_cpu(const Model& model, const Batch& batch, int64_t members) {
  CAPTURE(model.name);
  CAPTURE(members);
  CAPTURE(batch.rows);
  CAPTURE(batch.samples);
  CAPTURE(batch.shared_x);
  const Tensor x = x_of(model, batch, members);
  const auto on_cpu = model.make(Device::cpu, members, 2), on_gpu = model.make(kGpu, members, 2);
  const Found here = differentiated(*on_cpu, x, batch, Way::plain_ops),
              there = differentiated(*on_gpu, x, batch);
  CHECK(there.in_one_op);
  CHECK(near(there.terms.cost, here.terms.cost, kTolerance));
  REQUIRE(there.terms.probes.size() == here.terms.probes.size());
  for (size_t i = 0; i < here.terms.probes.size(); ++i) {
    CAPTURE(i);
    CHECK(near(there.terms.probes[i], here.terms.probes[i], kTolerance));
  }
  for (size_t i = 0; i < here.gradients.size(); ++i) {
    CAPTURE(on_cpu->parameters().all()[i].name);
    REQUIRE(there.gradients[i].defined() == here.gradients[i].defined());
    if (here.gradients[i].defined()) CHECK(near(there.gradients[i].to(kGpu), here.gradients[i], kTolerance));
  }
}

TEST_SUITE("gpu") {
  TEST_CASE("small VAEs: cost, probes and gradients of every model, as plain ops have them") {
    for (const Model& model : models())
      for (const int64_t members : {0, 3})
        for (const bool shared_x : {true, false})
          for (const Batch& batch : {Batch{1, 1, shared_x}, Batch{50, 2, shared_x}})
            if (members > 0 || shared_x) check_as_on_cpu(model, batch, members);
  }

  TEST_CASE("small VAEs: samples in shares, of parts, of rows of a larger batch; parts of many rows") {
    const Model own_variance = made_of("own variance", parts_models::own_variance_model),
                in_parts = made_of("in parts", many_parts);
    check_as_on_cpu(own_variance, {.rows = 3, .samples = 45}, 0);
    check_as_on_cpu(own_variance, {.rows = 100, .samples = 9}, 2);
    check_as_on_cpu(in_parts, {.rows = 10, .samples = 6}, 2);
    check_as_on_cpu(own_variance, {.rows = 10, .samples = 3, .of = {.first = 7, .all = 40}}, 2);
    check_as_on_cpu(own_variance, {.rows = 256 * 48 + 1000}, 0);
  }

  TEST_CASE("small VAEs: what the op does not take is left to plain ops") {
    const Batch batch;
    for (const Model& model :
         {made_of("learned prior", parts_models::learned_prior_model),
          made_of("a variance for all points", parts_models::global_variance_model),
          made_of("a variance for each dimension", parts_models::variance_of_dimensions_model),
          made_of("f64", parts_models::own_variance_model, DType::f64),
          deep("wide", Likelihood::bernoulli, {65}, 5, 2),
          deep("wide data", Likelihood::bernoulli, {8}, 65, 2),
          deep("many layers", Likelihood::gaussian, {4, 4, 4, 4, 4, 4, 4}, 5, 2)}) {
      CAPTURE(model.name);
      const auto vae = model.make(kGpu, 0, 0);
      CHECK(!suits_small_vae_cost(*vae));
      CHECK(!differentiated(*vae, x_of(model, batch, 0), batch).in_one_op);
    }
    const auto vae = models()[0].make(kGpu, 0, 0);
    CHECK(suits_small_vae_cost(*vae));
    const Loss loss = elbo_loss(*vae, {.penalty = Objective::Penalty::free_bits});
    TapeTrace trace;
    differentiate(loss, x_of(models()[0], batch, 0).to(kGpu), {}, {.seed = 9, .stream = kLatentNoise});
    CHECK(!is_in(trace));
  }

  TEST_CASE("small VAEs: a member's bits are those that it has alone, beside one that broke") {
    const Model model = models()[5];
    const Batch batch{.rows = 130, .samples = 9, .shared_x = false};
    constexpr int64_t kMembers = 3;
    const Tensor x = x_of(model, batch, kMembers);
    const auto together = model.make(kGpu, kMembers, 0);
    together->parameters().at("decoder.1.weight").value.slice(1).fill(NAN);
    const Found all = differentiated(*together, x, batch);
    for (const int64_t m : {0, 2}) {
      CAPTURE(m);
      const auto alone = model.make(kGpu, 1, m);
      const Found own = differentiated(*alone, x.slice(m, m + 1), batch);
      CHECK(own.terms.cost.at(0) == all.terms.cost.at(m));
      for (size_t i = 0; i < own.gradients.size(); ++i)
        CHECK(own.gradients[i].to_vector() == all.gradients[i].slice(m, m + 1).to_vector());
    }
    CHECK(std::isnan(all.terms.cost.at(1)));
  }

  TEST_CASE("small VAEs: gradients add up, and without a tape there are none") {
    const Model model = models()[0];
    const auto vae = model.make(kGpu, 2, 0);
    const Batch batch;
    const Tensor x = x_of(model, batch, 2).to(kGpu), weight = Tensor::full({2}, 1, DType::f32, kGpu);
    const RandomKey key{.seed = 9, .stream = kLatentNoise};
    const auto cost = [&] { return small_vae_cost(*vae, x, weight, key, 1, 1, {}).cost; };
    const auto backward = [&] {
      Tape tape;
      const Variable found = cost();
      backward_of_each(tape, found);
      return found.value().to_vector();
    };
    const std::vector<double> value = backward();
    const Tensor& gradient = vae->parameters().at("decoder.0.weight").gradient;
    const Tensor once = gradient.to(Device::cpu).clone();
    backward();
    CHECK(near(gradient, (Variable(once) * 2).value(), 1e-7));
    vae->parameters().consume_gradients();
    CHECK(cost().value().to_vector() == value);
    CHECK(!vae->parameters().at("decoder.0.weight").has_gradient);
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
