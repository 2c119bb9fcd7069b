// What is said of trained deep VAEs: their metrics as JSON and tables, and the figures and pictures of a
// report.
#pragma once

#include "apps/deep_run.h"
#include "apps/model_card.h"
#include "apps/support/figure.h"
#include "apps/support/report.h"
#include "apps/support/table.h"

namespace elbo {

/// Metrics under their common names; NaN (no single sigma^2) becomes null.
Json to_json(const DeepVaeMetrics& metrics);
/// And back; of a member that was {"stopped": ...} all are NaN.
DeepVaeMetrics deep_metrics_from(const Json& json);

/// Sets the metrics of one model, with `paper_constant` added for the papers' units.
void set_metrics(Result& result, const DeepVaeMetrics& metrics, double paper_constant);

/// "-14.203 ± 0.052"; the value alone where there is no error.
std::string with_error(double value, double standard_error);
/// How many z the numbers rest on, and what ± means, for below a table.
std::string precision_note(int64_t samples);

/// One quantity a row.
Table metrics_table(const DeepVaeMetrics& metrics, double paper_constant);

/// Percentage of collapsed units over epsilon, a curve for each entry.
struct NamedMetrics {
  std::string name;
  const DeepVaeMetrics* metrics;
  Style style = Style::line;
  int colour = -1;
};
Figure collapse_figure(const std::string& name, const std::string& title,
                       const std::vector<NamedMetrics>& curves);
/// The units' KL, largest first.
Figure unit_kl_figure(const DeepVaeMetrics& metrics);
/// ELBO over epochs, a curve for each member that has one.
Figure elbo_figure(const DeepRun& run);

/// Writes every member as a model of its own (apps/model_folder.h), in a folder of the run.
void save_models(const DeepRun& run, ModelCard card, const RunDirectory& directory,
                 const std::string& folder = "");

/// What distinguishes a member from the others: "σ² = 10 fixed, lr 0.001, trial 2".
std::string describe(const Member& member);

}  // namespace elbo
