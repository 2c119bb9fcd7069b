// Fused log-likelihoods of data points, with their twins.
#include "autograd/contribute.h"
#include "vae/fused.h"

namespace elbo {
namespace {

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

// In the three that follow, e^(-lv/2) is applied twice rather than e^-lv once: in float the latter overflows
// from lv = -89 on, and infinity times an error of 0 is NaN.

/// ln N of one dimension: -((x - mean)^2 e^-lv + lv + ln 2 pi) / 2.
struct UnitLogDensity {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T log_variance) const {
    const T error = (x - mean) * math::exp(T(-0.5) * log_variance);
    return T(-0.5) * (error * error + (log_variance + T(math::kLogTwoPi)));
  }
};

/// d / d mean = (x - mean) e^-lv; with x and mean exchanged, d / dx.
struct UnitMeanGradient {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T log_variance, T dy) const {
    const T precision_root = math::exp(T(-0.5) * log_variance);
    return dy * ((x - mean) * precision_root * precision_root);
  }
};

/// d / d lv = ((x - mean)^2 e^-lv - 1) / 2.
struct UnitLogVarianceGradient {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T log_variance, T dy) const {
    const T error = (x - mean) * math::exp(T(-0.5) * log_variance);
    return T(0.5) * dy * (error * error - T(1));
  }
};

/// ln(1 + e) for e in [0, 1]. With math::log1p the pass in float takes twice as long, for edges that are out
/// of reach here: this is 2 atanh(s) with s = e / (2 + e) <= 1/3, whose series selects nothing.
ELBO_HD double log1p_of_tail(double e) { return math::log1p(e); }
ELBO_HD float log1p_of_tail(float e) {
  const float s = e / (2.0f + e), z = s * s;
  float p = 1.0f / 13;
  p = math::multiply_add(p, z, 1.0f / 11);
  p = math::multiply_add(p, z, 1.0f / 9);
  p = math::multiply_add(p, z, 1.0f / 7);
  p = math::multiply_add(p, z, 1.0f / 5);
  p = math::multiply_add(p, z, 1.0f / 3);
  return 2.0f * math::multiply_add(s, z * p, s);
}

/// x l - softplus(l) = (x - [l > 0]) l - ln(1 + e^-|l|). The bracket cancels exactly where x is 0 or 1, so
/// that the small costs of confident and right logits keep their relative precision.
struct BernoulliLogDensity {
  template <class T>
  ELBO_HD T operator()(T x, T logit) const {
    const T bracket = logit > T(0) ? x - T(1) : x;
    return bracket * logit - log1p_of_tail(math::exp(logit > T(0) ? -logit : logit));
  }
};

/// d / d l = x - sigmoid(l), by the same bracket: sigmoid(l) = 1 - sigmoid(-l).
struct LogitGradient {
  template <class T>
  ELBO_HD T operator()(T x, T logit, T dy) const {
    const T e = math::exp(logit > T(0) ? -logit : logit);
    const T tail = e / (T(1) + e);
    return dy * (logit > T(0) ? (x - T(1)) + tail : x - tail);
  }
};

void check_data(const Variable& x, const Variable& output, const char* where, const char* output_name) {
  if (x.rank() < 1 || !broadcasts_to(x.shape(), output.shape()))
    fail("[{}] x {} does not broadcast to {} {}", where, x.shape().str(), output_name, output.shape().str());
}

/// f(in...), which has the shape (..., D), summed over the dimensions of each point: (...).
template <class F, class... In>
Tensor sum_over_dimensions(F f, const Shape& shape, const In&... in) {
  const Shape points = shape.drop_back(1);
  return map_reduce<Sum>(points.concatenated({1}), f, in...).reshape(points);
}

/// (..., N) as (..., N, 1), to broadcast over a point's dimensions.
Tensor per_point(const Tensor& values) { return values.reshape(values.shape().concatenated({1})); }

}  // namespace

