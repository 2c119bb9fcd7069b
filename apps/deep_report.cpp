#include "apps/deep_report.h"

#include <algorithm>
#include <cmath>

#include "apps/model_folder.h"
#include "vae/deep_vae_file.h"

namespace elbo {
namespace {

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
double number_from(const Json& json) { return json.is_null() ? std::nan("") : json.get<double>(); }

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (double value : values) list.push_back(number(value));
  return list;
}

/// Calls f(name, value) for every metric: writing and reading are two such f.
template <class Metrics, class F>
void each_metric(Metrics& m, F f) {
  f("z_samples", m.samples);
  f("elbo", m.elbo);
  f("elbo_standard_error", m.elbo_standard_error);
  f("expected_log_likelihood", m.expected_log_likelihood);
  f("kl", m.kl);
  f("kl_per_dim", m.kl_per_dim);
  f("sigma2", m.sigma2);
  f("mse", m.mse);
  f("sigma2_tuned", m.sigma2_tuned);
  f("elbo_tuned", m.elbo_tuned);
  f("row_identity_gap", m.row_identity_gap);
  f("active_units", m.active_units);
  f("collapse_curve", m.collapse_percent);
  f("variance_law", m.variance_law);
}

}  // namespace

Json to_json(const DeepVaeMetrics& metrics) {
  Json json;
  each_metric(metrics, [&](const char* name, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, double>)
      json[name] = number(value);
    else if constexpr (std::is_same_v<Value, std::vector<double>>)
      json[name] = numbers(value);
    else
      json[name] = value;
  });
  return json;
}

DeepVaeMetrics deep_metrics_from(const Json& json) {
  DeepVaeMetrics metrics;
  const bool stopped = json.contains("stopped");
  each_metric(metrics, [&](const char* name, auto& value) {
    if (!stopped && !json.contains(name))
      fail("[metrics] '{}' is missing: another version of elbo wrote these; resume with that one", name);
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, double>)
      value = stopped ? std::nan("") : number_from(json.at(name));
    else if constexpr (std::is_same_v<Value, std::vector<double>>)
      for (const Json& element : stopped ? Json::array() : json.at(name))
        value.push_back(number_from(element));
    else if (!stopped)
      json.at(name).get_to(value);
  });
  return metrics;
}

void set_metrics(Result& result, const DeepVaeMetrics& m, double paper_constant) {
  const auto nats = [&](const char* name, double value) { result.set(name, number(value), kNatsPerPoint); };
  nats("elbo", m.elbo);
  nats("elbo_standard_error", m.elbo_standard_error);
  result.set("z_samples", m.samples, "drawn for each point; what the ELBO's estimate rests on");
  nats("elbo_paper_units", m.elbo + paper_constant);
  nats("expected_log_likelihood", m.expected_log_likelihood);
  nats("kl", m.kl);
  result.set("kl_per_dim", m.kl_per_dim, kNatsPerPoint);
  result.set("sigma2", number(m.sigma2));
  result.set("mse", m.mse, "squared data units per dimension");
  result.set("sigma2_tuned", m.sigma2_tuned);
  nats("elbo_tuned", m.elbo_tuned);
  nats("row_identity_gap", m.row_identity_gap);
  result.set("collapse_percent", m.table_collapse_percent(),
             "percent of units, epsilon 0.01 nats, delta 0.01");
  result.set("collapse_curve", {{"epsilon", collapse_epsilons()}, {"percent", m.collapse_percent}});
  result.set("active_units", m.active_units);
  result.set("variance_law", m.variance_law, "Var_x(E_q z) + E_x Var_q z of each unit");
}

std::string with_error(double value, double standard_error) {
  return std::isfinite(standard_error) ? fmt::format("{:.3f} ± {:.3f}", value, standard_error)
                                       : fmt::format("{:.3f}", value);
}

std::string precision_note(int64_t samples) {
  return fmt::format("E_q rests on {} of z for each point; ± is the standard error over the points.",
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

void save_models(const DeepRun& run, ModelCard card, const RunDirectory& directory,
                 const std::string& folder) {
  const bool alone = run.members.size() == 1;
  std::vector<SavedMember> list;
  for (size_t m = 0; m < run.members.size(); ++m) {
    const int64_t index = run.members[m].index;
    card.member = index;
    save_deep_vae(directory.file(folder + model_name(alone, index)), *run.vae, static_cast<int64_t>(m),
                  metadata_of(card));
    const bool stopped = run.stop_of(static_cast<int64_t>(m)) != nullptr;
    list.push_back({index, describe(run.members[m]), stopped ? std::nan("") : run.metrics[m].elbo});
  }
  if (!alone) write_member_list(directory, folder, list);
}

std::string describe(const Member& member) {
  // Blanks within a setting do not break a line.
  std::string text =
      fmt::format("σ²\u00a0=\u00a0{:g}{}", member.sigma2, member.learn_sigma2 ? "" : "\u00a0fixed");
  if (member.weight.beta != 1) text += fmt::format(", β\u00a0=\u00a0{:g}", member.weight.beta);
  if (member.weight.annealing != KlWeight::Annealing::none)
    text += fmt::format(", {}\u00a0annealing", name(member.weight.annealing));
  text += fmt::format(", lr\u00a0{:g}", member.rate);
  if (member.trial > 0) text += fmt::format(", trial\u00a0{}", member.trial + 1);
  return text;
}

}  // namespace elbo
