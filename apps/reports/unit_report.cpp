#include "apps/reports/unit_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

namespace elbo {
namespace {

constexpr size_t kRowsPrinted = 20, kRowsReported = 64;

struct Criterion {
  const char* name;
  const char* key;
  bool (UnitDiagnostics::*holds)() const;
};
constexpr Criterion kCriteria[] = {{"Var μ > 0.01", "variance", &UnitDiagnostics::by_variance},
                                   {"Var μ > 0.5", "half_variance", &UnitDiagnostics::by_half_variance},
                                   {"KL", "kl", &UnitDiagnostics::by_kl},
                                   {"gain > KL", "gain", &UnitDiagnostics::by_gain}};

/// "yes", "no", or what says yes where not all do.
std::string activity(const UnitDiagnostics& unit) {
  if (unit.criteria_agree()) return unit.by_variance() ? "yes" : "no";
  std::string text;
  for (const Criterion& criterion : kCriteria)
    if ((unit.*criterion.holds)()) text += (text.empty() ? "only by " : ", ") + std::string(criterion.name);
  return text;
}

int64_t count_by(const UnitFindings& found, const Criterion& criterion) {
  return std::count_if(found.units.begin(), found.units.end(),
                       [&](const UnitDiagnostics& unit) { return (unit.*criterion.holds)(); });
}

std::vector<int64_t> at_odds(const UnitFindings& found) {
  std::vector<int64_t> units;
  for (const UnitDiagnostics& unit : found.units)
    if (!unit.criteria_agree()) units.push_back(unit.unit);
  return units;
}

/// A list for each number, in the order of the units.
Json to_json(const std::vector<UnitDiagnostics>& units) {
  Json lists;
  const auto set = [&](const char* name, auto value) {
    std::vector<double> values;
    for (const UnitDiagnostics& unit : units) values.push_back(value(unit));
    lists[name] = finite_or_null(values);
  };
  set("mean_of_mean", [](const auto& unit) { return unit.mean_of_mean; });
  set("variance_of_mean", [](const auto& unit) { return unit.variance_of_mean; });
  set("mean_variance", [](const auto& unit) { return unit.mean_variance; });
  set("law", [](const auto& unit) { return unit.law; });
  set("law_standard_error", [](const auto& unit) { return unit.law_standard_error; });
  set("law_cost", [](const auto& unit) { return unit.law_cost(); });
  set("kl", [](const auto& unit) { return unit.kl; });
  set("gain", [](const auto& unit) { return unit.gain.mean; });
  set("gain_standard_error", [](const auto& unit) { return unit.gain.standard_error; });
  set("gain_of_prior", [](const auto& unit) { return unit.gain_of_prior.mean; });
  set("gain_of_prior_standard_error", [](const auto& unit) { return unit.gain_of_prior.standard_error; });
  for (const Criterion& criterion : kCriteria) {
    std::vector<bool> active;
    for (const UnitDiagnostics& unit : units) active.push_back((unit.*criterion.holds)());
    lists[fmt::format("active_by_{}", criterion.key)] = active;
  }
  return lists;
}

}  // namespace

UnitFindings find_units(const Vae& vae, const DeepVaeMetrics& metrics, const LoadedData& data,
                        uint64_t seed) {
  const UnitGains gains = unit_gains(vae, points_of(data, points_for_gains(vae.latent())), seed).at(0);
  return {unit_diagnostics(metrics, gains), gains.points};
}

void set_units(Result& result, const UnitFindings& found) {
  result.set("units", to_json(found.units),
             "lists over the units; KL and gains in nats per data point; gain: loss with z_i = 0, or drawn "
             "from the prior, minus loss");
  result.set("unit_gain_points", found.points);
  for (const Criterion& criterion : std::span(kCriteria).subspan(1))  // the first's are metrics.active_units
    result.set(fmt::format("active_by_{}", criterion.key), count_by(found, criterion));
  result.set("criteria_at_odds", at_odds(found), "units about which the criteria disagree");
}

Table unit_table(const UnitFindings& found, size_t most) {
  Table table({Table::number("unit"), Table::number("Var μ"), Table::number("mean σ²"), Table::number("sum"),
               Table::number("±"), Table::number("KL"), Table::number("gain, z = 0"), Table::number("±"),
               Table::number("z ~ prior"), Table::number("±"), "active"});
  std::vector<UnitDiagnostics> sorted = found.units;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const UnitDiagnostics& a, const UnitDiagnostics& b) { return a.kl > b.kl; });
  if (sorted.size() > most) sorted.resize(most);
  const auto number = [](const char* format, double value) {
    return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : std::string();
  };
  for (const UnitDiagnostics& unit : sorted)
    table.row({std::to_string(unit.unit), number("{:.4g}", unit.variance_of_mean),
               number("{:.4g}", unit.mean_variance), number("{:.3f}", unit.law),
               number("{:.3f}", unit.law_standard_error), number("{:.4f}", unit.kl),
               number("{:.3f}", unit.gain.mean), number("{:.3f}", unit.gain.standard_error),
               number("{:.3f}", unit.gain_of_prior.mean), number("{:.3f}", unit.gain_of_prior.standard_error),
               activity(unit)});
  return table;
}

