// Steps of a batch that processes share, on a GPU: plain ones, whose gradients go through the host, with the
// noise that the batch's rows have on the CPU.
#include <doctest/doctest.h>

#include "tests/gpu/near.h"
#include "tests/processes.h"
#include "tests/vae/parts_models.h"
#include "vae/captured_steps.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

using namespace parts_models;

constexpr int64_t kBatch = 12, kFirst = 5, kEnd = 9, kSteps = 4;

std::unique_ptr<Vae> model_of(int64_t members, Device device) {
  return std::make_unique<Vae>(VaeOptions{.dimensions = kDimensions,
                                          .latent = kLatent,
                                          .dtype = DType::f64,
                                          .device = device,
                                          .members = members},
                               own_variance_model, 11);
}

/// The same rows of a batch again and again, and a GPU that could make them by itself.
BatchSource rows_on(Device device) {
  BatchSource source = whole_set(data({kBatch, kDimensions}).slice(kFirst, kEnd).to(device));
  source.rows = [](int64_t) { return BatchRows{kFirst, kBatch}; };
  return source;
}

}  // namespace

TEST_SUITE("gpu") {
  TEST_CASE("a process's share of a batch trains on the GPU as on the CPU, in plain steps") {
    for (int64_t members : {0, 3})
      for (int64_t samples : {1, 4}) {
        CAPTURE(members);
        CAPTURE(samples);
        std::vector<std::unique_ptr<Vae>> models;
        for (Device device : {Device::cpu, Device::cuda}) {
          models.push_back(model_of(members, device));
          Vae& vae = *models.back();
          Board board(1);
          ThreadAllReduce all_reduce(board, 0);
          Training training(vae.parameters(),
                            {{.loss = elbo_loss(vae, {}, samples), .steps = kSteps, .rates = {0.02}}},
                            rows_on(device), {.seed = 4, .all_reduce = &all_reduce});
          CapturedSteps steps(training);
          while (steps.take() > 0) CHECK_FALSE(steps.captured());
          CHECK(training.steps() == kSteps);
          CHECK(training.rows() == kBatch);
        }
        CHECK(near(models[1]->parameters().values(), models[0]->parameters().values(), 1e-9));
        const Tensor before = model_of(members, Device::cpu)->parameters().values();
        CHECK_FALSE(near(models[1]->parameters().values(), before, 1e-3));
      }
  }
}

}  // namespace elbo
