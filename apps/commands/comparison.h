// Comparison: runs side by side, what of them may be compared, and what runs with other seeds say together.
#pragma once

#include "apps/commands/compared_run.h"
#include "apps/support/figure.h"
#include "apps/support/statistics.h"
#include "apps/support/table.h"

namespace elbo {

/// A metric that at least two of the runs have.
struct MetricRow {
  std::string name = {}, unit = {};  ///< unit: empty where the runs do not agree
  std::vector<double> values = {};   ///< of each run; NaN where it has none
  int best = -1;                     ///< the run with the best value; -1: none, or not to be said
};

struct OptionRow {
  std::string name = {};
  std::vector<std::string> values = {};  ///< of each run; "-" where it has no such option
};

/// Runs that differ in the seed alone.
struct SeedGroup {
  std::vector<size_t> runs;        ///< two or more
  struct Statistic : Statistics {  ///< over the runs that have the metric
    std::string name = {}, unit = {};
  };
  std::vector<Statistic> metrics;
};

struct Comparison {
  std::vector<ComparedRun> runs;
  std::vector<OptionRow> options = {};  ///< those that differ
  std::vector<MetricRow> metrics = {};
  std::vector<SeedGroup> seeds = {};
  std::vector<std::string> notes = {};  ///< each a line on what is not comparable
};
Comparison compare_runs(std::vector<ComparedRun> runs);

Table option_table(const Comparison& comparison);
/// A column for each run and for its difference to the first; the best has a star.
Table metric_table(const Comparison& comparison);
Table seed_table(const Comparison& comparison);
/// ELBO over epochs, a curve for each run, or for each folder of a run that has several; and one more for its
/// validation split.
Figure curve_figure(const Comparison& comparison);
Json to_json(const Comparison& comparison);

}  // namespace elbo
