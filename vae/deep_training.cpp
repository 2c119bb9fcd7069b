#include "vae/deep_training.h"

#include <algorithm>
#include <cmath>

#include "autograd/tape.h"
#include "tensor/map.h"

namespace elbo {
namespace {

/// Bytes that one member's activations of the widest layer may take in one part.
constexpr int64_t kPartBytes = 1 << 19;

/// How many parts the samples are decoded in; it divides them. The same for a member of an ensemble as alone.
/// Each part has noise of its own, so that their number must not depend on how many members there are: a
/// member draws what it would draw alone. Batch normalisation is of the batch as a whole.
int64_t parts_of(const DeepVae& vae, int64_t points, int64_t samples) {
  const DeepVaeOptions& o = vae.options();
  if (vae.has_batch_norm()) return 1;
  const int64_t one_sample = points * widest_activation(o) * size_of(o.dtype);
  int64_t parts = std::clamp<int64_t>(samples * one_sample / kPartBytes, 1, samples);
  while (samples % parts != 0) ++parts;
  return parts;
}

/// Mean over the points, and over the samples if there are any: () or (M).
Variable batch_mean(const DeepVae& vae, const Variable& per_point) {
  const int lead = vae.options().members > 0 ? 1 : 0;
  return per_point.rank() == lead + 2 ? mean(per_point, {-2, -1}) : mean(per_point, {-1});
}

/// The gradient of the members' costs, () or (M), together: none depends on another's parameters.
void backward_of_each(Tape& tape, const Variable& costs) {
  tape.backward(costs, Tensor::full(costs.shape(), 1, costs.dtype(), costs.value().device()));
}

BatchTerms differentiate_at_once(DeepVae& vae, const Tensor& x, const Objective& objective,
                                 const Tensor& penalty, const RandomKey& key, int64_t samples) {
  Tape tape;
  const Posterior q = vae.encode(x, Mode::train);
  const PosteriorTerms drawn = reparameterize_kl(q.mean, q.log_variance, key, vae.models(), samples);
  const Variable log_likelihood = batch_mean(vae, vae.log_likelihood(x, vae.decode(drawn.z, Mode::train)));
  const Variable kl = mean(drawn.kl, {-1});
  backward_of_each(tape, weighted_penalty(objective, penalty, q, kl) - log_likelihood);
  return {log_likelihood.value(), kl.value()};
}

Parameter leaf(const Tensor& value) {
  return {"", value, Tensor::empty(value.shape(), value.dtype(), value.device()), false};
}

/// First the likelihood, part by part, down to the posterior's parameters; then the encoder, once.
BatchTerms differentiate_in_parts(DeepVae& vae, const Tensor& x, const Objective& objective,
                                  const Tensor& penalty, const RandomKey& key, int64_t samples,
                                  int64_t parts) {
  const Posterior q = vae.encode(x);  // no tape: plain values
  Parameter q_mean = leaf(q.mean.value()), q_log_variance = leaf(q.log_variance.value());
  Tensor log_likelihood;
  for (int64_t part = 0; part < parts; ++part) {
    Tape tape;
    RandomKey part_key = key;
    part_key.step = key.step * static_cast<uint64_t>(parts) + static_cast<uint64_t>(part);
    part_key.counter_factor = key.counter_factor * static_cast<uint64_t>(parts);
    const Variable z = reparameterize_kl(q_mean, q_log_variance, part_key, vae.models(), samples / parts).z;
    const Variable share =
        batch_mean(vae, vae.log_likelihood(x, vae.decode(z, Mode::train))) / static_cast<double>(parts);
    backward_of_each(tape, -share);
    if (part == 0)
      log_likelihood = share.value();
    else
      add_into(log_likelihood, share.value());
  }
  Tape tape;
  const Posterior again = vae.encode(x, Mode::train);
  const Variable kl = mean(sum(gaussian_kl(again.mean, again.log_variance), {-1}), {-1});
  // Linear in the encoder's outputs, with the gradients found above as slopes.
  const Variable slope =
      sum(again.mean * q_mean.gradient) + sum(again.log_variance * q_log_variance.gradient);
  tape.backward(sum(weighted_penalty(objective, penalty, again, kl)) + slope);
  return {log_likelihood, kl.value()};
}

bool is_finite(const Variable& x, int64_t member, bool has_members) {
  if (!x.value().defined()) return true;
  const Tensor own = has_members ? x.value().slice(member) : x.value();
  const std::vector<double> values = own.to_vector();
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

BatchTerms differentiate(DeepVae& vae, const Tensor& x, const Objective& objective, const TrainingTime& time,
                         const RandomKey& key, int64_t samples) {
  const Tensor penalty =
      Tensor::from<double>({vae.models() + 1}, penalty_numbers(objective, time, vae.models()));
  return differentiate_given(vae, x, objective, penalty.to(vae.options().dtype).to(vae.options().device), key,
                             samples);
}

BatchTerms differentiate_given(DeepVae& vae, const Tensor& x, const Objective& objective,
                               const Tensor& penalty, const RandomKey& key, int64_t samples) {
  if (samples < 1) fail("[train] the number of latent samples must be at least 1, got {}", samples);
  const RandomKey own = for_members_of(vae, key);
  const int64_t parts = parts_of(vae, x.size(0), samples);
  return parts == 1 ? differentiate_at_once(vae, x, objective, penalty, own, samples)
                    : differentiate_in_parts(vae, x, objective, penalty, own, samples, parts);
}

std::vector<int64_t> members_not_finite(const BatchTerms& terms) {
  std::vector<int64_t> bad;
  for (int64_t m = 0; m < terms.kl.elements(); ++m)
    if (!std::isfinite(terms.elbo(m))) bad.push_back(m);
  return bad;
}

std::string first_not_finite(const DeepVae& vae, const Tensor& x, const RandomKey& key, int64_t member) {
  const std::string parameter = vae.parameters().first_not_finite(member);
  if (!parameter.empty()) return parameter;
  const bool has_members = vae.options().members > 0;
  const Posterior q = vae.encode(x);
  const PosteriorTerms drawn =
      reparameterize_kl(q.mean, q.log_variance, for_members_of(vae, key), vae.models());
  const Observation p = vae.decode(drawn.z);
  const std::pair<const char*, Variable> made[] = {{"the posterior's mean", q.mean},
                                                   {"the posterior's log variance", q.log_variance},
                                                   {"z", drawn.z},
                                                   {"the KL", drawn.kl},
                                                   {"the decoder's output", p.mean},
                                                   {"the likelihood's log variance", p.log_variance},
                                                   {"the log-likelihood", vae.log_likelihood(x, p)}};
  for (const auto& [what, tensor] : made)
    if (!is_finite(tensor, member, has_members)) return what;
  return "the objective";
}

}  // namespace elbo
