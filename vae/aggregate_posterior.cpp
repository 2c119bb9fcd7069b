#include "vae/aggregate_posterior.h"

#include <cmath>

#include "tensor/linalg.h"
#include "tensor/map_loops.h"
#include "vae/deep_metrics.h"

namespace elbo {
namespace {

/// 1 where a is below b, else 0.
struct IsBelow {
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return a < b ? T(1) : T(0);
  }
};

/// Draws of this file, each its own.
enum Purpose : uint64_t {
  kPosteriorDraw,
  kPriorDraw,
  kModelDraw,
  kModelNoise,
  kChosenZ,
  kChosenPrior,
  kDivision
};
RandomKey key_of(uint64_t seed, Purpose purpose) {
  // Repetitions and divisions count on from their key's step.
  return {.seed = seed, .stream = kEvaluation, .step = (uint64_t{1} << 31) + (uint64_t{1} << 26) * purpose};
}

/// (M?, n, last) as (M, n, last) f64 on the CPU.
Tensor of_members(const Vae& vae, const Tensor& x) {
  return x.to(DType::f64).to(Device::cpu).reshape({vae.models(), -1, x.size(-1)});
}

/// |mean| and |covariance - I| of the mixture of N(mean, diag variance), each (N, k).
void set_moments(AggregatePosterior& found, const Variable& means, const Variable& log_variances) {
  const auto points = static_cast<double>(means.size(0));
  const Variable middle = mean(means, {0}, true), off = means - middle;
  const int64_t k = means.size(1);
  const Variable within = mean(exp(log_variances), {0}, true);  // (1, k)
  const Variable identity = identity_matrix(k, DType::f64);
  const Variable covariance = matmul_tn(off, off) / points + identity * within;
  found.mean_distance = std::sqrt(sum(square(middle)).item());
  found.covariance_distance = std::sqrt(sum(square(covariance - identity)).item());
}

}  // namespace

std::vector<AggregatePosterior> aggregate_posterior(const Vae& vae, const Points& x,
                                                    const AggregateOptions& options) {
  const int64_t points = x.count();
  if (points < 2) fail("[aggregate_posterior] needs two points or more, got {}", points);
  const Codes codes = encode_all(vae, x);
  const Posterior q = vae.in_prior_units({codes.mean.to(vae.device()), codes.log_variance.to(vae.device())});
  const RandomKey of_posterior = for_members_of(vae, key_of(options.seed, kPosteriorDraw)),
                  of_prior = for_members_of(vae, key_of(options.seed, kPriorDraw));
  const Tensor z = of_members(
                   vae, reparameterize_kl(q.mean, q.log_variance, of_posterior, vae.models()).z.value()),
               prior = normal(z.shape(), DType::f64, of_prior, vae.models()),
               means = of_members(vae, q.mean.value()),
               log_variances = of_members(vae, q.log_variance.value());
  const auto of_z = test_henze_zirkler(z, points, {}), of_means = test_henze_zirkler(means, points, {});
  std::vector<AggregatePosterior> all;
  for (int64_t m = 0; m < vae.models(); ++m) {
    const auto member = static_cast<size_t>(m);
    AggregatePosterior found{
        .points = points, .z = of_z[member], .means = of_means[member], .mmd = {}, .knn = {}};
    set_moments(found, means.slice(m), log_variances.slice(m));
    found.mmd = maximum_mean_discrepancy(
        z.slice(m), prior.slice(m),
        {.permutations = options.permutations, .key = key_of(options.seed, kDivision)});
    found.knn =
        repeated_smooth_knn(points_among(z.slice(m), key_of(options.seed, kChosenZ)),
                            points_among(prior.slice(m), key_of(options.seed, kChosenPrior)), options.knn);
    all.push_back(found);
  }
  return all;
}

Tensor draw_points(const Vae& vae, int64_t n, uint64_t seed) {
  const Shape members = vae.has_members() ? Shape{vae.models()} : Shape{};
  const auto drawn = [&](auto function, int64_t last, Purpose purpose) -> Variable {
    return function(members.concatenated({n, last}), vae.dtype(), for_members_of(vae, key_of(seed, purpose)),
                    vae.models(), vae.device());
  };
  Variable z = drawn(normal, vae.latent(), kModelDraw);
  if (vae.prior_log_variance().value().defined()) z = z * exp(0.5 * vae.prior_log_variance());
  const Observation p = vae.decode(z);
  if (vae.likelihood() == Likelihood::bernoulli) {
    const Tensor chance = sigmoid(p.mean).value(),
                 level = drawn(uniform, vae.dimensions(), kModelNoise).value();
    return map(IsBelow{}, level, chance);
  }
  Variable log_variance = p.log_variance;
  if (vae.has_scalar_sigma2() && vae.has_members())
    log_variance = reshape(log_variance, {vae.models(), 1, 1});
  return (p.mean + exp(0.5 * log_variance) * drawn(normal, vae.dimensions(), kModelNoise)).value();
}

}  // namespace elbo
