#include "vae/elbo_loss.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "autograd/gradients_apart.h"
#include "autograd/tape.h"
#include "tensor/map.h"
#include "tensor/parallel.h"
#include "vae/linear_likelihood.h"
#include "vae/member_mean.h"
#include "vae/small_vae.h"

namespace elbo {
namespace {

/// Bytes that one member's activations of the widest layer, of those that are in memory, may take in one
/// part.
constexpr int64_t kPartBytes = 1 << 19;
/// Bytes of one member's parameters up to which shares of the parts have gradients of their own, and how
/// many.
constexpr int64_t kShareBytes = 1 << 18;
constexpr int64_t kMostShares = 16;
/// Bytes of all members' activations, as kPartBytes has them, up to which threads take shares.
constexpr int64_t kMostPartBytes = 1 << 25;
/// The same of what a GPU decodes at once.
constexpr int64_t kMostGpuBytes = 1 << 28;
/// How many times a part's bytes its outputs may take where only a GPU makes them.
constexpr int64_t kMostOutputs = 64;

/// How the samples of each point are decoded.
struct Decoding {
  int64_t samples;
  bool linear;    ///< without the last layer's output (linear_likelihood.h)
  int64_t width;  ///< numbers of one z by which parts are measured
};

Decoding decoding_of(const Vae& vae, int64_t samples) {
  const int64_t widest = vae.parts().widest;
  if (!suits_linear_likelihood(vae, samples)) return {samples, false, widest};
  // A GPU makes the output and has the same parts.
  return {samples, vae.device() == Device::cpu, std::max(widest_in_pass(vae), widest / kMostOutputs)};
}

/// How many parts the samples are of; it divides them. Each part has noise of its own. So their number must
/// not depend on how many members there are, as a member draws what it would draw alone, nor on how many
/// processes share the batch, whose points these are; and it is the same on every device.
int64_t parts_of(const Vae& vae, const Decoding& decoding, int64_t points) {
  if (vae.parts().mixes_points) return 1;
  const int64_t samples = decoding.samples, of_sample = points * decoding.width * size_of(vae.dtype());
  int64_t parts = std::clamp<int64_t>(samples * of_sample / kPartBytes, 1, samples);
  while (samples % parts != 0) ++parts;
  return parts;
}

/// In how many groups the parts are decoded, one after another. A CPU decodes each by itself, which is as
/// large as its cache; a GPU wants as much work at once as memory allows.
int64_t groups_of(const Vae& vae, const Decoding& decoding, int64_t points, int64_t parts) {
  if (vae.device() == Device::cpu || parts == 1) return parts;
  const int64_t part_bytes =
      vae.models() * decoding.samples / parts * points * vae.parts().widest * size_of(vae.dtype());
  const int64_t at_once = std::clamp<int64_t>(kMostGpuBytes / part_bytes, 1, parts);
  return (parts + at_once - 1) / at_once;
}

/// The step's noise key as that of `parts` parts, from this one on.
RandomKey key_of_part(RandomKey key, int64_t parts, int64_t part) {
  key.step = key.step * static_cast<uint64_t>(parts) + static_cast<uint64_t>(part);
  key.counter_factor *= static_cast<uint64_t>(parts);
  return key;
}

/// Whose axis comes first, as member_mean and the entropies count them: 0 without one.
int64_t members_of(const Vae& vae) { return vae.has_members() ? vae.models() : 0; }

/// Mean entropy of Gaussians with a log variance that a step has made already: no tape records it. () or (M).
Variable entropy_of(const Vae& vae, const Variable& log_variance, int64_t dimensions) {
  return gaussian_entropy(log_variance.value(), dimensions, members_of(vae));
}

/// Of the prior, alike for all points: () or (M).
Variable prior_entropy_of(const Vae& vae) {
  const Variable log_variance = vae.prior_log_variance();
  if (log_variance.value().defined()) return entropy_of(vae, log_variance, vae.latent());
  return Tensor::full(vae.has_members() ? Shape{vae.models()} : Shape{},
                      standard_normal_entropy(vae.latent()), vae.dtype(), vae.device());
}

/// The three entropies, in the order of their probes.
std::array<Variable, 3> entropies_of(const Vae& vae, const Posterior& q, const Variable& decoder_entropy) {
  return {prior_entropy_of(vae), decoder_entropy, entropy_of(vae, q.log_variance, vae.latent())};
}

/// The cost and its first two probes from the means of what all points cost.
LossValue value_of_means(const Vae& vae, const Objective& objective, const LossInput& in, const Posterior& q,
                         const Variable& log_likelihood, const Variable& kl) {
  return {weighted_penalty(objective, in.numbers, vae.in_prior_units(q), kl) - log_likelihood,
          {log_likelihood, kl}};
}

/// The cost and its first two probes from what each point costs: log_likelihood (M?, S?, N) and kl (M?, N).
LossValue value_of_terms(const Vae& vae, const Objective& objective, const LossInput& in, const Posterior& q,
                         const Variable& log_likelihood, const Variable& kl) {
  if (objective.penalty == Objective::Penalty::kl) {
    const BatchCost made = batch_cost(log_likelihood, kl, kl_weights(in.numbers, vae.has_members()));
    return {made.cost, {made.log_likelihood, made.kl}};
  }
  const int64_t members = members_of(vae);
  return value_of_means(vae, objective, in, q, member_mean(log_likelihood, members),
                        member_mean(kl, members));
}

/// All samples at once, with the noise of so many parts: cost, expected log-likelihood, KL and entropies.
LossValue value_of(const Vae& vae, const Objective& objective, const Decoding& decoding, int64_t parts,
                   const LossInput& in) {
  const Posterior q = vae.encode(in.x, Mode::train);
  const RandomKey key = key_of_part(for_members_of(vae, in.key), parts, 0);
  const PosteriorTerms drawn = vae.draw(q, key, decoding.samples, parts, in.rows);
  LossValue found;
  Tensor log_variance;
  if (decoding.linear) {
    const MeanLogLikelihood p = mean_log_likelihood(vae, linear_target(vae, in.x, q.mean.value()), drawn.z);
    found = value_of_means(vae, objective, in, q, p.mean, member_mean(drawn.kl, members_of(vae)));
    log_variance = p.log_variance.value();
  } else {
    const Observation p = vae.decode(drawn.z, Mode::train);
    found = value_of_terms(vae, objective, in, q, vae.log_likelihood(in.x, p), drawn.kl);
    log_variance = p.log_variance.value();
  }
  if (vae.likelihood() != Likelihood::bernoulli)
    // Nothing of the step waits for them.
    Tape::beside({q.log_variance.value(), log_variance}, [&] {
      for (const Variable& entropy : entropies_of(vae, q, entropy_of(vae, log_variance, vae.dimensions())))
        found.probes.push_back(entropy);
    });
  return found;
}

/// How many shares the groups are divided into, each with gradients of its own, so that threads can take
/// shares. It depends on nothing but one member's sizes, and neither does what is added to what in which
/// order. Of large networks there is one: their products keep the threads busy, and copies of their gradients
/// would be long.
int64_t shares_of(const Vae& vae, int64_t groups) {
  int64_t numbers = 0;
  for (const Parameter& parameter : vae.parameters().all())
    if (parameter.trained) numbers += parameter.value.elements() / vae.models();
  return vae.device() == Device::cpu && numbers * size_of(vae.dtype()) <= kShareBytes
             ? std::min(groups, kMostShares)
             : 1;
}

/// Whether threads take a share each, or all work at one share after another. It changes no bit. A part's
/// activations of all members are in memory once for each share at work.
bool run_together(const Vae& vae, int64_t shares) {
  const int64_t at_work = std::min<int64_t>(threads(), shares);
  return at_work > 1 && 2 * shares >= threads() && at_work * vae.models() * kPartBytes <= kMostPartBytes;
}

/// Its gradient is 0 where nothing gives it one, as of a decoder that does not look at z.
Parameter leaf(const Tensor& value) {
  return {"", value, Tensor::zeros(value.shape(), value.dtype(), value.device()), false};
}

void add_to(Tensor& total, const Tensor& more) {
  if (total.defined())
    add_into(total, more);
  else
    total = more;
}

/// What all samples of a step are decoded from: the posterior's mean and log variance and, where the last
/// layer's output is not made, what stands for it.
struct Once {
  Posterior q;
  LinearTarget target{};

