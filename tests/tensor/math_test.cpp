// Scalar functions in float against the C library's in double, over every kind of float there is. They run in
// simd loops here, as they do in use.
#include "tensor/math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace elbo {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kSmallest = std::numeric_limits<float>::min();  // normal; subnormals are below

/// Floats of all magnitudes and both signs: one bit pattern in 1021, and the edges.
std::vector<float> all_kinds_of_floats() {
  std::vector<float> values = {0.0f,  -0.0f,  1.0f,    -1.0f,         0.5f,
                               -0.5f, 1e-45f, -1e-45f, 3.4028235e38f, -3.4028235e38f};
  values.insert(values.end(),
                {kInfinity, -kInfinity, kNan, kSmallest, -kSmallest, 88.72283f, 88.7229f, -87.33654f,
                 -87.3366f, -103.9f, 0.70710677f, 0.7071068f, 1.4142135f, 1.4142137f, 9.5f, 16777216.0f});
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1021)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  return values;
}

/// |y - exact| in units of the last place of a float near `exact`. Infinite when one is NaN or infinite and
/// the other is not.
double ulps(float y, double exact) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (std::isnan(exact)) return std::isnan(y) ? 0 : kNever;
  if (std::isnan(y)) return kNever;
  if (std::isinf(static_cast<float>(exact)))
    return static_cast<double>(y) == static_cast<float>(exact) ? 0 : kNever;
  const int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::abs(static_cast<double>(y) - exact) / std::ldexp(1.0, exponent - 23);
}

struct Worst {
  double error = 0;
  float at = 0;
};

/// The largest error of `function` over `inputs`. With `underflows`, any result up to the smallest normal
/// float passes where the exact one is subnormal.
template <class Function, class Exact>
Worst worst_error(const std::vector<float>& inputs, Function function, Exact exact, bool underflows) {
  std::vector<float> results(inputs.size());
#pragma omp simd
  for (size_t i = 0; i < inputs.size(); ++i) results[i] = function(inputs[i]);
  Worst worst;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double truth = exact(static_cast<double>(inputs[i]));
    if (underflows && truth < kSmallest && results[i] >= 0 && results[i] <= kSmallest) continue;
    const double error = ulps(results[i], truth);
    if (error > worst.error) worst = {error, inputs[i]};
  }
  return worst;
}

double exact_sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double exact_softplus(double x) {
  return (x > 0 ? x : 0.0) + (x != x ? x : std::log1p(std::exp(-std::abs(x))));
}

}  // namespace