std::string unit_note(const UnitFindings& found) {
  std::string text;
  for (const Criterion& criterion : kCriteria)
    text += fmt::format("{}{} by {}", text.empty() ? "" : ", ", count_by(found, criterion), criterion.name);
  const size_t odd = at_odds(found).size();
  double law_cost = 0;
  for (const UnitDiagnostics& unit : found.units) law_cost += unit.law_cost();
  return fmt::format(
      "Active of {} units: {}{}. By KL: at least {:g} nats for more than {:g} % of the points; by gain: "
      "above "
      "the KL by two standard errors. Gain: nats per data point that the likelihood loses where the unit is "
      "0, "
      "or drawn from the prior, on {} points. The sum of Var μ and mean σ² is 1 where training has come to "
      "rest; units moved to mean 0 and scaled to that sum, with a decoder that undoes it, would save {:.4f} "
      "nats "
      "of KL.",
      found.units.size(), text, odd == 0 ? "" : fmt::format("; the criteria disagree about {}", odd),
      kTableEpsilon, 100 * kCollapseDelta, found.points, law_cost);
}

Figure gain_figure(const UnitFindings& found) {
  Figure figure{.name = "unit_gains",
                .title = "What units cost and what they are worth",
                .x = {"KL (nats)"},
                .y = {"reconstruction gain (nats)"}};
  Series active{.name = "active", .style = Style::points, .colour = 0},
      odd{.name = "criteria disagree", .style = Style::points, .colour = 1},
      resting{.name = "not active", .style = Style::points, .colour = kBlack};
  double largest = 0;
  for (const UnitDiagnostics& unit : found.units) {
    Series& series = !unit.criteria_agree() ? odd : unit.by_variance() ? active : resting;
    series.x.push_back(unit.kl);
    series.y.push_back(unit.gain.mean);
    if (std::isfinite(unit.kl)) largest = std::max(largest, unit.kl);
  }
  for (Series* series : {&active, &odd, &resting})
    if (!series->x.empty()) figure.series.push_back(std::move(*series));
  figure.series.push_back(
      {.name = "gain = KL", .x = {0, largest}, .y = {0, largest}, .style = Style::dashed, .colour = kBlack});
  return figure;
}

void add_units(Report& report, const UnitFindings& found, const std::string& folder) {
  report.table(unit_table(found, kRowsReported), unit_note(found));
  report.figure(
      draw(gain_figure(found), folder),
      "What each unit is worth over what it costs: the likelihood that is lost where it is set to 0, "
      "over its KL.");
}

std::string evaluate_units(const Vae& vae, const DeepVaeMetrics& metrics, const LoadedData& data,
                           uint64_t seed, Result& result) {
  const UnitFindings found = find_units(vae, metrics, data, seed);
  set_units(result, found);
  const size_t units = found.units.size();
  const std::string rest = units > kRowsPrinted
                               ? fmt::format("{} more units; --json has all of them\n", units - kRowsPrinted)
                               : "";
  return fmt::format("\n{}{}{}\n", unit_table(found, kRowsPrinted).text(), rest, unit_note(found));
}

}  // namespace elbo
