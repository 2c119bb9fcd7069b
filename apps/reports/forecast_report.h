// What is said and drawn of a collapse forecast (vae/collapse_forecast.h).
#pragma once

#include <string>
#include <vector>

#include "apps/support/figure.h"
#include "apps/support/json.h"
#include "apps/support/table.h"
#include "vae/collapse_forecast.h"

namespace elbo {

/// sigma^2 as figures and tables have it: Asperti's lambda, the weight of the KL beside the squared error, is
/// 2 sigma^2.
struct Sigma2Scale {
  std::string name = "σ²";
  double factor = 1;
};
inline const Sigma2Scale kLambdaScale{"λ", 2};

/// A direction a row, so many at most.
Table forecast_table(const CollapseForecast& forecast, size_t most);
/// What the table's numbers are.
std::string forecast_note();
/// A sigma^2 a row.
Table forecasts_table(const std::vector<CollapseForecast>& forecasts, const Sigma2Scale& scale);

/// How many of k units are active, and what they carry together, over sigma^2; points mark the
/// values asked for.
FigureGrid forecast_figure(const Tensor& eigenvalues, const std::vector<CollapseForecast>& forecasts,
                           const Sigma2Scale& scale);

Json to_json(const CollapseForecast& forecast);

}  // namespace elbo
