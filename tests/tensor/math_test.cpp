// Scalar functions in float against the C library's in double, over every kind of float there is. They run in simd
// loops here, as they do in use.
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
  std::vector<float> values = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -0.5f, 1e-45f, -1e-45f, 3.4028235e38f, -3.4028235e38f};
  values.insert(values.end(), {kInfinity, -kInfinity, kNan, kSmallest, -kSmallest, 88.72283f, 88.7229f, -87.33654f,
                               -87.3366f, -103.9f, 0.70710677f, 0.7071068f, 1.4142135f, 1.4142137f, 9.5f, 16777216.0f});
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1021)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  return values;
}

/// |y - exact| in units of the last place of a float near `exact`. Infinite when one is NaN or infinite and the
/// other is not.
double ulps(float y, double exact) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (std::isnan(exact)) return std::isnan(y) ? 0 : kNever;
  if (std::isnan(y)) return kNever;
  if (std::isinf(static_cast<float>(exact))) return static_cast<double>(y) == static_cast<float>(exact) ? 0 : kNever;
  const int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::abs(static_cast<double>(y) - exact) / std::ldexp(1.0, exponent - 23);
}

struct Worst {
  double error = 0;
  float at = 0;
};

/// The largest error of `function` over `inputs`. Where exact() is subnormal, anything between 0 and the smallest
/// normal float passes.
template <class Function, class Exact>
Worst worst_error(const std::vector<float>& inputs, Function function, Exact exact) {
  std::vector<float> results(inputs.size());
#pragma omp simd
  for (size_t i = 0; i < inputs.size(); ++i) results[i] = function(inputs[i]);
  Worst worst;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double truth = exact(static_cast<double>(inputs[i]));
    double error = ulps(results[i], truth);
    if (std::abs(truth) < kSmallest && std::abs(results[i]) < kSmallest &&
        std::signbit(truth) == std::signbit(results[i]) && std::abs(results[i]) != std::abs(inputs[i]))
      error = 0;
    if (error > worst.error) worst = {error, inputs[i]};
  }
  return worst;
}

double exact_sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double exact_softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("float functions are right to a few units in the last place for every kind of float") {
    const std::vector<float> inputs = all_kinds_of_floats();
    const auto check = [&](const char* name, double bound, auto function, auto exact) {
      const Worst worst = worst_error(inputs, function, exact);
      INFO(name, ": ", worst.error, " ulp at ", worst.at);
      MESSAGE(name, ": ", worst.error, " ulp at ", worst.at);
      CHECK(worst.error <= bound);
    };
    check("exp", 1, [](float x) { return math::exp(x); }, [](double x) { return std::exp(x); });
    check("log", 1, [](float x) { return math::log(x); }, [](double x) { return std::log(x); });
    check("expm1", 1, [](float x) { return math::expm1(x); }, [](double x) { return std::expm1(x); });
    check("log1p", 1, [](float x) { return math::log1p(x); }, [](double x) { return std::log1p(x); });
    check("tanh", 1, [](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); });
    check("sqrt", 1, [](float x) { return math::sqrt(x); }, [](double x) { return std::sqrt(x); });
    check("sigmoid", 1, [](float x) { return math::sigmoid(x); }, exact_sigmoid);
    check("softplus", 1, [](float x) { return math::softplus(x); }, exact_softplus);
  }
}

}  // namespace elbo