  KeptVector<Variable> all() const {
    KeptVector<Variable> all{q.mean, q.log_variance};
    if (target.near.defined()) all.insert(all.end(), {target.gram, target.target, target.square});
    return all;
  }
};

/// What some groups have added up to.
struct Share {
  GradientsApart gradients;
  KeptVector<Parameter> once{};  // of Once, whose gradients they gather
  Tensor near{};
  Tensor log_likelihood{}, decoder_entropy{};  // means over all samples, of which these are terms
};

/// How the samples of a step are divided.
struct Cut {
  Decoding decoding;
  int64_t parts, groups;
};

/// The mean of ln p(x|z) over points and samples.
MeanLogLikelihood mean_log_likelihood_of(const Vae& vae, const Cut& cut, const Tensor& x, const Variable& z,
                                         Share& share) {
  if (cut.decoding.linear)
    return mean_log_likelihood(vae, {share.near, {}, share.once[2], share.once[3], share.once[4]}, z);
  const Observation p = vae.decode(z, Mode::train);
  return {member_mean(vae.log_likelihood(x, p), members_of(vae)), p.log_variance};
}

/// The likelihood of one group of the parts, down to the posterior's parameters.
void differentiate_group(const Vae& vae, const Cut& cut, int64_t group, const LossInput& in, Share& share) {
  Tape tape(share.gradients);
  const int64_t first = cut.parts * group / cut.groups, end = cut.parts * (group + 1) / cut.groups;
  const int64_t parts = end - first, samples = cut.decoding.samples / cut.parts * parts;
  const RandomKey key = key_of_part(for_members_of(vae, in.key), cut.parts, first);
  const Variable z =
      reparameterize_kl(share.once[0], share.once[1], key, vae.models(), samples, parts, in.rows).z;
  const auto [of_group, log_variance] = mean_log_likelihood_of(vae, cut, in.x, z, share);
  Tensor decoder_entropy;
  if (vae.likelihood() != Likelihood::bernoulli)
    Tape::beside({log_variance.value()},
                 [&, of = log_variance] { decoder_entropy = entropy_of(vae, of, vae.dimensions()).value(); });
  const double groups = static_cast<double>(cut.parts) / static_cast<double>(parts);  // as large as this one
  backward_of_each(tape, of_group / -groups);
  const Scaled weight{1 / groups};
  add_to(share.log_likelihood, map(weight, of_group.value()));
  if (decoder_entropy.defined()) add_to(share.decoder_entropy, map(weight, decoder_entropy));
}

/// First the likelihood, group by group, down to the posterior's parameters; then the encoder, and a last
/// layer that was left out, once.
LossTerms differentiate_in_groups(Vae& vae, const Objective& objective, const Cut& cut, const LossInput& in) {
  Once once{vae.encode(in.x)};  // no tape: plain values
  if (cut.decoding.linear) once.target = linear_target(vae, in.x, once.q.mean.value());
  const KeptVector<Variable> all = once.all();
  const int64_t count = shares_of(vae, cut.groups);
  const auto new_share = [&] {
    Share share{count > 1 ? GradientsApart(vae.parameters().all()) : GradientsApart()};
    for (const Variable& each : all) share.once.push_back(leaf(each.value()));
    share.near = once.target.near;
    return share;
  };
  const auto differentiate_share = [&](int64_t s, Share& share) {
    for (int64_t group = cut.groups * s / count; group < cut.groups * (s + 1) / count; ++group)
      differentiate_group(vae, cut, group, in, share);
  };
  KeptVector<Tensor> slopes(all.size());  // the gradients by them, of all shares
  Tensor log_likelihood, decoder_entropy;
  const auto add = [&](const Share& share) {
    share.gradients.add_to_parameters();
    for (size_t i = 0; i < slopes.size(); ++i) add_to(slopes[i], share.once[i].gradient);
    add_to(log_likelihood, share.log_likelihood);
    if (share.decoder_entropy.defined()) add_to(decoder_entropy, share.decoder_entropy);
  };
  if (run_together(vae, count)) {
    KeptVector<Share> shares;
    for (int64_t s = 0; s < count; ++s) shares.push_back(new_share());
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) differentiate_share(s, shares[static_cast<size_t>(s)]);
    });
    for (const Share& share : shares) add(share);
  } else {
    for (int64_t s = 0; s < count; ++s) {
      Share share = new_share();
      differentiate_share(s, share);
      add(share);
    }
  }
  Tensor penalty, kl;
  KeptVector<Tensor> entropies;
  {
    Tape tape;
    Once again{vae.encode(in.x, Mode::train)};
    if (cut.decoding.linear) again.target = linear_target_again(vae, once.target);
    const Posterior of_prior = vae.in_prior_units(again.q);
    const Variable batch_kl = mean(sum(gaussian_kl(of_prior.mean, of_prior.log_variance), {-1}), {-1});
    const KeptVector<Variable> results = again.all();
    Variable slope;  // linear in them, with the gradients found above
    for (size_t i = 0; i < slopes.size(); ++i) {
      const Variable own = sum(results[i] * slopes[i]);
      slope = i > 0 ? slope + own : own;
    }
    const Variable weighted = weighted_penalty(objective, in.numbers, of_prior, batch_kl);
    if (decoder_entropy.defined())
      Tape::beside({once.q.log_variance.value()}, [&] {
        for (const Variable& entropy : entropies_of(vae, once.q, decoder_entropy))
          entropies.push_back(entropy.value());
      });
    tape.backward(sum(weighted) + slope);
    penalty = weighted.value();
    kl = batch_kl.value();
  }
  LossTerms terms{(Variable(penalty) - log_likelihood).value(), {log_likelihood, kl}};
  for (const Tensor& entropy : entropies) terms.probes.push_back(entropy);
  return terms;
}

