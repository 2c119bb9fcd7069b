#include "apps/experiment/linear_unit.h"

#include <algorithm>

#include "apps/experiment/units.h"

namespace elbo {

std::shared_ptr<const LinearInput> load_linear_input(DataOptions& options, uint64_t seed) {
  LinearInput input{.data = load_data(options, seed), .moments = {}, .eigen = {}, .x = {}};
  options.preprocess = name(input.data.preprocessing.kind);
  input.moments = data_moments(input.data.all());
  input.eigen = principal_components(input.moments);
  input.x = centred(input.data.all(), input.moments.mean, DType::f32);
  return std::make_shared<const LinearInput>(std::move(input));
}

FullBatchOptions cosine_training(int64_t steps, double rate, uint64_t seed) {
  return {.steps = steps,
          .schedule = {.kind = Schedule::Kind::cosine, .base = 1, .warmup_steps = 32, .total_steps = steps},
          .rates = {rate},
          .adam = {.beta1 = 0.95, .beta2 = 0.98},
          .seed = seed,
          .evaluate_every = std::max<int64_t>(steps / 20, 1)};
}

double seconds_of_full_batch(LinearVae& vae, const Tensor& x, const DataMoments& moments,
                             FullBatchOptions training) {
  const int64_t steps = training.steps;
  training.evaluate_every = steps;
  return seconds_for_steps(steps, [&](int64_t n) {
    training.steps = n;
    train_full_batch(vae, x, moments, training, {});
  });
}

}  // namespace elbo
