// Fused log-likelihoods of data points, with their twins.
#include "autograd/contribute.h"
#include "vae/formulas.h"
#include "vae/fused.h"

namespace elbo {
namespace {

using formulas::BernoulliLogDensity;
using formulas::LogDensity;
using formulas::LogitGradient;
using formulas::LogSigma2Gradient;
using formulas::MeanOfDensityGradient;
using formulas::SquaredError;
using formulas::UnitLogDensity;
using formulas::UnitLogVarianceGradient;
using formulas::UnitMeanGradient;

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
