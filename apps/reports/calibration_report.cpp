#include "apps/reports/calibration_report.h"

#include <cmath>

#include "apps/support/figure_parts.h"

namespace elbo {
namespace {

double least_of(const CalibrationPoint& point) { return point.over(&CalibratedModel::law_least).mean; }
double most_of(const CalibrationPoint& point) { return point.over(&CalibratedModel::law_most).mean; }

std::vector<std::string> cells_of(const CalibrationPoint& point) {
  const double least = least_of(point), most = most_of(point);
  return {with_interval(point.over(&CalibratedModel::in_use), "{:.1f}"),
          with_interval(point.over(&CalibratedModel::law_deviation), "{:.3f}"),
          std::isfinite(least) ? fmt::format("{:.3f}", least) : "-",
          std::isfinite(most) ? fmt::format("{:.3f}", most) : "-",
          with_interval(point.over(&CalibratedModel::kl), "{:.2f}"),
          with_interval(point.over(&CalibratedModel::squared_error), "{:.4g}"),
          with_interval(point.over(&CalibratedModel::elbo), "{:.2f}")};
}

template <class First>
Table table_of(const std::string& name, const std::vector<CalibrationPoint>& points, size_t chosen,
               First first) {
  Table table({Table::number(name), Table::number("units in use"), Table::number("|sum - 1|"),
               Table::number("sums from"), Table::number("to"), Table::number("KL"),
               Table::number("squared error"), Table::number("ELBO"), "chosen"});
  for (size_t i = 0; i < points.size(); ++i) {
    std::vector<std::string> row{first(points[i])};
    for (const std::string& cell : cells_of(points[i])) row.push_back(cell);
    row.push_back(i == chosen ? "yes" : "");
    table.row(row);
  }
  return table;
}

/// A number of the points, over what `at` says of them.
template <class T, class At>
Series series_of(const std::vector<CalibrationPoint>& points, At at, T CalibratedModel::*value) {
  std::vector<double> x;
  std::vector<Statistics> y;
  for (const CalibrationPoint& point : points) {
    x.push_back(at(point));
    y.push_back(point.over(value));
  }
  Series series = interval_band("", x, y);
  series.colour = 0;
  return series;
}

}  // namespace

Table sigma2_table(const std::vector<CalibrationPoint>& points, size_t chosen, const Sigma2Scale& scale) {
  return table_of(scale.name, points, chosen,
                  [&](const CalibrationPoint& p) { return fmt::format("{:.4g}", scale.factor * p.sigma2); });
}

Table latent_table(const std::vector<CalibrationPoint>& points, size_t chosen) {
  return table_of("k", points, chosen, [](const CalibrationPoint& p) { return std::to_string(p.latent); });
}

FigureGrid sigma2_figure(const std::vector<CalibrationPoint>& points, size_t chosen, double tolerance,
                         int64_t dimensions, const Sigma2Scale& scale) {
  const auto at = [&](const CalibrationPoint& point) { return scale.factor * point.sigma2; };
  const Axis x{.label = scale.name, .log = true};
  Figure used{.title = "units in use", .x = x, .y = {.label = "units", .low = 0}};
  used.series = {series_of(points, at, &CalibratedModel::in_use)};
  Figure law{
      .title = "distance of the sums from 1", .x = x, .y = {.label = "mean |Var μ + mean σ² - 1|", .low = 0}};
  law.series = {series_of(points, at, &CalibratedModel::law_deviation)};
  law.lines = {{.at = tolerance, .label = "tolerance"}};
  Figure kl{.title = "KL", .x = x, .y = {.label = "nats per data point", .low = 0}};
  kl.series = {series_of(points, at, &CalibratedModel::kl)};
  Figure error{
      .title = "squared error per dimension", .x = x, .y = {.label = "mean squared error", .log = true}};
  Series per_dimension = series_of(points, at, &CalibratedModel::squared_error);
  for (std::vector<double>* values : {&per_dimension.y, &per_dimension.band_low, &per_dimension.band_high})
    for (double& value : *values) value /= static_cast<double>(dimensions);
  error.series = {per_dimension};
  Series equal{.name = "error = σ², the ELBO's optimum", .style = Style::dashed, .colour = kBlack};
  for (const CalibrationPoint& point : points) {
    equal.x.push_back(at(point));
    equal.y.push_back(point.sigma2);
  }
  error.series.push_back(std::move(equal));
  FigureGrid grid{
      .name = "calibration_sigma2", .title = "What σ² is chosen by", .cells = {used, law, kl, error}};
  if (chosen < points.size())
    for (Figure& cell : grid.cells)
      cell.lines.insert(cell.lines.begin(), {.at = at(points[chosen]),
                                             .label = fmt::format("chosen, {:.3g}", at(points[chosen])),
                                             .vertical = true});
  return grid;
}

FigureGrid latent_figure(const std::vector<CalibrationPoint>& points, size_t chosen) {
  const auto at = [](const CalibrationPoint& point) { return static_cast<double>(point.latent); };
  const Axis x{.label = "latent dimension k"};
  Figure used{.title = "units in use", .x = x, .y = {.label = "units", .low = 0}};
  used.series = {series_of(points, at, &CalibratedModel::in_use)};
  Series all{.name = "all k units", .style = Style::dashed, .colour = kBlack};
  for (const CalibrationPoint& point : points) {
    all.x.push_back(at(point));
    all.y.push_back(at(point));
  }
  used.series.push_back(std::move(all));
  Figure kl{.title = "KL", .x = x, .y = {.label = "nats per data point", .low = 0}};
  kl.series = {series_of(points, at, &CalibratedModel::kl)};
  Figure bound{.title = "ELBO", .x = x, .y = {.label = "nats per data point"}};
  bound.series = {series_of(points, at, &CalibratedModel::elbo)};
  Figure error{.title = "squared error", .x = x, .y = {.label = "summed over dimensions"}};
  error.series = {series_of(points, at, &CalibratedModel::squared_error)};
  FigureGrid grid{
      .name = "calibration_latent", .title = "What k is chosen by", .cells = {used, kl, bound, error}};
  if (chosen < points.size())
    for (Figure& cell : grid.cells)
      cell.lines.insert(cell.lines.begin(), {.at = at(points[chosen]),
                                             .label = fmt::format("chosen, {}", points[chosen].latent),
                                             .vertical = true});
  return grid;
}

std::string law_criterion(double tolerance) {
  return fmt::format(
      "σ² is the smallest of the scan from which on the sums Var μ + mean σ² of the units in use are off 1 "
      "by "
      "no more than {:g} on average (Asperti 2019, sections 4 and 6.1).",
      tolerance);
}

std::string latent_criterion() {
  return "k is doubled until every model leaves at least one unit unused, its Var μ below its mean σ² "
         "(Asperti "
         "2019, section 7).";
}

std::string calibration_text(const Calibration& c, const CalibrationOptions& o) {
  std::string text;
  if (c.sigma2 > 0) {
    const double off = c.over_sigma2[c.by_law.index].over(&CalibratedModel::law_deviation).mean;
    text = c.by_law.lawful
               ? fmt::format(
                     "σ² = {:g}, the smallest of {} from which on the law holds within {:g} (there {:.3f})",
                     c.sigma2, c.over_sigma2.size(), o.law_tolerance, off)
               : fmt::format(
                     "σ² = {:g}, where the law is off by {:.3f}, least of {}: nowhere does it hold within "
                     "{:g}",
                     c.sigma2, off, c.over_sigma2.size(), o.law_tolerance);
  }
  if (c.latent > 0) {
    const CalibrationPoint& last = c.over_latent.back();
    text += fmt::format("{}k = {}, of which {:.3g} are in use{}", text.empty() ? "" : "; ", c.latent,
                        last.over(&CalibratedModel::in_use).mean,
                        c.sparse ? "" : ": all, and growing ends there");
  }
  return text;
}

void add_calibration(Report& report, const Calibration& c, const CalibrationOptions& o, int64_t dimensions,
                     const std::string& folder) {
  report.section("Calibration");
  report.paragraph(fmt::format("Chosen from trainings of {} epoch{}: {}.", o.scan_epochs,
                               o.scan_epochs == 1 ? "" : "s", calibration_text(c, o)));
  const std::string what =
      " KL and ELBO in nats per data point, the squared error summed over dimensions; ± is two standard "
      "errors.";
  if (c.sigma2 > 0) {
    report.table(sigma2_table(c.over_sigma2, c.by_law.index), law_criterion(o.law_tolerance) + what);
    report.figure(
        draw(sigma2_figure(c.over_sigma2, c.by_law.index, o.law_tolerance, dimensions), folder),
        "The curves over σ². Where the squared error per dimension is below σ², the ELBO would rather have a "
        "smaller σ²: the law asks for a KL that is felt, not for the highest likelihood.");
  }
  if (c.latent > 0) {
    const size_t chosen = c.over_latent.size() - 1;
    report.table(latent_table(c.over_latent, chosen), latent_criterion() + what);
    report.figure(draw(latent_figure(c.over_latent, chosen), folder), "The curves over k.");
  }
}

}  // namespace elbo
