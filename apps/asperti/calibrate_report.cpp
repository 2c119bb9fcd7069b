#include "apps/asperti/calibrate_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/reports/calibration_report.h"
#include "apps/support/figure_parts.h"
#include "apps/support/statistics.h"
#include "tensor/math.h"

namespace elbo::asperti {
namespace {

using Points = std::vector<CalibrationPoint>;

Points points_of(const std::vector<CalibratedEnsemble>& scan, int64_t dimensions) {
  Points points;
  for (const CalibratedEnsemble& found : scan) points.push_back(point_of(found, dimensions));
  return points;
}

/// Forecast beside found, over all models at a point. A deep VAE's units follow no direction: they are
/// compared by rank, the r-th of the forecast with the r-th of the model.
struct Comparison {
  CollapseForecast forecast;
  int64_t least = 0, most = 0;  ///< units in use, over the models
  int64_t ranks = 0, hits = 0;  ///< of all models; ranks on which both say the same
  int64_t missing = 0;          ///< forecast, and not in use
  int64_t surprising = 0;       ///< in use, and not forecast
  double count_error = 0;       ///< mean of |forecast - found|, in units
};
Comparison compare(const CalibrationPoint& point, const Tensor& eigenvalues) {
  Comparison c{.forecast = forecast_collapse(eigenvalues, std::min(point.latent, eigenvalues.elements()),
                                             point.sigma2)};
  const int64_t predicted = c.forecast.active();
  c.least = point.latent;
  for (const CalibratedModel& model : point.models) {
    c.least = std::min(c.least, model.in_use);
    c.most = std::max(c.most, model.in_use);
    c.ranks += point.latent;
    c.missing += std::max<int64_t>(predicted - model.in_use, 0);
    c.surprising += std::max<int64_t>(model.in_use - predicted, 0);
  }
  c.hits = c.ranks - c.missing - c.surprising;
  c.count_error = static_cast<double>(c.missing + c.surprising) /
                  static_cast<double>(std::max<size_t>(point.models.size(), 1));
  return c;
}

Table forecast_against_found(const Points& points, const Tensor& eigenvalues, bool over_k) {
  Table table({Table::number(over_k ? "k" : "λ"), Table::number("forecast"), Table::number("found"),
               Table::number("least"), Table::number("most"), Table::number("hits"),
               Table::number("forecast, not in use"), Table::number("in use, not forecast"),
               Table::number("KL forecast"), Table::number("KL found")});
  for (const CalibrationPoint& point : points) {
    const Comparison c = compare(point, eigenvalues);
    table.row({over_k ? std::to_string(point.latent) : fmt::format("{:g}", 2 * point.sigma2),
               fmt::format("{} of {}", c.forecast.active(), point.latent),
               with_interval(point.over(&CalibratedModel::in_use), "{:.1f}"), std::to_string(c.least),
               std::to_string(c.most), fmt::format("{} of {}", c.hits, c.ranks), std::to_string(c.missing),
               std::to_string(c.surprising), fmt::format("{:.2f}", c.forecast.kl),
               with_interval(point.over(&CalibratedModel::kl), "{:.2f}")});
  }
  return table;
}

Json comparison_json(const Points& points, const Tensor& eigenvalues) {
  Json list = Json::array();
  for (const CalibrationPoint& point : points) {
    const Comparison c = compare(point, eigenvalues);
    list.push_back({{"lambda", 2 * point.sigma2},
                    {"latent", point.latent},
                    {"forecast", c.forecast.active()},
                    {"forecast_whatever_k", c.forecast.above},
                    {"found", point.over(&CalibratedModel::in_use).mean},
                    {"hits", c.hits},
                    {"ranks", c.ranks},
                    {"forecast_not_in_use", c.missing},
                    {"in_use_not_forecast", c.surprising},
                    {"kl_forecast", c.forecast.kl},
                    {"kl_found", finite_or_null(point.over(&CalibratedModel::kl).mean)}});
  }
  return list;
}

template <class T>
Series found_series(const Points& points, T CalibratedModel::*value) {
  std::vector<double> lambda;
  std::vector<Statistics> found;
  for (const CalibrationPoint& point : points) {
    lambda.push_back(2 * point.sigma2);
    found.push_back(point.over(value));
  }
  return interval_band("deep VAEs", lambda, found);
}

/// KL of the units by rank, of a scan's point.
Figure kl_by_rank(const CalibratedEnsemble& found, const Tensor& eigenvalues) {
  Figure figure{.title = fmt::format("units by rank, λ = {:g}", found.lambda),
                .x = {.label = "rank"},
                .y = {.label = "KL (nats)", .low = 0}};
  const CollapseForecast forecast =
      forecast_collapse(eigenvalues, std::min(found.latent, eigenvalues.elements()), found.lambda / 2);
  std::vector<double> ranks, linear;
  std::vector<Statistics> deep;
  for (size_t r = 0; r < static_cast<size_t>(found.latent); ++r) {
    std::vector<double> values;
    for (const auto& units : found.ensemble.units) {
      std::vector<double> kl;
      for (const UnitDiagnostics& unit : units) kl.push_back(unit.kl);
      if (!std::ranges::all_of(kl, [](double value) { return std::isfinite(value); })) continue;
      std::sort(kl.rbegin(), kl.rend());
      values.push_back(kl.at(r));
    }
    ranks.push_back(static_cast<double>(r + 1));
    deep.push_back(statistics_of(values));
    linear.push_back(r < forecast.units.size() ? forecast.units[r].kl : 0);
  }
  figure.series = {interval_band("deep VAEs", ranks, deep), {.name = "forecast", .x = ranks, .y = linear}};
  return figure;
}

FigureGrid hits_figure(const CalibrateFindings& found, const Points& points) {
  const Axis x{.label = "λ", .log = true};
  Figure units{.title = "units in use", .x = x, .y = {.label = "units", .low = 0}};
  Figure kl{.title = "KL of all units", .x = x, .y = {.label = "nats per data point", .low = 0}};
  constexpr int kSteps = 300;
  Series forecast{.name = "forecast"}, forecast_kl{.name = "forecast"};
  const int64_t k = std::min(points.front().latent, found.eigenvalues.elements());
  for (int i = 0; i <= kSteps; ++i) {
    const double share = static_cast<double>(i) / kSteps;
    const double sigma2 =
        points.front().sigma2 * std::pow(points.back().sigma2 / points.front().sigma2, share);
    const CollapseForecast f = forecast_collapse(found.eigenvalues, k, sigma2);
    for (Series* series : {&forecast, &forecast_kl}) series->x.push_back(2 * sigma2);
    forecast.y.push_back(static_cast<double>(f.active()));
    forecast_kl.y.push_back(f.kl);
  }
  units.series = {found_series(points, &CalibratedModel::in_use), forecast};
  kl.series = {found_series(points, &CalibratedModel::kl), forecast_kl};
  FigureGrid grid{
      .name = "forecast_hits", .title = "Forecast by eigenvalues, and found", .cells = {units, kl}};
  // One lambda of each half of the scan.
  const size_t count = found.over_lambda.size();
  grid.cells.push_back(kl_by_rank(found.over_lambda[count / 3], found.eigenvalues));
  if (count > 2) grid.cells.push_back(kl_by_rank(found.over_lambda[2 * count / 3], found.eigenvalues));
  return grid;
}

void add_lambda_claims(const CalibrateFindings& found, const Points& points, size_t chosen, Presentation& p) {
  const std::string unlike = !found.unlike.empty() ? found.unlike
                             : found.epochs < 30   ? "fewer than 30 epochs"
                             : points.size() < 2   ? "one lambda alone"
                                                   : "";
  const CalibrationPoint &low = points.front(), &high = points.back();
  bool rises = false;
  for (size_t i = 1; i < points.size(); ++i) {
    const Interval more =
        difference_of(points[i].over(&CalibratedModel::in_use), points[i - 1].over(&CalibratedModel::in_use));
    rises = rises || more.middle > more.half;
  }
  const Statistics most = low.over(&CalibratedModel::in_use), least = high.over(&CalibratedModel::in_use);
  Claim& fewer = p.claims.emplace_back(
      Claim{.claim = "a smaller λ leaves fewer units unused",
            .paper = "yes (section 6.1)",
            .here = fmt::format("{} of {} in use at λ = {:g}, {} at {:g}", with_interval(most, "{:.1f}"),
                                low.latent, 2 * low.sigma2, with_interval(least, "{:.1f}"), 2 * high.sigma2),
            .note = unlike});
  if (unlike.empty()) judge_above_zero(fewer, difference_of(most, least));
  if (fewer.holds && rises) fewer.holds = false;
  const CalibrationPoint* used = &high;  // the largest lambda with units in use
  for (const CalibrationPoint& point : points)
    if (point.most_in_use() > 0) used = &point;
  const Statistics off_low = low.over(&CalibratedModel::law_deviation),
                   off_high = used->over(&CalibratedModel::law_deviation);
  Claim& regular = p.claims.emplace_back(
      Claim{.claim = "a smaller λ makes z less regular: sums farther from 1",
            .paper = "yes (section 6.1)",
            .here = fmt::format("off by {} at λ = {:g}, {} at {:g}", with_interval(off_low, "{:.3f}"),
                                2 * low.sigma2, with_interval(off_high, "{:.3f}"), 2 * used->sigma2),
            .note = unlike});
  if (unlike.empty()) judge_above_zero(regular, difference_of(off_low, off_high));
  p.claims.push_back(
      {.claim = "the method's λ: the smallest from which on the sums are 1",
       .paper = "no number (section 6.1)",
       .here = chosen < points.size()
                   ? fmt::format("{:g}, {} of {} units in use", 2 * points[chosen].sigma2,
                                 with_interval(points[chosen].over(&CalibratedModel::in_use), "{:.1f}"),
                                 points[chosen].latent)
                   : std::string("none"),
       .note = fmt::format("within {:g} on average", found.tolerance)});
}

void add_latent_claim(const CalibrateFindings& found, const Points& points, size_t chosen, Presentation& p) {
  const std::string unlike = !found.unlike.empty() ? found.unlike
                             : points.size() < 2   ? "one k alone"
                             : chosen == 0         ? "the first k is sparse already; begin with a smaller one"
                                                   : "";
  std::string counts;
  for (const CalibrationPoint& point : points)
    counts += fmt::format("{}{} of {}", counts.empty() ? "" : ", ",
                          with_interval(point.over(&CalibratedModel::in_use), "{:.1f}"), point.latent);
  p.claims.push_back({.claim = "growing k ends in sparsity",
                      .paper = "yes (section 7)",
                      .here = counts + " in use",
                      .holds = unlike.empty() ? std::optional(chosen < points.size()) : std::nullopt,
                      .note = unlike});
}

Json scan_json(const Points& points) {
  Json list = Json::array();
  for (const CalibrationPoint& point : points) list.push_back(to_json(point));
  return list;
}

void present_lambda(const CalibrateFindings& found, const std::string& folder, Presentation& p) {
  const int64_t dimensions = found.eigenvalues.elements();
  const Points points = points_of(found.over_lambda, dimensions);
  const std::optional<LawChoice> choice = choose_by_law(points, found.tolerance);
  const size_t chosen = choice && choice->lawful ? choice->index : points.size();
  Report& report = *p.report;
  report.section("λ by the variance law");
  const Table table = sigma2_table(points, chosen, kLambdaScale);
  report.table(table, law_criterion(found.tolerance) +
                          " λ = 2 σ². KL and ELBO in nats per data point, the squared error summed over "
                          "pixels; ± is half a 95 % interval over the seeds.");
  report.figure(draw(sigma2_figure(points, chosen, found.tolerance, dimensions, kLambdaScale), folder),
                "The curves that decide, over λ; bands are 95 % intervals over the seeds.");
  p.text = table.text();
  p.result.set("over_lambda", scan_json(points), "KL and ELBO in nats per data point");
  p.result.set("lambda_chosen", chosen < points.size() ? Json(2 * points[chosen].sigma2) : Json(nullptr),
               law_criterion(found.tolerance));
  add_lambda_claims(found, points, chosen, p);

  report.section("Forecast, hits and misses");
  const Table hits = forecast_against_found(points, found.eigenvalues, false);
  double error = 0;
  for (const CalibrationPoint& point : points)
    error += compare(point, found.eigenvalues).count_error / static_cast<double>(points.size());
  report.table(
      hits, fmt::format("Active units by the eigenvalues of the data, before any training, beside those that "
                        "the dense networks use. Units of a deep VAE follow no direction, so ranks are "
                        "compared, of all models. The count is off by {:.1f} units on average.",
                        error));
  report.figure(draw(hits_figure(found, points), folder),
                "The linear theory's forecast and what deep VAEs do. It is exact for linear VAEs.");
  p.text += "\n" + hits.text();
  p.result.set("forecast", comparison_json(points, found.eigenvalues), "KL in nats per data point");
  p.result.set("forecast_count_error", error, "mean of |forecast - found| over lambda and models, in units");
}

void present_latent(const CalibrateFindings& found, const std::string& folder, Presentation& p) {
  const Points points = points_of(found.over_latent, found.eigenvalues.elements());
  const auto sparse = std::find_if(points.begin(), points.end(), is_sparse);
  const auto chosen = static_cast<size_t>(sparse - points.begin());
  Report& report = *p.report;
  report.section("k until units stay unused");
  const Table table = latent_table(points, chosen);
  report.table(table,
               fmt::format("At λ = {:g}. The first k at which every model leaves a unit unused is chosen.",
                           found.over_latent.front().lambda));
  report.figure(draw(latent_figure(points, chosen), folder),
                "The curves over k; bands are 95 % intervals over the seeds.");
  report.table(forecast_against_found(points, found.eigenvalues, true), "The forecast over k.");
  p.text += "\n" + table.text();
  p.result.set("over_latent", scan_json(points), "KL and ELBO in nats per data point");
  p.result.set("latent_chosen", sparse != points.end() ? Json(sparse->latent) : Json(nullptr),
               "the first k at which every model leaves a unit unused");
  p.result.set("forecast_over_latent", comparison_json(points, found.eigenvalues),
               "KL in nats per data point");
  add_latent_claim(found, points, chosen, p);
}

}  // namespace

CalibrationPoint point_of(const CalibratedEnsemble& found, int64_t dimensions) {
  CalibrationPoint point{.sigma2 = found.lambda / 2, .latent = found.latent};
  for (size_t m = 0; m < found.ensemble.members(); ++m) {
    std::vector<double> variance, law;
    double kl = 0;
    for (const UnitDiagnostics& unit : found.ensemble.units[m]) {
      variance.push_back(unit.variance_of_mean);
      law.push_back(unit.law);
      kl += unit.kl;
    }
    if (!std::isfinite(kl)) continue;  // a model that broke
    CalibratedModel& model = point.models.emplace_back(calibrated_model(variance, law));
    model.kl = kl;
    model.squared_error = found.ensemble.squared_error[m];
    model.elbo = -static_cast<double>(dimensions) / 2 * (math::kLogTwoPi + std::log(point.sigma2)) -
                 model.squared_error / (2 * point.sigma2) - kl;
  }
  return point;
}

void present_calibrate(const CalibrateFindings& found, Presentation& p) {
  p.report.emplace(
      "Calibrating a VAE by its units",
      "Asperti 2019, sections 4, 6.1 and 7: λ by the variance law, then k until units stay unused; and "
      "whether the eigenvalues of the data tell beforehand which units those will be.");
  if (!found.over_lambda.empty()) present_lambda(found, p.directory.figures(), p);
  if (!found.over_latent.empty()) present_latent(found, p.directory.figures(), p);
}

}  // namespace elbo::asperti
