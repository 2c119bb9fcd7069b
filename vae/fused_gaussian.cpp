// Fused reparameterisation + KL, with its twin.
#include <algorithm>

#include "autograd/pointwise.h"
#include "vae/formulas.h"
#include "vae/fused.h"
#include "vae/reparameterize_kernel.h"

namespace elbo {
namespace {

struct Reparameterize {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance, T eps) const {
    return mean + math::exp(T(0.5) * log_variance) * eps;
  }
};

/// d / d mean of dz z + dkl kl.
struct MeanGradient {
  template <class T>
  ELBO_HD T operator()(T mean, T dz, T dkl) const {
    return dz + dkl * mean;
  }
};

/// d / d log_variance of the same; z - mean is sigma eps.
struct LogVarianceGradient {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance, T z, T dz, T dkl) const {
    return T(0.5) * (dz * (z - mean) + dkl * math::expm1(log_variance));
  }
};

// With several samples the exponentials, which all samples share, are evaluated once and not once for each.

struct StandardDeviation {
  template <class T>
  ELBO_HD T operator()(T log_variance) const {
    return math::exp(T(0.5) * log_variance);
  }
};

struct Sample {
  template <class T>
  ELBO_HD T operator()(T mean, T sigma, T eps) const {
    return mean + sigma * eps;
  }
};

/// d / d log_variance of dz z.
struct SampleLogVarianceGradient {
  template <class T>
  ELBO_HD T operator()(T mean, T z, T dz) const {
    return T(0.5) * dz * (z - mean);
  }
};

/// d / d log_variance of dkl kl.
struct KlLogVarianceGradient {
  template <class T>
  ELBO_HD T operator()(T log_variance, T dkl) const {
    return T(0.5) * dkl * math::expm1(log_variance);
  }
};

/// The shape with a sample axis before the last two: (M, N, k) as (M, samples, N, k).
Shape with_samples(const Shape& shape, int64_t samples) {
  return shape.drop_back(2).concatenated({samples}).concatenated(shape.back(2));
}

/// The same values, to broadcast over samples. What has no axis before the points' broadcasts as it is.
Tensor for_samples(const Tensor& values) {
  return values.rank() < 3 ? values : values.reshape(with_samples(values.shape(), 1));
}
Variable for_samples(const Variable& values) {
  return values.rank() < 3 ? values : reshape(values, with_samples(values.shape(), 1));
}

Tensor noise_for(const Variable& mean, const RandomKey& key, int64_t members, int64_t samples, int64_t parts,
                 const BatchRows& rows) {
  const Tensor noise = Tensor::empty(samples == 1 ? mean.shape() : with_samples(mean.shape(), samples),
                                     mean.dtype(), mean.value().device());
  if (parts == 1 && rows.all == 0) {
    fill_normal(noise, key, members);
    return noise;
  }
  for (int64_t m = 0; m < members; ++m)
    for (int64_t part = 0; part < parts; ++part) {
      RandomKey own = key;
      own.member += static_cast<uint32_t>(m);
      own.step += static_cast<uint64_t>(part);
      const Tensor of_member = mean.rank() > 2 ? noise.slice(m) : noise;
      fill_normal_rows(
          samples == 1 ? of_member : of_member.slice(part * samples / parts, (part + 1) * samples / parts),
          own, rows);
    }
  return noise;
}

/// Adds to an input's gradient f(in...), which has a sample axis, summed over the samples.
template <class F, class... In>
void contribute_summed(Backward& pass, int input, F f, const In&... in) {
  if (!pass.wants(input)) return;
  const Backward::Target to = pass.target(input);
  map_reduce_into<Sum>(for_samples(to.tensor), to.accumulate, f, in...);
}

/// reparameterize_kl in one kernel each way.
[[maybe_unused]] PosteriorTerms reparameterize_on_gpu(const Variable& mean, const Variable& log_variance,
                                                      const cuda::Reparameterization& r) {
  const Shape& shape = mean.shape();
  const Shape z_shape = r.samples == 1 ? shape : with_samples(shape, r.samples);
  PosteriorTerms terms{Tensor::empty(z_shape, mean.dtype(), Device::cuda),
                       Tensor::empty(shape.drop_back(1), mean.dtype(), Device::cuda)};
  cuda::reparameterize(r, terms.z.value(), terms.kl.value());
  const Variable* inputs[] = {&mean, &log_variance};
  Tape::record_outputs("reparameterize_kl", inputs, {&terms.z, &terms.kl}, [r](Backward& pass) {
    const auto unused = [&] { return Tensor::empty(r.mean.shape(), r.mean.dtype(), Device::cuda); };
    const Backward::Target d_mean = pass.wants(0) ? pass.target(0) : Backward::Target{unused(), false};
    const bool in_place = pass.wants(1) && pass.input_shape(1) == r.mean.shape();
    const Backward::Target d_log_variance = in_place ? pass.target(1) : Backward::Target{unused(), false};
    cuda::reparameterize_gradients(r, pass.dy(0), pass.dy(1), d_mean.tensor, d_mean.accumulate,
                                   d_log_variance.tensor, d_log_variance.accumulate);
    if (!in_place) pass.add(1, d_log_variance.tensor);
  });
  return terms;
}

}  // namespace

