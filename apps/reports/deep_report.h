// What is said of trained deep VAEs: their metrics in results and tables, and the figures of a report.
#pragma once

#include "apps/support/figure.h"
#include "apps/support/report.h"
#include "apps/support/table.h"
#include "apps/training/deep_run.h"

namespace elbo {

/// Sets the metrics of one model, with `paper_constant` added for the papers' units.
void set_metrics(Result& result, const DeepVaeMetrics& metrics, double paper_constant);

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

}  // namespace elbo
