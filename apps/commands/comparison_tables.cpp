// How a comparison is shown: tables, a figure, JSON.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/commands/comparison.h"

namespace elbo {
namespace {

/// Three digits behind the point, or four that count where there is nothing before it.
std::string shown(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (value == std::round(value) && size < 1e9) return fmt::format("{:.0f}", value);
  return size >= 1 && size < 1e7 ? fmt::format("{:.3f}", value) : fmt::format("{:.4g}", value);
}

std::string seeds_of(const Comparison& c, const SeedGroup& group) {
  std::string text;
  for (const size_t r : group.runs) text += (text.empty() ? "" : ", ") + c.runs[r].option("seed");
  return text;
}

}  // namespace

Table option_table(const Comparison& c) {
  std::vector<Table::Column> columns{"option"};
  for (const ComparedRun& run : c.runs) columns.emplace_back(run.label);
  Table table(columns);
  for (const OptionRow& row : c.options) {
    std::vector<std::string> cells{row.name};
    cells.insert(cells.end(), row.values.begin(), row.values.end());
    table.row(cells);
  }
  return table;
}

Table metric_table(const Comparison& c) {
  std::vector<Table::Column> columns{"metric", "unit"};
  for (const ComparedRun& run : c.runs) columns.push_back(Table::number(run.label));
  for (size_t r = 1; r < c.runs.size(); ++r)
    columns.push_back(Table::number(c.runs[r].label + " - " + c.runs[0].label));
  Table table(columns);
  for (const MetricRow& row : c.metrics) {
    std::vector<std::string> cells{row.name, row.unit};
    for (size_t r = 0; r < row.values.size(); ++r)
      cells.push_back((row.best == static_cast<int>(r) ? "* " : "") + shown(row.values[r]));
    for (size_t r = 1; r < row.values.size(); ++r) cells.push_back(shown(row.values[r] - row.values[0]));
    table.row(cells);
  }
  return table;
}

Table seed_table(const Comparison& c) {
  Table table({"seeds", "metric", Table::number("n"), Table::number("mean"),
               Table::number("standard deviation"), Table::number("standard error")});
  for (const SeedGroup& group : c.seeds)
    for (const SeedGroup::Statistic& s : group.metrics)
      table.row({seeds_of(c, group), s.name, std::to_string(s.count), shown(s.mean), shown(s.deviation),
                 shown(s.standard_error)});
  return table;
}

Figure curve_figure(const Comparison& c) {
  Figure figure{.name = "elbo", .title = "ELBO in training", .x = {"epoch"}, .y = {"nats per data point"}};
  std::vector<Series> held_out;  // in the colours of their runs
  for (const ComparedRun& run : c.runs)
    for (const RunCurve& curve : run.curves) {
      const std::string name = curve.name.empty() ? run.label : run.label + ", " + curve.name;
      const auto colour = static_cast<int>(figure.series.size());
      figure.series.push_back({.name = name,
                               .x = curve.epoch,
                               .y = curve.elbo,
                               .style = colour < 7 ? Style::line : Style::line_points,
                               .colour = colour});
      if (!curve.held_out_epoch.empty())
        held_out.push_back({.name = name + ", validation",
                            .x = curve.held_out_epoch,
                            .y = curve.held_out_elbo,
                            .style = Style::line_points,
                            .colour = colour});
    }
  figure.series.insert(figure.series.end(), held_out.begin(), held_out.end());
  return figure;
}

Json to_json(const Comparison& c) {
  Json runs = Json::array(), options = Json::object(), metrics = Json::object(), seeds = Json::array();
  for (const ComparedRun& run : c.runs)
    runs.push_back({{"run", run.path}, {"label", run.label}, {"command", run.command}});
  for (const OptionRow& row : c.options) options[row.name] = row.values;
  for (const MetricRow& row : c.metrics) {
    Json values = Json::array(), differences = Json::array();
    for (const double value : row.values) {
      values.push_back(finite_or_null(value));
      differences.push_back(finite_or_null(value - row.values[0]));
    }
    metrics[row.name] = {{"unit", row.unit},
                         {"values", values},
                         {"differences", differences},
                         {"best", row.best < 0 ? Json(nullptr) : Json(row.best)}};
  }
  for (const SeedGroup& group : c.seeds) {
    Json of_group = Json::object();
    for (const SeedGroup::Statistic& s : group.metrics)
      of_group[s.name] = {{"n", s.count},
                          {"mean", s.mean},
                          {"standard_deviation", s.deviation},
                          {"standard_error", s.standard_error}};
    seeds.push_back({{"runs", group.runs}, {"metrics", of_group}});
  }
  return {{"runs", runs}, {"options", options}, {"metrics", metrics}, {"seeds", seeds}, {"notes", c.notes}};
}

}  // namespace elbo
