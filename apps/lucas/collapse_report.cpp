#include "apps/lucas/collapse_report.h"

#include <algorithm>
#include <cmath>

#include "apps/reports/pictures.h"
#include "apps/support/best.h"
#include "apps/support/statistics.h"
#include "apps/training/deep_metrics_json.h"
#include "vae/deep_vae_file.h"

namespace elbo {
namespace {

double mean_over(const CollapseRow& row, const DeepRecord& run, double (*value)(const DeepVaeMetrics&)) {
  double total = 0;
  for (size_t m : row.members) total += value(run.metrics[m]);
  return total / static_cast<double>(row.members.size());
}

/// Over the trials; 0 of one.
double deviation_over(const CollapseRow& row, const DeepRecord& run, double (*value)(const DeepVaeMetrics&)) {
  std::vector<double> values;
  for (size_t m : row.members) values.push_back(value(run.metrics[m]));
  return values.size() > 1 ? statistics_of(values).deviation : 0;
}

/// What the ELBO gained over the last tenth of the epochs.
double drift_of(const MemberHistory& history) {
  const size_t n = history.elbo.size();
  if (n < 2) return INFINITY;
  const size_t back = std::max<size_t>(1, n / 10);
  const double drift = std::abs(history.elbo[n - 1] - history.elbo[n - 1 - back]);
  return std::isfinite(drift) ? drift : INFINITY;
}

bool same_setting(const Member& a, const Member& b) {
  return a.sigma2 == b.sigma2 && a.learn_sigma2 == b.learn_sigma2 && a.weight.annealing == b.weight.annealing;
}

constexpr const char* kContradiction = "†";

/// The paper's part of a table's row.
std::vector<std::string> paper_cells(const CollapseRow& row, double dimensions) {
  if (!row.paper) return {"", "", "", ""};
  const PaperRow& p = *row.paper;
  return {row.learned ? fmt::format("{:.4g}", p.final_sigma2) : "",
          fmt::format("{:.1f}{}", p.elbo, contradicts_itself(p, dimensions) ? kContradiction : ""),
          fmt::format("{:.1f}", p.collapse_percent), fmt::format("{:.1f}", p.kl)};
}

/// What the table's caption says of the paper's columns.
std::string paper_caption(const CollapseFindings& findings) {
  if (!findings.paper) return "";
  const std::string note = contradiction_note(findings);
  return fmt::format(" Beside it Table {} of Lucas et al. 2019, of {}.{}{}", findings.paper->number,
                     findings.paper->models, note.empty() ? "" : " ", note);
}

std::string name_of(const CollapseRow& row) {
  return fmt::format("{:g},\u00a0{}{}", row.sigma2, row.learned ? "learned" : "fixed",
                     row.annealed ? ", annealed" : "");
}

/// The rows of one kind.
std::vector<const CollapseRow*> rows_of(const CollapseFindings& findings, bool learned, bool annealed) {
  std::vector<const CollapseRow*> rows;
  for (const CollapseRow& row : findings.rows)
    if (row.learned == learned && row.annealed == annealed) rows.push_back(&row);
  return rows;
}

std::string sigma2_label(const CollapseRow& row) { return fmt::format("σ² = {:g}", row.sigma2); }

/// Curves of the first trial of each row.
std::vector<NamedMetrics> curves_of(const std::vector<const CollapseRow*>& rows,
                                    const std::vector<DeepVaeMetrics>& of, const std::string& suffix,
                                    Style style) {
  std::vector<NamedMetrics> curves;
  for (size_t i = 0; i < rows.size(); ++i)
    curves.push_back({sigma2_label(*rows[i]) + suffix, &of[rows[i]->members[0]], style, static_cast<int>(i)});
  return curves;
}

/// Images beside what every model makes of them, a picture for each kind of setting.
void add_reconstructions(Report& report, const CollapseFindings& findings, const CollapseRuns& runs,
                         const LoadedData& data, const RunDirectory& directory) {
  report.section("Reconstructions");
  for (bool annealed : {true, false})
    for (bool learned : {true, false}) {
      const auto rows = rows_of(findings, learned, annealed);
      if (rows.empty()) continue;
      const std::string name =
          fmt::format("reconstructions_{}{}", annealed ? "annealed_" : "", learned ? "learned" : "fixed");
      const auto model = [&](int64_t row) {
        return load_deep_vae(read_safetensors(runs.models[rows[static_cast<size_t>(row)]->members[0]]));
      };
      std::string settings;
      for (const CollapseRow* row : rows)
        settings += fmt::format("{}{:g}", settings.empty() ? "" : ", ", row->sigma2);
      report.image(
          draw(reconstructions_by_model(name, data, static_cast<int64_t>(rows.size()), model),
               directory.figures()),
          fmt::format(
              "{}Training images in the top row; below, what the models with σ² {}{} make of them, "
              "row by row {} {}.",
              annealed && learned ? fmt::format("As the paper's {}. ", findings.figures.reconstructions) : "",
              learned ? "learned" : "fixed", annealed ? " and annealed KL" : "",
              learned ? "from a σ² of" : "with a σ² of", settings));
    }
}

/// What the model with the highest ELBO sees and dreams.
void add_pictures_of_best(Report& report, const CollapseFindings& findings, const CollapseRuns& runs,
                          const LoadedData& data, const RunDirectory& directory) {
  const CollapseRow* best = nullptr;
  for (const CollapseRow& row : findings.rows)
    if (!best || beats(row.elbo, best->elbo)) best = &row;
  if (!best) return;
  report.section("Pictures");
  report.paragraph(fmt::format("Of the model with the highest ELBO: σ² {}.", name_of(*best)));
  const auto model = load_deep_vae(read_safetensors(runs.models[best->members[0]]));
  add_pictures(report, *model, data, directory.figures(), {.pairs = 20, .samples = 30, .seed = 0});
}

std::string network_text(const TrainingOptions& options, const Dataset& data) {
  if (options.model == "conv")
    return fmt::format("{}, {} channels, {} x {} pixels", options.network, options.channels, data.height,
                       data.width);
  return fmt::format("{}-{}, mirrored", data.dimensions(), options.hidden);
}

}  // namespace

CollapseFindings collapse_findings(const DeepRecord& run, const LoadedData& data) {
  CollapseFindings findings;
  findings.paper_constant = paper_units_constant(data.dataset, data.preprocessing);
  findings.stopped = run.stopped;
  findings.paper = lucas_table_for(data.dataset, data.preprocessing);
  findings.figures = lucas_figures_for(data.dataset);
  findings.dimensions = static_cast<double>(data.dataset.dimensions());
  for (size_t first = 0; first < run.members.size(); ++first) {
    const Member& setting = run.members[first];
    const auto seen =
        std::find_if(run.members.begin(), run.members.begin() + static_cast<std::ptrdiff_t>(first),
                     [&](const Member& m) { return same_setting(m, setting); });
    if (seen != run.members.begin() + static_cast<std::ptrdiff_t>(first)) continue;
    CollapseRow row;
    row.sigma2 = setting.sigma2;
    row.learned = setting.learn_sigma2;
    row.annealed = setting.weight.annealing != KlWeight::Annealing::none;
    // The learning rate with the best mean ELBO; a rate at which any trial broke is not in the running.
    for (const Member& candidate : run.members) {
      if (!same_setting(candidate, setting) || candidate.trial != 0) continue;
      CollapseRow at;
      at.rate = candidate.rate;
      bool broke = false;
      for (size_t m = 0; m < run.members.size(); ++m) {
        if (!same_setting(run.members[m], setting) || run.members[m].rate != candidate.rate) continue;
        broke = broke || run.stop_of(static_cast<int64_t>(m));
        at.members.push_back(m);
      }
      if (broke) continue;
      const double elbo = mean_over(at, run, [](const DeepVaeMetrics& m) { return m.elbo; });
      if (row.members.empty() || beats(elbo, row.elbo)) {
        row.elbo = elbo;
        row.rate = at.rate;
        row.members = at.members;
      }
    }
    if (row.members.empty()) continue;  // every rate broke; `stopped` says so
    for (size_t m : row.members) {
      row.drift = std::max(row.drift, drift_of(run.history[m]));
      const double gap = run.metrics[m].row_identity_gap;
      if (std::abs(gap) > std::abs(row.row_identity_gap)) row.row_identity_gap = gap;
    }
    const auto set = [&](double& mean, double& deviation, double (*value)(const DeepVaeMetrics&)) {
      mean = mean_over(row, run, value);
      deviation = deviation_over(row, run, value);
    };
    using M = DeepVaeMetrics;
    row.elbo_standard_error = mean_over(row, run, [](const M& m) { return m.elbo_standard_error; });
    set(row.elbo, row.elbo_deviation, [](const M& m) { return m.elbo; });
    set(row.sigma2_final, row.sigma2_final_deviation, [](const M& m) { return m.sigma2; });
    set(row.elbo_tuned, row.elbo_tuned_deviation, [](const M& m) { return m.elbo_tuned; });
    set(row.sigma2_tuned, row.sigma2_tuned_deviation, [](const M& m) { return m.sigma2_tuned; });
    set(row.collapse_percent, row.collapse_deviation, [](const M& m) { return m.table_collapse_percent(); });
    set(row.kl, row.kl_deviation, [](const M& m) { return m.kl; });
    if (!row.annealed && findings.paper)
      for (const PaperRow& theirs : findings.paper->rows)
        if (theirs.sigma2 == row.sigma2 && theirs.learned == row.learned) row.paper = &theirs;
    findings.rows.push_back(row);
  }
  return findings;
}

std::string contradiction_note(const CollapseFindings& findings) {
  const bool marked = std::any_of(findings.rows.begin(), findings.rows.end(), [&](const CollapseRow& row) {
    return row.paper && contradicts_itself(*row.paper, findings.dimensions);
  });
  return marked ? fmt::format("{}: the two σ² of this row of theirs cannot have made its two ELBOs.",
                              kContradiction)
                : "";
}

void set_metrics(Result& result, const CollapseFindings& findings) {
  Json rows = Json::array();
  double gap = 0;
  for (const CollapseRow& row : findings.rows) {
    gap = std::max(gap, std::abs(row.row_identity_gap));
    rows.push_back({{"sigma2", row.sigma2},
                    {"learned", row.learned},
                    {"annealed", row.annealed},
                    {"lr", row.rate},
                    {"trials", row.members.size()},
                    {"elbo", row.elbo},
                    {"elbo_deviation", row.elbo_deviation},
                    {"elbo_standard_error", row.elbo_standard_error},
                    {"elbo_paper_units", row.elbo + findings.paper_constant},
                    {"elbo_tuned", row.elbo_tuned},
                    {"elbo_tuned_deviation", row.elbo_tuned_deviation},
                    {"sigma2_final", row.sigma2_final},
                    {"sigma2_final_deviation", row.sigma2_final_deviation},
                    {"sigma2_tuned", row.sigma2_tuned},
                    {"sigma2_tuned_deviation", row.sigma2_tuned_deviation},
                    {"collapse_percent", row.collapse_percent},
                    {"collapse_percent_deviation", row.collapse_deviation},
                    {"kl", row.kl},
                    {"kl_deviation", row.kl_deviation},
                    {"row_identity_gap", row.row_identity_gap},
                    {"gain_in_last_tenth", row.drift},
                    {"converged", row.converged()}});
  }
  result.set("rows", rows, "ELBO and KL in nats per data point; collapse in percent of units");
  result.set("paper_constant", findings.paper_constant, "nats, added for the papers' units");
  result.set("largest_row_identity_gap", gap, "nats");
  result.set("stopped", to_json(findings.stopped));
}

Table collapse_table(const CollapseFindings& findings) {
  std::vector<Table::Column> columns{"σ²",
                                     Table::number("final σ²"),
                                     Table::number("ELBO"),
                                     Table::number("tuned ELBO"),
                                     Table::number("tuned σ²"),
                                     Table::number("collapse %"),
                                     Table::number("KL"),
                                     Table::number("lr")};
  if (findings.paper)
    for (const char* theirs : {"paper: σ²", "ELBO", "collapse %", "KL"})
      columns.push_back(Table::number(theirs));
  columns.emplace_back("converged");
  Table table(columns);
  for (const CollapseRow& row : findings.rows) {
    std::string elbo = fmt::format("{:.1f}", row.elbo + findings.paper_constant);
    if (row.members.size() > 1) elbo += fmt::format(" ± {:.1f}", row.elbo_deviation);
    std::vector<std::string> cells{name_of(row),
                                   row.learned ? fmt::format("{:.4g}", row.sigma2_final) : "",
                                   elbo,
                                   fmt::format("{:.1f}", row.elbo_tuned + findings.paper_constant),
                                   fmt::format("{:.4g}", row.sigma2_tuned),
                                   fmt::format("{:.1f}", row.collapse_percent),
                                   fmt::format("{:.1f}", row.kl),
                                   fmt::format("{:g}", row.rate)};
    if (findings.paper)
      for (const std::string& theirs : paper_cells(row, findings.dimensions)) cells.push_back(theirs);
    cells.push_back(row.converged() ? "yes" : fmt::format("no ({:.0f})", row.drift));
    table.row(cells);
  }
  return table;
}

Report collapse_report(const CollapseFindings& findings, const CollapseRuns& runs, const LoadedData& data,
                       const TrainingOptions& options, const RunDirectory& directory) {
  const DeepRecord& run = runs.record;
  const auto fixed = rows_of(findings, false, false), learned = rows_of(findings, true, false);
  const auto moved = std::count_if(findings.rows.begin(), findings.rows.end(),
                                   [](const CollapseRow& row) { return !row.converged(); });
  Report report(
      "Posterior collapse and the observation noise",
      fmt::format("{} deep VAEs ({}, k = {}) trained side by side for {} epochs on {} points of {}, "
                  "with σ² fixed or learned. {} of {} rows had not converged and are marked.",
                  run.members.size(), network_text(options, data.dataset), options.latent, options.epochs,
                  data.dataset.points(), data.dataset.name, moved, findings.rows.size()));
  report.section("Table");
  report.table(
      collapse_table(findings),
      fmt::format(
          "ELBO on the training data, in the papers' units (nats per data point{}); KL in nats; collapsed "
          "are units with KL below 0.01 on at least 99% of the points.{} A row counts as converged "
          "when its ELBO changed by less than {:g} nats over the last tenth of the epochs; the change is "
          "given where not.",
          findings.paper_constant != 0
              ? fmt::format(": {:+.1f} to what is optimised", findings.paper_constant)
              : "",
          paper_caption(findings), CollapseRow::kConvergedNats));
  for (const StoppedMember& stop : findings.stopped)
    report.paragraph(fmt::format("{} was stopped in epoch {}, step {}, where {} was no longer finite.",
                                 describe(run.members[static_cast<size_t>(stop.member)]), stop.epoch,
                                 stop.step, stop.tensor));
  report.section("Collapse");
  if (!fixed.empty())
    report.figure(draw(collapse_figure("collapse_fixed", "Collapsed units, σ² fixed",
                                       curves_of(fixed, run.metrics, "", Style::line)),
                       directory.figures()),
                  fmt::format("As the paper's {}: units whose KL is below ε on at least 99% of the points.",
                              findings.figures.fixed));
  if (!learned.empty()) {
    report.figure(draw(collapse_figure("collapse_learned", "Collapsed units, σ² learned",
                                       curves_of(learned, run.metrics, "", Style::line)),
                       directory.figures()),
                  fmt::format("As the paper's {}.", findings.figures.learned));
    Figure paths{.name = "sigma2",
                 .title = "σ² while it is learned",
                 .x = {"epoch"},
                 .y = {.label = "σ²", .log = true}};
    Figure elbos{
        .name = "elbo", .title = "ELBO while σ² is learned", .x = {"epoch"}, .y = {"nats per data point"}};
    double low = INFINITY, high = -INFINITY;
    for (const CollapseRow* row : learned) {
      const MemberHistory& h = run.history[row->members[0]];
      paths.series.push_back({.name = fmt::format("from {:g}", row->sigma2), .x = h.epoch, .y = h.sigma2});
      elbos.series.push_back({.name = fmt::format("from {:g}", row->sigma2), .x = h.epoch, .y = h.elbo});
      if (h.elbo.empty()) continue;
      low = std::min(low, h.elbo.back());
      high = std::max(high, h.elbo.back());
    }
    // The first epochs of small sigma^2 reach far below; what counts is where they all end.
    if (std::isfinite(low)) {
      const double range = std::max(high - low, 50.0);
      elbos.y.low = low - range;
      elbos.y.high = high + 0.1 * range;
    }
    report.section("Learning σ²");
    report.figure(draw(paths, directory.figures()), "σ² after each epoch, from each start.");
    report.figure(
        draw(elbos, directory.figures()),
        "The ELBO of the same models, averaged over each epoch's batches; not in the papers' units.");
  }
  if (has_pictures(data.dataset)) {
    add_reconstructions(report, findings, runs, data, directory);
    add_pictures_of_best(report, findings, runs, data, directory);
  }
  const auto fixed_annealed = rows_of(findings, false, true),
             learned_annealed = rows_of(findings, true, true);
  if (fixed_annealed.empty() && learned_annealed.empty()) return report;
  report.section("Annealing");
  if (!fixed_annealed.empty() && !run.evaluations.empty()) {
    const auto& [epoch, early] = *run.evaluations.begin();
    std::vector<NamedMetrics> curves = curves_of(fixed_annealed, run.metrics, "", Style::line);
    for (const NamedMetrics& curve :
         curves_of(fixed_annealed, early, fmt::format(", epoch {}", epoch), Style::dashed))
      curves.push_back(curve);
    report.figure(
        draw(collapse_figure("collapse_annealed_fixed", "Annealed, σ² fixed", curves), directory.figures()),
        fmt::format("As the paper's {}: the KL's weight rises from 0 to 1 over {:g} epochs. Solid: at the "
                    "end; dashed: after epoch {}.",
                    findings.figures.annealed_fixed, options.annealing_epochs, epoch));
  }
  if (!learned_annealed.empty()) {
    std::vector<NamedMetrics> curves = curves_of(learned_annealed, run.metrics, ", annealed", Style::line);
    for (const NamedMetrics& curve : curves_of(learned, run.metrics, "", Style::dashed))
      curves.push_back(curve);
    report.figure(draw(collapse_figure("collapse_annealed_learned", "Annealed or not, σ² learned", curves),
                       directory.figures()),
                  fmt::format("As the paper's {}: solid with annealing, dashed without.",
                              findings.figures.annealed_learned));
  }
  return report;
}

}  // namespace elbo
