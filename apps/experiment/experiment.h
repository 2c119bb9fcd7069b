// What the experiment commands share: their options, and how a run of them ends.
#pragma once

#include "apps/support/report.h"
#include "apps/support/run_directory.h"
#include "apps/training/options.h"

namespace elbo {

struct ExperimentOptions {
  DataOptions data{.subset = 1000};  // as the paper: 1000 random images
  RunOptions run;
  bool quick = false, dry_run = false;
};

/// The options above; `quick` says what --quick leaves out.
void add_experiment_options(Arguments& arguments, ExperimentOptions& options, const std::string& quick);

/// Where --quick was given, the preset for an option that the user did not name.
template <class T, class Preset>
void quicken(const Arguments& arguments, bool quick, const char* option, T& value, const Preset& preset) {
  if (quick && !arguments.given(option)) value = preset;
}

/// Writes result.json and, with configuration and provenance added, report.html; prints the result as JSON or
/// `text` and where the report is.
void conclude(const RunDirectory& run, Result& result, Report& report, const Json& config,
              const RunOptions& options, const std::string& text);

}  // namespace elbo
