// The pointwise formulas of VAEs that more than one file evaluates: the fused ops, as maps, and the kernels
// that do several of them at once. Each is a point's, or a unit's, share of what fused.h defines. Knows no
// tensors.
#pragma once

#include "autograd/formulas.h"
#include "tensor/math.h"

namespace elbo::formulas {

/// One unit's KL: (mean^2 + e^lv - 1 - lv) / 2. expm1 keeps it from cancelling, and from falling below zero,
/// next to the prior.
struct UnitKl {
  static constexpr const char* name = "gaussian_kl";
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance) const {
    return T(0.5) * (mean * mean + math::expm1(log_variance) - log_variance);
  }
  template <class T>
  ELBO_HD Gradients<T> backward(T mean, T log_variance, T dy) const {
    return {dy * mean, T(0.5) * dy * math::expm1(log_variance)};
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

}  // namespace elbo::formulas
