#include "vae/unit_noise.h"

#include "autograd/ops.h"
#include "tensor/math.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

/// (M, 1, k), to broadcast over points.
Variable over_points(const Tensor& of_units) {
  return Variable(of_units.reshape({of_units.size(0), 1, of_units.size(1)}));
}

/// z (M, N, k) as the decoder gets it. deviations (M).
Variable disturbed(const Vae& vae, const UnitNoise& noise, const Variable& z, const Tensor& deviations,
                   RandomKey key) {
  key.stream = kUnitNoise;
  const Variable drawn = normal(z.shape(), vae.dtype(), key, vae.models(), vae.device());
  const Variable by_member = deviations.reshape({vae.models(), 1, 1});
  return z * over_points(noise.kept) + drawn * (over_points(noise.target) * by_member);
}

Tensor deviations_of(const Vae& vae, const UnitNoise& noise) {
  return Tensor::from<double>({vae.models()}, *noise.deviations).to(vae.dtype()).to(vae.device());
}

}  // namespace

UnitNoise unit_noise(const Vae& vae, const std::vector<int64_t>& targets,
                     const std::vector<std::vector<bool>>& kept) {
  const auto models = static_cast<size_t>(vae.models()), k = static_cast<size_t>(vae.latent());
  if (!vae.has_members() || targets.size() != models || kept.size() != models)
    fail("[unit noise] {} units for {} members", targets.size(), models);
  std::vector<double> target(models * k), keeps(models * k);
  for (size_t m = 0; m < models; ++m) {
    if (targets[m] < 0 || targets[m] >= vae.latent() || kept[m].size() != k)
      fail("[unit noise] there is no unit {} among {}", targets[m], k);
    target[m * k + static_cast<size_t>(targets[m])] = 1;
    for (size_t i = 0; i < k; ++i) keeps[m * k + i] = kept[m][i] ? 1 : 0;
  }
  const auto tensor = [&](const std::vector<double>& values) {
    return Tensor::from<double>({vae.models(), vae.latent()}, values).to(vae.dtype()).to(vae.device());
  };
  return {tensor(target), tensor(keeps), std::make_shared<std::vector<double>>(models, 0.0)};
}

Loss noisy_loss(Vae& vae, const UnitNoise& noise) {
  const auto value = [&vae, noise](const LossInput& in) {
    const RandomKey key = for_members_of(vae, in.key);
    const Posterior q = vae.encode(in.x, Mode::train);
    const Variable z = vae.draw(q, key).z;
    const Observation p = vae.decode(disturbed(vae, noise, z, in.numbers, key), Mode::train);
    const Variable fit = mean(vae.log_likelihood(in.x, p), {-1});
    const Posterior of_prior = vae.in_prior_units(q);
    const Variable unit_kl = gaussian_kl(of_prior.mean, of_prior.log_variance) * over_points(noise.kept);
    const Variable kl = mean(sum(unit_kl, {-1}), {-1});
    return LossValue{kl - fit, {fit, kl}};
  };
  return {.probes = {kExpectedLogLikelihood, kKl},
          .numbers = [noise, models = vae.models()](
                         const TrainingTime&) { return Tensor::from<double>({models}, *noise.deviations); },
          .value = value};
}

std::vector<NoisyUnit> measure_noisy(const Vae& vae, const UnitNoise& noise, const Tensor& x,
                                     const RandomKey& plain_key) {
  const RandomKey key = for_members_of(vae, plain_key);
  const Posterior q = vae.encode(x);
  const Variable z = disturbed(vae, noise, vae.draw(q, key).z, deviations_of(vae, noise), key);
  const Variable target = over_points(noise.target);
  const Observation p = vae.decode(z);
  const Variable fit = mean(vae.log_likelihood(x, p), {-1}),
                 without = mean(vae.log_likelihood(x, vae.decode(z * (1 - target))), {-1});
  const Posterior of_prior = vae.in_prior_units(q);
  const auto of_target = [&](const Variable& values) { return mean(sum(values * target, {-1}), {-1}); };
  const Variable unit_kl = gaussian_kl(of_prior.mean, of_prior.log_variance);
  const Variable kl = of_target(unit_kl), loss_kl = mean(sum(unit_kl * over_points(noise.kept), {-1}), {-1}),
                 variance = of_target(square(of_prior.mean - mean(of_prior.mean, {-2}, true))),
                 variances = of_target(exp(of_prior.log_variance));
  std::vector<NoisyUnit> units;
  for (int64_t m = 0; m < vae.models(); ++m) {
    const auto at = [m](const Variable& values) { return values.value().at(m); };
    const double log_sigma2 = p.log_variance.value().at(m);
    units.push_back(
        {.gain = at(fit) - at(without),
         .kl = at(kl),
         .variance_of_mean = at(variance),
         .mean_variance = at(variances),
         .loss = -at(fit) - 0.5 * static_cast<double>(vae.dimensions()) * (math::kLogTwoPi + log_sigma2),
         .loss_kl = at(loss_kl)});
  }
  return units;
}

}  // namespace elbo
