// Fused reparameterisation + KL and Gaussian log-likelihood, with their twins.
#include "autograd/tape.h"
#include "vae/fused.h"

namespace elbo {
namespace {

struct Reparameterize {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance, T eps) const {
    return mean + math::exp(T(0.5) * log_variance) * eps;
  }
};

/// One unit's KL: (mean^2 + e^lv - 1 - lv) / 2.
struct UnitKl {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance) const {
    return T(0.5) * (mean * mean + math::expm1(log_variance) - log_variance);
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

struct SquaredError {
  template <class T>
  ELBO_HD T operator()(T x, T mean) const {
    return (x - mean) * (x - mean);
  }
};

/// ln N from the squared error of a point.
struct LogDensity {
  double dimensions;
  template <class T>
  ELBO_HD T operator()(T squared_error, T log_sigma2) const {
    return T(-0.5) *
           (squared_error * math::exp(-log_sigma2) + T(dimensions) * (log_sigma2 + T(math::kLogTwoPi)));
  }
};

struct MeanOfDensityGradient {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T log_sigma2, T dy) const {
    return dy * (x - mean) * math::exp(-log_sigma2);
  }
};

struct LogSigma2Gradient {
  double dimensions;
  template <class T>
  ELBO_HD T operator()(T squared_error, T log_sigma2, T dy) const {
    return T(0.5) * dy * (squared_error * math::exp(-log_sigma2) - T(dimensions));
  }
};

/// (..., N) as (..., N, 1), to broadcast over a point's dimensions.
Tensor per_point(const Tensor& values) { return values.reshape(values.shape().concatenated({1})); }

Tensor noise_for(const Variable& mean, const RandomKey& key, int64_t members) {
  return normal(mean.shape(), mean.dtype(), key, members);
}

}  // namespace

PosteriorTerms reparameterize_kl(const Variable& mean, const Variable& log_variance, const RandomKey& key,
                                 int64_t members) {
  if (mean.rank() < 1 || !broadcasts_to(log_variance.shape(), mean.shape()))
    fail("[reparameterize_kl] log_variance {} does not broadcast to mean {}", log_variance.shape().str(),
         mean.shape().str());
  // The noise's own memory becomes z.
  const Tensor z = noise_for(mean, key, members);
  map_into(z, Reparameterize{}, mean.value(), log_variance.value(), z);
  const Shape points = mean.shape().drop_back(1);
  const Tensor kl = map_reduce<Sum>(points.concatenated({1}), UnitKl{}, mean.value(), log_variance.value());
  PosteriorTerms terms{z, kl.reshape(points)};
  const Variable* inputs[] = {&mean, &log_variance};
  Tape::record_outputs("reparameterize_kl", inputs, {&terms.z, &terms.kl},
                       [z, mean = mean.value(), log_variance = log_variance.value()](Backward& pass) {
                         const Tensor dz = pass.dy(0), dkl = per_point(pass.dy(1));
                         pass.contribute(0, MeanGradient{}, mean, dz, dkl);
                         pass.contribute(1, LogVarianceGradient{}, mean, log_variance, z, dz, dkl);
                       });
  return terms;
}

PosteriorTerms reparameterize_kl_twin(const Variable& mean, const Variable& log_variance,
                                      const RandomKey& key, int64_t members) {
  const Variable eps = noise_for(mean, key, members);
  return {mean + exp(0.5 * log_variance) * eps, sum(gaussian_kl(mean, log_variance), {-1})};
}

Variable gaussian_kl(const Variable& mean, const Variable& log_variance) {
  return 0.5 * (square(mean) + exp(log_variance) - 1.0 - log_variance);
}

Variable gaussian_log_likelihood(const Variable& x, const Variable& mean, const Variable& log_sigma2) {
  if (x.rank() < 1 || !broadcasts_to(x.shape(), mean.shape()))
    fail("[gaussian_log_likelihood] x {} does not broadcast to mean {}", x.shape().str(), mean.shape().str());
  const Shape points = mean.shape().drop_back(1);
  if (!broadcasts_to(log_sigma2.shape(), points))
    fail("[gaussian_log_likelihood] log_sigma2 {} does not broadcast to the points {}",
         log_sigma2.shape().str(), points.str());
  const auto dimensions = static_cast<double>(mean.size(-1));
  const Tensor squared_error =
      map_reduce<Sum>(points.concatenated({1}), SquaredError{}, x.value(), mean.value()).reshape(points);
  Tensor y = map(LogDensity{dimensions}, squared_error, log_sigma2.value());
  return Tape::record(
      "gaussian_log_likelihood", {&x, &mean, &log_sigma2}, y,
      [=, x = x.value(), mean = mean.value(), log_sigma2 = log_sigma2.value()](Backward& pass) {
        const Tensor dy = pass.dy(), dy_point = per_point(dy), log_sigma2_point = per_point(log_sigma2);
        pass.contribute(0, MeanOfDensityGradient{}, mean, x, log_sigma2_point, dy_point);
        pass.contribute(1, MeanOfDensityGradient{}, x, mean, log_sigma2_point, dy_point);
        pass.contribute(2, LogSigma2Gradient{dimensions}, squared_error, log_sigma2, dy);
      });
}

Variable gaussian_log_likelihood_twin(const Variable& x, const Variable& mean, const Variable& log_sigma2) {
  const auto dimensions = static_cast<double>(mean.size(-1));
  const Variable squared_error = sum(square(x - mean), {-1});
  return -0.5 * (squared_error / exp(log_sigma2) + dimensions * (log_sigma2 + math::kLogTwoPi));
}

}  // namespace elbo