bool is_finite(const Variable& x, int64_t member, bool has_members) {
  if (!x.value().defined()) return true;
  const Tensor own = has_members ? x.value().slice(member) : x.value();
  const std::vector<double> values = own.to_vector();
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

LossValue elbo_loss_twin(const Vae& vae, const Objective& objective, int64_t samples, const LossInput& in) {
  const int64_t points = in.rows.all_of(in.x.size(-2));
  Decoding decoding = decoding_of(vae, samples);
  decoding.linear = false;
  return value_of(vae, objective, decoding, parts_of(vae, decoding, points), in);
}

Loss elbo_loss(Vae& vae, const Objective& objective, int64_t samples) {
  if (samples < 1) fail("[train] the number of latent samples must be at least 1, got {}", samples);
  Loss loss{.probes = {kExpectedLogLikelihood, kKl}};
  if (vae.likelihood() != Likelihood::bernoulli)
    loss.probes.insert(loss.probes.end(), {kPriorEntropy, kDecoderEntropy, kEncoderEntropy});
  // The other penalties are functions of a batch's mean.
  loss.is_mean_of_points = objective.penalty == Objective::Penalty::kl && !vae.parts().mixes_points;
  loss.numbers = [&vae, objective](const TrainingTime& time) {
    return penalty_numbers(objective, time, vae.models());
  };
  const Decoding decoding = decoding_of(vae, samples);
  loss.value = [&vae, objective, decoding](const LossInput& in) {
    return value_of(vae, objective, decoding, 1, in);
  };
  const bool is_small = objective.penalty == Objective::Penalty::kl && suits_small_vae_cost(vae);
  loss.differentiate = [&vae, objective, samples, is_small, decoding](const LossInput& in) {
    const int64_t points = in.x.size(-2), parts = parts_of(vae, decoding, in.rows.all_of(points));
    if (is_small)
      return differentiate(
          [&](const LossInput& all) {
            return small_vae_cost(vae, all.x, kl_weights(all.numbers, vae.has_members()),
                                  key_of_part(for_members_of(vae, all.key), parts, 0), samples, parts,
                                  all.rows);
          },
          in);
    const Cut cut{decoding, parts, groups_of(vae, decoding, points, parts)};
    if (cut.groups > 1) return differentiate_in_groups(vae, objective, cut, in);
    return differentiate([&](const LossInput& all) { return value_of(vae, objective, decoding, parts, all); },
                         in);
  };
  return loss;
}

double elbo_in(const LossTerms& terms, int64_t member) {
  return terms.probes.at(0).at(member) - terms.probes.at(1).at(member);
}

std::string first_not_finite(const Vae& vae, const Tensor& x, const RandomKey& key, int64_t member) {
  const std::string parameter = vae.parameters().first_not_finite(member);
  if (!parameter.empty()) return parameter;
  const bool has_members = vae.has_members();
  const Posterior q = vae.encode(x);
  const PosteriorTerms drawn = vae.draw(q, for_members_of(vae, key));
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
