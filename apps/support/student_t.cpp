#include "apps/support/student_t.h"

#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace elbo {
namespace {

/// Lentz's evaluation of the continued fraction of the incomplete beta function (Abramowitz and Stegun
/// 26.5.8), which converges fast for x below (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300, kEnough = 1e-16;
  const auto away_from_zero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), product = d;
  for (int m = 1; m < 10000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    product *= c * d;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    product *= c * d;
    if (std::abs(c * d - 1) < kEnough) break;
  }
  return product;
}

/// The regularised incomplete beta function I_x(a, b), of x and of 1 - x, whose difference to 1 may be lost
/// in x itself.
double incomplete_beta(double a, double b, double x, double rest) {
  if (x <= 0) return 0;
  if (rest <= 0) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log(rest));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, rest) / b;
}

constexpr double kAsNormal = 1e10;  // degrees from which on the two agree to 1e-10

}  // namespace

double student_t_probability(double t, double degrees) {
  if (!(degrees > 0)) fail("[student_t] degrees of freedom must be above 0, got {}", degrees);
  if (std::isnan(t)) return t;
  double tail;  // P(T > |t|)
  if (degrees >= kAsNormal) {
    tail = 0.5 * std::erfc(std::abs(t) / std::sqrt(2.0));
  } else if (std::isinf(t)) {
    tail = 0;
  } else {
    const double all = degrees + t * t;
    tail = 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / all, t * t / all);
  }
  return t < 0 ? tail : 1 - tail;
}

double student_t_quantile(double probability, double degrees) {
  if (!(probability > 0 && probability < 1))
    fail("[student_t] a probability between 0 and 1 is needed, got {}", probability);
  if (probability == 0.5) return 0;
  if (probability > 0.5) return -student_t_quantile(1 - probability, degrees);
  double low = -1, high = 0;
  while (student_t_probability(low, degrees) > probability) low *= 2;
  for (int i = 0; i < 200 && high - low > std::numeric_limits<double>::epsilon() * -low; ++i) {
    const double middle = low + (high - low) / 2;
    (student_t_probability(middle, degrees) > probability ? high : low) = middle;
  }
  return low + (high - low) / 2;
}

}  // namespace elbo