TEST_SUITE("tensor") {
  // The bounds are the errors of a sweep ten times as dense, a few percent added; with and without fused
  // multiply-add they agree to 0.1 ulp.
  TEST_CASE("float functions are right to a few units in the last place for every kind of float") {
    const std::vector<float> inputs = all_kinds_of_floats();
    const auto check = [&](const std::string& name, double bound, auto function, auto exact,
                           bool underflows = false) {
      const Worst worst = worst_error(inputs, function, exact, underflows);
      CHECK_MESSAGE(worst.error <= bound, name, " is wrong by ", worst.error, " ulp at ", worst.at);
    };
    check(
        "exp", 1.1, [](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }, true);
    check(
        "log", 0.85, [](float x) { return math::log(x); }, [](double x) { return std::log(x); });
    check(
        "expm1", 1.8, [](float x) { return math::expm1(x); }, [](double x) { return std::expm1(x); });
    check(
        "log1p", 1.5, [](float x) { return math::log1p(x); }, [](double x) { return std::log1p(x); });
    check(
        "tanh", 2.6, [](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); });
    check(
        "cbrt", 1.0, [](float x) { return math::cbrt(x); }, [](double x) { return std::cbrt(x); });
    check(
        "sqrt", 0.5, [](float x) { return math::sqrt(x); }, [](double x) { return std::sqrt(x); });
    check(
        "sigmoid", 2.4, [](float x) { return math::sigmoid(x); }, exact_sigmoid, true);
    check(
        "softplus", 2.0, [](float x) { return math::softplus(x); }, exact_softplus, true);
  }

  TEST_CASE("float functions take zeros, infinities and NaN as the C library does") {
    CHECK(math::exp(0.0f) == 1.0f);
    CHECK(math::exp(kInfinity) == kInfinity);
    CHECK(math::exp(-kInfinity) == 0.0f);
    CHECK(math::exp(88.7229f) == kInfinity);
    CHECK(math::exp(88.72283f) < kInfinity);
    CHECK(math::log(0.0f) == -kInfinity);
    CHECK(math::log(-0.0f) == -kInfinity);
    CHECK(math::log(1.0f) == 0.0f);
    CHECK(math::log(kInfinity) == kInfinity);
    CHECK(std::isnan(math::log(-1e-45f)));
    CHECK(math::expm1(-kInfinity) == -1.0f);
    CHECK(math::expm1(kInfinity) == kInfinity);
    CHECK(math::log1p(-1.0f) == -kInfinity);
    CHECK(math::log1p(kInfinity) == kInfinity);
    CHECK(std::isnan(math::log1p(-1.0000001f)));
    CHECK(math::log1p(1e-45f) == 1e-45f);
    CHECK(math::tanh(kInfinity) == 1.0f);
    CHECK(math::tanh(-kInfinity) == -1.0f);
    CHECK(math::tanh(1e-45f) == 1e-45f);
    CHECK(math::sigmoid(kInfinity) == 1.0f);
    CHECK(math::sigmoid(-kInfinity) == 0.0f);
    CHECK(math::softplus(kInfinity) == kInfinity);
    CHECK(math::softplus(-kInfinity) == 0.0f);
    CHECK(std::isnan(math::sqrt(-1.0f)));
    CHECK(math::cbrt(-8.0f) == -2.0f);
    CHECK(math::cbrt(0.0f) == 0.0f);
    CHECK(std::signbit(math::cbrt(-0.0f)));
    CHECK(math::cbrt(-kInfinity) == -kInfinity);
    for (float y : {math::cbrt(kNan), math::exp(kNan), math::log(kNan), math::expm1(kNan), math::log1p(kNan),
                    math::tanh(kNan), math::sqrt(kNan), math::sigmoid(kNan), math::softplus(kNan)})
      CHECK(std::isnan(y));
  }

  TEST_CASE("exp gives 0 where e^x is subnormal, below -87.33654") {
    CHECK(math::exp(-87.33654f) >= kSmallest);
    CHECK(math::exp(std::nextafter(-87.33654f, -100.0f)) == 0.0f);
    CHECK(math::exp(-100.0f) == 0.0f);
    CHECK(math::sigmoid(-88.0f) == 0.0f);
  }

  TEST_CASE("sigmoid and softplus in double keep their relative precision at both ends") {
    double worst_sigmoid = 0, worst_softplus = 0;
    for (double x = -700; x <= 700; x += 0.173) {
      const long double e = std::exp(-std::abs(static_cast<long double>(x)));
      const long double sigmoid = (x < 0 ? e : 1) / (1 + e), softplus = std::max(x, 0.0) + std::log1p(e);
      const auto relative = [](double y, long double exact) {
        return static_cast<double>(std::abs((y - exact) / exact)) / std::numeric_limits<double>::epsilon();
      };
      worst_sigmoid = std::max(worst_sigmoid, relative(math::sigmoid(x), sigmoid));
      worst_softplus = std::max(worst_softplus, relative(math::softplus(x), softplus));
    }
    CHECK(worst_sigmoid < 2);
    CHECK(worst_softplus < 2);
  }

  TEST_CASE("cos_sin_turn is right to 1e-7 in float, 4e-8 in double, over the whole turn") {
    double worst_float = 0, worst_double = 0;
    constexpr int kSteps = 1 << 18;
    for (int i = 0; i < kSteps; ++i) {
      const float u = static_cast<float>(i) / kSteps;
      const double angle = 2 * math::kPi * static_cast<double>(u);
      float c, s;
      double cd, sd;
      math::cos_sin_turn(u, c, s);
      math::cos_sin_turn(static_cast<double>(u), cd, sd);
      const auto error = [&](double a, double b) {
        return std::max(std::abs(a - std::cos(angle)), std::abs(b - std::sin(angle)));
      };
      worst_float = std::max(worst_float, error(static_cast<double>(c), static_cast<double>(s)));
      worst_double = std::max(worst_double, error(cd, sd));
    }
    CHECK(worst_float < 1e-7);
    CHECK(worst_double < 4e-8);
  }
}

}  // namespace elbo
