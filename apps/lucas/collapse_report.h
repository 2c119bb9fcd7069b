// What `elbo collapse` found: the paper's table beside ours, and its figures.
#pragma once

#include "apps/lucas/tables.h"
#include "apps/reports/deep_report.h"

namespace elbo {

/// One setting at its best learning rate, over the trials.
struct CollapseRow {
  double sigma2 = 0;
  bool learned = false, annealed = false;
  double rate = 0;                      ///< the best, by the mean final training ELBO as in the paper
  std::vector<size_t> members;          ///< of the run, at that rate; stopped ones left out
  double elbo = 0, elbo_deviation = 0;  ///< mean and standard deviation over trials, nats per data point
  double elbo_standard_error = 0;       ///< over data points, of one trial; their mean
  double elbo_tuned_deviation = 0, sigma2_final_deviation = 0, sigma2_tuned_deviation = 0,
         collapse_deviation = 0, kl_deviation = 0;  ///< the same of the others
  double elbo_tuned = 0, sigma2_final = 0, sigma2_tuned = 0, collapse_percent = 0, kl = 0,
         row_identity_gap = 0;
  double drift =
      0;  ///< nats that the ELBO of a trial still gained over the last tenth of the epochs; the largest
  const PaperRow* paper = nullptr;  ///< theirs, where they have one
  bool converged() const { return drift < kConvergedNats; }
  static constexpr double kConvergedNats = 2;
};

/// What was trained, and where each member's model is.
struct CollapseRuns {
  DeepRecord record;
  std::vector<std::string> models;
};

struct CollapseFindings {
  std::vector<CollapseRow> rows;  ///< fixed, learned, then both annealed; as the run has them
  double paper_constant = 0;
  const PaperTable* paper = nullptr;  ///< of the same data, or null
  PaperFigures figures{};
  double dimensions = 0;  ///< D
  std::vector<StoppedMember> stopped;
};

CollapseFindings collapse_findings(const DeepRecord& run, const LoadedData& data);
void set_metrics(Result& result, const CollapseFindings& findings);
Table collapse_table(const CollapseFindings& findings);
/// What the mark in the paper's columns of the table means; empty where there is none.
std::string contradiction_note(const CollapseFindings& findings);
Report collapse_report(const CollapseFindings& findings, const CollapseRuns& runs, const LoadedData& data,
                       const TrainingOptions& options, const RunDirectory& directory);

}  // namespace elbo
