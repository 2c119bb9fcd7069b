#include "apps/reports/deep_report.h"

#include <algorithm>
#include <cmath>

#include "apps/reports/entropy_report.h"
#include "apps/support/statistics.h"

namespace elbo {

void set_metrics(Result& result, const DeepVaeMetrics& m, double paper_constant) {
  const auto nats = [&](const char* name, double value) {
    result.set(name, finite_or_null(value), kNatsPerPoint);
  };
  nats("elbo", m.elbo);
  nats("elbo_standard_error", m.elbo_standard_error);
  result.set("z_samples", m.samples, "drawn for each point; what the ELBO's estimate rests on");
  nats("elbo_paper_units", m.elbo + paper_constant);
  nats("expected_log_likelihood", m.expected_log_likelihood);
  nats("kl", m.kl);
  result.set("kl_per_dim", m.kl_per_dim, kNatsPerPoint);
  result.set("sigma2", finite_or_null(m.sigma2));
  result.set("mse", m.mse, "squared data units per dimension");
  result.set("sigma2_tuned", m.sigma2_tuned);
  nats("elbo_tuned", m.elbo_tuned);
  nats("row_identity_gap", m.row_identity_gap);
  result.set("collapse_percent", m.table_collapse_percent(),
             "percent of units, epsilon 0.01 nats, delta 0.01");
  result.set("collapse_curve", {{"epsilon", collapse_epsilons()}, {"percent", m.collapse_percent}});
  result.set("active_units", m.active_units);
  result.set("variance_law", m.variance_law, "Var_x(E_q z) + E_x Var_q z of each unit");
  set_entropies(result, m.entropies);
}

std::string precision_note(int64_t samples) {
  return fmt::format(
      "E_q rests on {} of z for each point; ± is the standard error over the points, at the entropies that "
      "by the draws alone.",
      samples == 1 ? "one draw" : fmt::format("{} draws", samples));
}

Table metrics_table(const DeepVaeMetrics& m, double paper_constant) {
  Table table({"quantity", Table::number("value")});
  const auto row = [&](const char* what, const char* format, double value) {
    if (std::isfinite(value)) table.row({what, fmt::format(fmt::runtime(format), value)});
  };
  table.row({"ELBO (nats per data point)", with_error(m.elbo, m.elbo_standard_error)});
  if (paper_constant != 0) row("ELBO in the papers' units", "{:.3f}", m.elbo + paper_constant);
  row("E_q ln p(x|z) (nats per data point)", "{:.3f}", m.expected_log_likelihood);
  row("KL (nats per data point)", "{:.3f}", m.kl);
  row("σ²", "{:.5g}", m.sigma2);
  row("tuned σ²", "{:.5g}", m.sigma2_tuned);
  row("ELBO at tuned σ²", "{:.3f}", m.elbo_tuned);
  row("row identity, gap in nats", "{:.4f}", m.row_identity_gap);
  if (std::isfinite(m.entropies.sum))
    table.row({"sum of three entropies (nats per data point)",
               with_error(m.entropies.sum, m.entropies.sum_standard_error)});
  for (const auto& [what, value] : gap_rows(m.entropies)) table.row({what, value});
  row("squared error per dimension", "{:.5g}", m.mse);
  table.row({"active units", fmt::format("{} of {}", m.active_units, m.kl_per_dim.size())});
  row("collapsed units (0.01, 0.01)", "{:.1f} %", m.table_collapse_percent());
  std::vector<double> law = m.variance_law;
  std::sort(law.begin(), law.end());
  if (!law.empty())
    table.row({"variance law, quartiles (1 when converged)",
               fmt::format("{:.3f}, {:.3f}, {:.3f}", law[law.size() / 4], law[law.size() / 2],
                           law[law.size() * 3 / 4])});
  return table;
}

Figure collapse_figure(const std::string& name, const std::string& title,
                       const std::vector<NamedMetrics>& curves) {
  Figure figure{.name = name,
                .title = title,
                .x = {.label = "ε (nats)", .log = true},
                .y = {.label = "collapsed units (%)", .low = 0, .high = 100}};
  // There are seven colours; curves beyond them have points on their lines.
  for (const NamedMetrics& curve : curves)
    figure.series.push_back(
        {.name = curve.name,
         .x = collapse_epsilons(),
         .y = curve.metrics->collapse_percent,
         .style = curve.style == Style::line && curve.colour >= 7 ? Style::line_points : curve.style,
         .colour = curve.colour});
  figure.lines.push_back({.at = kTableEpsilon, .label = "tables", .vertical = true});
  return figure;
}

Figure unit_kl_figure(const DeepVaeMetrics& metrics) {
  Figure figure{.name = "kl_per_unit", .title = "KL of each unit", .x = {"unit, sorted"}, .y = {"nats"}};
  std::vector<double> sorted = metrics.kl_per_dim, rank;
  std::sort(sorted.rbegin(), sorted.rend());
  for (size_t i = 0; i < sorted.size(); ++i) rank.push_back(static_cast<double>(i + 1));
  figure.series.push_back({.x = rank, .y = sorted, .style = Style::steps});
  return figure;
}

Figure elbo_figure(const DeepRun& run) {
  Figure figure{
      .name = "elbo", .title = "ELBO during training", .x = {"epoch"}, .y = {"nats per data point"}};
  double best = -INFINITY, median = 0;
  std::vector<double> last;
  for (const MemberHistory& h : run.history)
    if (!h.elbo.empty() && std::isfinite(h.elbo.back())) last.push_back(h.elbo.back());
  std::sort(last.begin(), last.end());
  if (!last.empty()) best = last.back(), median = last[last.size() / 2];
  for (size_t m = 0; m < run.history.size(); ++m) {
    if (run.history[m].elbo.empty()) continue;
    figure.series.push_back({.name = run.history.size() == 1 ? "" : describe(run.members[m]),
                             .x = run.history[m].epoch,
                             .y = run.history[m].elbo});
  }
  // The first epochs, and members that are far off, would hide what happens near the top.
  double low = run.history.size() == 1 ? INFINITY : median;
  for (const MemberHistory& h : run.history)
    if (h.elbo.size() > 10 && h.elbo.back() >= median) low = std::min(low, h.elbo[h.elbo.size() / 20 + 1]);
  if (std::isfinite(low) && low < best) {
    figure.y.low = low;
    figure.y.high = best + 0.05 * (best - low);
  }
  return figure;
}

}  // namespace elbo
