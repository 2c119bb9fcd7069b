#include "vae/two_stage.h"

#include "autograd/ops.h"
#include "tensor/error.h"
#include "vae/aggregate_posterior.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

/// Beyond the steps whose numbers a training draws for itself.
constexpr uint64_t kOfCodes = uint64_t{1} << 31;

}  // namespace

DeepVaeOptions second_stage(const Vae& first, const SecondStage& options, int64_t first_member) {
  return {.dimensions = first.latent(),
          .latent = first.latent(),
          .encoder_hidden = options.hidden,
          .decoder_hidden = options.hidden,
          .sigma2 = {options.sigma2},
          .dtype = first.dtype(),
          .device = first.device(),
          .members = first.has_members() ? first.models() : 0,
          .first_member = first_member};
}

Tensor draw_codes(const Codes& codes, const RandomKey& key) {
  const int64_t members = codes.mean.rank() == 3 ? codes.mean.size(0) : 1;
  return reparameterize_kl(codes.mean, codes.log_variance, key, members).z.value();
}

BatchSource code_batches(const Vae& first, const Codes& codes, int64_t batch, uint64_t seed) {
  const int64_t k = first.latent();
  if (codes.mean.rank() != (first.has_members() ? 3 : 2) || codes.mean.size(-1) != k)
    fail("[two-stage] codes {} are not those of this model", codes.mean.shape().str());
  const Tensor both =
      concat({codes.mean.to(first.device()), codes.log_variance.to(first.device())}, -1).value();
  const BatchSource rows = shuffled_batches(both, batch, seed);
  const RandomKey key = for_members_of(first, {.seed = seed, .stream = kLatentNoise, .step = kOfCodes});
  const auto next = [rows, key, k](int64_t step) {
    const Variable q = rows.batch(step);
    RandomKey of_step = key;
    of_step.step += static_cast<uint64_t>(step);
    return draw_codes({slice(q, -1, 0, k).value(), slice(q, -1, k, 2 * k).value()}, of_step);
  };
  return {rows.per_epoch, next};
}

TwoStageDraws draw_two_stages(const Vae& first, const Vae& second, int64_t n, uint64_t seed) {
  if (second.dimensions() != first.latent() || second.has_members() != first.has_members() ||
      second.models() != first.models())
    fail("[two-stage] {} models of {} dimensions are no second stage of {} with {} latent ones",
         second.models(), second.dimensions(), first.models(), first.latent());
  const Tensor z = draw_points(second, n, seed);
  return {z, first.decode(z).mean.value()};
}

}  // namespace elbo