Variable gaussian_log_likelihood(const Variable& x, const Variable& mean, const Variable& log_sigma2) {
  check_data(x, mean, "gaussian_log_likelihood", "mean");
  const Shape points = mean.shape().drop_back(1);
  if (!broadcasts_to(log_sigma2.shape(), points))
    fail("[gaussian_log_likelihood] log_sigma2 {} does not broadcast to the points {}",
         log_sigma2.shape().str(), points.str());
  const auto dimensions = static_cast<double>(mean.size(-1));
  const Tensor squared_error = sum_over_dimensions(SquaredError{}, mean.shape(), x.value(), mean.value());
  Tensor y = map(LogDensity{dimensions}, squared_error, log_sigma2.value());
  return Tape::record(
      "gaussian_log_likelihood", {&x, &mean, &log_sigma2}, y,
      [=, x = x.value(), mean = mean.value(), log_sigma2 = log_sigma2.value()](Backward& pass) {
        const Tensor dy = pass.dy(), dy_point = per_point(dy), log_sigma2_point = per_point(log_sigma2);
        pass.contribute(0, MeanOfDensityGradient{}, mean, x, log_sigma2_point, dy_point);
        pass.contribute(1, MeanOfDensityGradient{}, x, mean, log_sigma2_point, dy_point);
        pass.beside({2}, {squared_error, log_sigma2, dy}, [&] {
          pass.contribute(2, LogSigma2Gradient{dimensions}, squared_error, log_sigma2, dy);
        });
      });
}

Variable gaussian_log_likelihood_twin(const Variable& x, const Variable& mean, const Variable& log_sigma2) {
  const auto dimensions = static_cast<double>(mean.size(-1));
  const Variable squared_error = sum(square(x - mean), {-1});
  return -0.5 * (squared_error / exp(log_sigma2) + dimensions * (log_sigma2 + math::kLogTwoPi));
}

Variable diagonal_gaussian_log_likelihood(const Variable& x, const Variable& mean,
                                          const Variable& log_variance) {
  check_data(x, mean, "diagonal_gaussian_log_likelihood", "mean");
  if (!(log_variance.shape() == mean.shape()))
    fail("[diagonal_gaussian_log_likelihood] log_variance {} must have the shape of mean, {}",
         log_variance.shape().str(), mean.shape().str());
  Tensor y =
      sum_over_dimensions(UnitLogDensity{}, mean.shape(), x.value(), mean.value(), log_variance.value());
  return Tape::record(
      "diagonal_gaussian_log_likelihood", {&x, &mean, &log_variance}, y,
      [x = x.value(), mean = mean.value(), log_variance = log_variance.value()](Backward& pass) {
        const Tensor dy = per_point(pass.dy());
        pass.contribute(0, UnitMeanGradient{}, mean, x, log_variance, dy);
        pass.contribute(1, UnitMeanGradient{}, x, mean, log_variance, dy);
        pass.contribute_unsummed(2, UnitLogVarianceGradient{}, x, mean, log_variance, dy);
      });
}

Variable diagonal_gaussian_log_likelihood_twin(const Variable& x, const Variable& mean,
                                               const Variable& log_variance) {
  return -0.5 * sum(square(x - mean) / exp(log_variance) + log_variance + math::kLogTwoPi, {-1});
}

Variable bernoulli_log_likelihood(const Variable& x, const Variable& logits) {
  check_data(x, logits, "bernoulli_log_likelihood", "logits");
  Tensor y = sum_over_dimensions(BernoulliLogDensity{}, logits.shape(), x.value(), logits.value());
  return Tape::record("bernoulli_log_likelihood", {&x, &logits}, y,
                      [x = x.value(), logits = logits.value()](Backward& pass) {
                        const Tensor dy = per_point(pass.dy());
                        pass.contribute(0, Product{}, logits, dy);
                        pass.contribute_unsummed(1, LogitGradient{}, x, logits, dy);
                      });
}

Variable bernoulli_log_likelihood_twin(const Variable& x, const Variable& logits) {
  return sum(x * logits - softplus(logits), {-1});
}

}  // namespace elbo
