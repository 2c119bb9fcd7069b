#include "vae/collapse_forecast.h"

#include <cmath>

#include "tensor/error.h"
#include "tensor/math.h"

namespace elbo {
namespace {

void check(int64_t dimensions, int64_t latent, double sigma2, double beta) {
  if (latent < 1 || latent > dimensions)
    fail("[forecast] k must be 1 to {}, the dimension of the data, got {}", dimensions, latent);
  if (!(std::isfinite(sigma2) && sigma2 > 0) || !(std::isfinite(beta) && beta > 0))
    fail("[forecast] sigma^2 and beta must be positive, got {:g} and {:g}", sigma2, beta);
}

ForecastUnit unit_at(int64_t direction, double eigenvalue, double threshold, double beta) {
  ForecastUnit unit{.direction = direction, .eigenvalue = eigenvalue, .active = eigenvalue > threshold};
  if (!unit.active) return unit;
  const double ratio = eigenvalue / threshold;
  unit.length2 = eigenvalue - threshold;
  unit.variance_of_mean = unit.length2 / eigenvalue;
  unit.mean_variance = 1 / ratio;
  unit.kl = std::log(ratio) / 2;
  unit.gain = beta * (ratio - 1) / 2;
  return unit;
}

}  // namespace

CollapseForecast forecast_collapse(const Tensor& eigenvalues, int64_t latent, double sigma2, double beta) {
  const int64_t dimensions = eigenvalues.elements();
  check(dimensions, latent, sigma2, beta);
  CollapseForecast forecast{.sigma2 = sigma2, .beta = beta, .latent = latent, .units = {}};
  for (int64_t i = 0; i < dimensions; ++i) {
    const double eigenvalue = eigenvalues.at(i);
    if (eigenvalue > forecast.threshold()) ++forecast.above;
    double error = eigenvalue;
    if (i < latent) {
      const ForecastUnit& unit =
          forecast.units.emplace_back(unit_at(i + 1, eigenvalue, forecast.threshold(), beta));
      forecast.kl += unit.kl;
      if (unit.active) error = forecast.threshold();
    }
    forecast.squared_error += error;
  }
  const auto d = static_cast<double>(dimensions);
  forecast.sigma2_tuned = forecast.squared_error / d;
  forecast.elbo =
      -d / 2 * (math::kLogTwoPi + std::log(sigma2)) - forecast.squared_error / (2 * sigma2) - forecast.kl;
  return forecast;
}

LinearVaeWeights forecast_weights(const DataMoments& data, const Eigen& eigen, int64_t latent, double sigma2,
                                  double beta) {
  const CollapseForecast forecast = forecast_collapse(eigen.values, latent, sigma2, beta);
  const int64_t d = data.mean.elements(), known = eigen.vectors.size(1);
  LinearVaeWeights weights{.decoder = Tensor::zeros({d, latent}, DType::f64),
                           .encoder = Tensor::zeros({latent, d}, DType::f64),
                           .log_variance = Tensor::zeros({latent}, DType::f64),
                           .mean = data.mean,
                           .log_sigma2 = std::log(sigma2)};
  for (int64_t i = 0; i < latent; ++i) {
    const ForecastUnit& unit = forecast.units[static_cast<size_t>(i)];
    if (!unit.active) continue;
    const double length = std::sqrt(unit.length2);
    for (int64_t j = 0; j < d; ++j) {
      const double u = eigen.vectors.at(j * known + i);
      weights.decoder.data<double>()[j * latent + i] = length * u;
      weights.encoder.data<double>()[i * d + j] = length / unit.eigenvalue * u;
    }
    weights.log_variance.data<double>()[i] = std::log(unit.mean_variance);
  }
  return weights;
}

}  // namespace elbo