PosteriorTerms reparameterize_kl(const Variable& mean, const Variable& log_variance, const RandomKey& key,
                                 int64_t members, int64_t samples, int64_t parts, const BatchRows& rows) {
  if (mean.rank() < 1 || !broadcasts_to(log_variance.shape(), mean.shape()))
    fail("[reparameterize_kl] log_variance {} does not broadcast to mean {}", log_variance.shape().str(),
         mean.shape().str());
  if (samples < 1) fail("[reparameterize_kl] {} samples; there must be one or more", samples);
  if (samples > 1 && mean.rank() < (members > 1 ? 3 : 2))
    fail("[reparameterize_kl] {} samples need a mean (N, k) or (M, N, k), got {} for {} members", samples,
         mean.shape().str(), members);
  if (parts < 1 || samples % parts != 0)
    fail("[reparameterize_kl] {} samples are not {} equal parts", samples, parts);
  const bool apart = parts > 1 || rows.all > 0;
  if (apart && (mean.rank() < 2 || mean.rank() > 3 || members != (mean.rank() > 2 ? mean.size(0) : 1)))
    fail("[reparameterize_kl] a mean {} is not that of {} members", mean.shape().str(), members);
  if (rows.all > 0 && (rows.first < 0 || rows.first + mean.size(-2) > rows.all))
    fail("[reparameterize_kl] {} at row {} of a batch of {}", mean.shape().str(), rows.first, rows.all);
  RandomKey last = key;
  last.step += static_cast<uint64_t>(parts - 1);
  check_draw(last, mean.value().elements() / std::max<int64_t>(members, 1) * (samples / parts),
             "reparameterize_kl");
  if constexpr (kHasGpuCode) {
    const cuda::Reparameterization r{mean.value(), log_variance.value(), key, members, samples, parts, rows};
    if (mean.value().device() == Device::cuda && cuda::is_fusable(r))
      return reparameterize_on_gpu(mean, log_variance, r);
  }
  // The noise's own memory becomes z.
  const Tensor z = noise_for(mean, key, members, samples, parts, rows);
  if (samples == 1)
    map_into(z, Reparameterize{}, mean.value(), log_variance.value(), z);
  else
    map_into(z, Sample{}, for_samples(mean.value()),
             for_samples(map(StandardDeviation{}, log_variance.value())), z);
  const Shape points = mean.shape().drop_back(1), column = points.concatenated({1});
  const Tensor kl = map_reduce<Sum>(column, formulas::UnitKl{}, mean.value(), log_variance.value());
  PosteriorTerms terms{z, kl.reshape(points)};
  const Variable* inputs[] = {&mean, &log_variance};
  Tape::record_outputs(
      "reparameterize_kl", inputs, {&terms.z, &terms.kl},
      [z, mean = mean.value(), log_variance = log_variance.value(), column, samples](Backward& pass) {
        const Tensor dz = pass.dy(0), dkl = pass.dy(1).reshape(column);
        if (samples == 1) {
          pass.contribute_unsummed(0, MeanGradient{}, mean, dz, dkl);
          pass.contribute(1, LogVarianceGradient{}, mean, log_variance, z, dz, dkl);
          return;
        }
        // Of each sample, then once of the KL.
        contribute_summed(pass, 0, Identity{}, dz);
        pass.contribute(0, Product{}, mean, dkl);
        contribute_summed(pass, 1, SampleLogVarianceGradient{}, for_samples(mean), z, dz);
        pass.contribute(1, KlLogVarianceGradient{}, log_variance, dkl);
      });
  return terms;
}

PosteriorTerms reparameterize_kl_twin(const Variable& mean, const Variable& log_variance,
                                      const RandomKey& key, int64_t members, int64_t samples, int64_t parts,
                                      const BatchRows& rows) {
  const Variable eps = noise_for(mean, key, members, samples, parts, rows);
  const Variable kl = sum(gaussian_kl_twin(mean, log_variance), {-1});
  if (samples == 1) return {mean + exp(0.5 * log_variance) * eps, kl};
  return {for_samples(mean) + exp(0.5 * for_samples(log_variance)) * eps, kl};
}

Variable gaussian_kl(const Variable& mean, const Variable& log_variance) {
  return pointwise(formulas::UnitKl{}, mean, log_variance);
}

Variable gaussian_kl_twin(const Variable& mean, const Variable& log_variance) {
  return 0.5 * (square(mean) + exp(log_variance) - 1.0 - log_variance);
}

}  // namespace elbo
