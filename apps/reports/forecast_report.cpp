#include "apps/reports/forecast_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/support/figure_parts.h"

namespace elbo {

Table forecast_table(const CollapseForecast& forecast, size_t most) {
  Table table({Table::number("direction"), Table::number("eigenvalue"), "active", Table::number("Var μ"),
               Table::number("mean σ²"), Table::number("KL"), Table::number("gain"),
               Table::number("gain - KL")});
  for (size_t i = 0; i < std::min(most, forecast.units.size()); ++i) {
    const ForecastUnit& unit = forecast.units[i];
    table.row({std::to_string(unit.direction), fmt::format("{:.5g}", unit.eigenvalue),
               unit.active ? "yes" : "no", fmt::format("{:.4f}", unit.variance_of_mean),
               fmt::format("{:.4g}", unit.mean_variance), fmt::format("{:.4f}", unit.kl),
               fmt::format("{:.4f}", unit.gain), fmt::format("{:.4f}", unit.worth())});
  }
  return table;
}

std::string forecast_note() {
  return "A linear VAE at its optimum, σ² fixed: a direction is active where its eigenvalue is above β σ². "
         "KL, and "
         "gain, the likelihood lost where the unit is set to 0, are nats per data point; their difference is "
         "what "
         "the unit adds to the ELBO.";
}

Table forecasts_table(const std::vector<CollapseForecast>& forecasts, const Sigma2Scale& scale) {
  std::vector<Table::Column> columns;
  if (scale.factor != 1) columns.push_back(Table::number(scale.name));
  for (const char* name : {"σ²", "threshold β σ²", "directions above it", "active of k", "KL",
                           "squared error", "tuned σ²", "ELBO"})
    columns.push_back(Table::number(name));
  Table table(columns);
  for (const CollapseForecast& f : forecasts) {
    std::vector<std::string> row;
    if (scale.factor != 1) row.push_back(fmt::format("{:g}", scale.factor * f.sigma2));
    for (const std::string& cell : {fmt::format("{:g}", f.sigma2), fmt::format("{:.4g}", f.threshold()),
                                    std::to_string(f.above), fmt::format("{} of {}", f.active(), f.latent),
                                    fmt::format("{:.3f}", f.kl), fmt::format("{:.4g}", f.squared_error),
                                    fmt::format("{:.4g}", f.sigma2_tuned), fmt::format("{:.3f}", f.elbo)})
      row.push_back(cell);
    table.row(row);
  }
  return table;
}

FigureGrid forecast_figure(const Tensor& eigenvalues, const std::vector<CollapseForecast>& forecasts,
                           const Sigma2Scale& scale) {
  constexpr double kBeyond = 10;  // times as small and as large as what was asked for
  constexpr int kPoints = 1000;
  const CollapseForecast& first = forecasts.at(0);
  double low = first.sigma2, high = first.sigma2;
  for (const CollapseForecast& f : forecasts) {
    low = std::min(low, f.sigma2);
    high = std::max(high, f.sigma2);
  }
  low /= kBeyond;
  // Beyond the first eigenvalue there is nothing to see.
  high = std::max(high * 1.5, std::min(high * kBeyond, 1.5 * eigenvalues.at(0) / first.beta));
  Series above{.name = "directions above β σ²", .style = Style::dashed, .colour = kBlack},
      active{.name = fmt::format("active, k = {}", first.latent), .colour = 0}, kl{.colour = 0};
  for (const double step : evenly(std::log(low), std::log(high), kPoints)) {
    const CollapseForecast f = forecast_collapse(eigenvalues, first.latent, std::exp(step), first.beta);
    for (Series* series : {&above, &active, &kl}) series->x.push_back(scale.factor * f.sigma2);
    above.y.push_back(static_cast<double>(f.above));
    active.y.push_back(static_cast<double>(f.active()));
    kl.y.push_back(f.kl);
  }
  const Axis x{.label = scale.name, .log = true};
  Figure units{.title = "active units", .x = x, .y = {.label = "units", .low = 0}};
  units.y.high = std::min(static_cast<double>(3 * first.latent), 1.05 * above.y.front() + 1);
  Series asked{.name = "asked for", .style = Style::points, .colour = 1}, asked_kl = asked;
  for (const CollapseForecast& f : forecasts) {
    for (Series* series : {&asked, &asked_kl}) series->x.push_back(scale.factor * f.sigma2);
    asked.y.push_back(static_cast<double>(f.active()));
    asked_kl.y.push_back(f.kl);
  }
  units.series = {above, active, asked};
  Figure nats{.title = "KL", .x = x, .y = {.label = "nats per data point", .low = 0}};
  nats.series = {kl, asked_kl};
  FigureGrid grid{.name = "forecast", .title = "What a linear VAE would use", .cells = {units, nats}};
  return grid;
}

Json to_json(const CollapseForecast& f) {
  const auto list = [&](auto value) {
    Json values = Json::array();
    for (const ForecastUnit& unit : f.units) values.push_back(value(unit));
    return values;
  };
  return {{"sigma2", f.sigma2},
          {"beta", f.beta},
          {"threshold", f.threshold()},
          {"latent", f.latent},
          {"directions_above", f.above},
          {"active_units", f.active()},
          {"kl", f.kl},
          {"squared_error", f.squared_error},
          {"sigma2_tuned", f.sigma2_tuned},
          {"elbo", f.elbo},
          {"active", list([](const ForecastUnit& unit) { return unit.active; })},
          {"variance_of_mean", list([](const ForecastUnit& unit) { return unit.variance_of_mean; })},
          {"mean_variance", list([](const ForecastUnit& unit) { return unit.mean_variance; })},
          {"kl_per_dim", list([](const ForecastUnit& unit) { return unit.kl; })},
          {"gain", list([](const ForecastUnit& unit) { return unit.gain; })}};
}

}  // namespace elbo
