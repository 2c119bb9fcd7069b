// An experiment: a list of units (units.h), and what is said of their results. From options, plan and
// presentation comes a command that can be resumed, tried quickly, run in part, and asked for its cost.
//
//   struct Options : ExperimentOptions {
//     int64_t steps = 12000;
//     template <class F> void each(F f) { f("steps", steps); }         // kept in config.json, by name
//   };
//   void prepare(Options& o, const Arguments& a) { quicken(a, o.quick, "--steps", o.steps, 4000); }
//   ExperimentPlan plan(Options& o);                                   // loads data, checks, lists the units
//   ...
//   arguments.run([o, &arguments] { run_experiment<Options>({"name", prepare, plan}, *o, arguments); });
//
// docs/new-experiment.md shows one whole. Nothing is written before the plan stands.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/experiment/claims.h"
#include "apps/experiment/units.h"
#include "apps/support/report.h"
#include "apps/training/resume.h"

namespace elbo {

struct ExperimentOptions {
  bool has_data = true;              ///< false: the experiment makes its own
  bool on_cpu = false;               ///< closed forms: there is nothing in it for a GPU
  DataOptions data{.subset = 1000};  // as Lucas et al.: 1000 random images
  RunOptions run;
  bool quick = false, dry_run = false;
  std::string resume;             ///< the run directory to go on with
  std::vector<std::string> only;  ///< keys of units; none: all
  bool begin = false;             ///< make the run directory, and run nothing
  bool work_only = false;         ///< run units, and say nothing of what came of them
  double lease = 60;              ///< seconds, as UnitsOptions has it
  int64_t split = 0;              ///< the most members that a unit trains together, as in_parts has it
};

/// The options above; `quick` says what --quick leaves out. What an experiment adds comes after them, or
/// before.
void add_experiment_options(Arguments& arguments, ExperimentOptions& options, const std::string& quick);

/// Where --quick was given, the preset for an option that the user did not name.
template <class T, class Preset>
void quicken(const Arguments& arguments, bool quick, const char* option, T& value, const Preset& preset) {
  if (quick && !arguments.given(option)) value = preset;
}

/// What a finished experiment says: in result.json, in report.html, and in the terminal.
struct Presentation {
  const RunDirectory& directory;
  Result& result;
  std::optional<Report> report{};
  std::string text{};
  std::vector<Claim> claims{};  ///< beside the paper: a table of the report, and metrics.claims
};

struct ExperimentPlan {
  std::string what{};  ///< "Trains 4 encoders for 60 epochs of 5000 points.", for --dry-run
  std::shared_ptr<const LoadedData> data{};  ///< null where the experiment makes its own
  std::vector<Unit> units{};
  /// From the results that are there: of all units or, with --only, of some.
  std::function<void(const Outcomes& outcomes, Presentation& presentation)> present{};
};

template <class Options>
struct Experiment {
  const char* name;  ///< of the command
  /// Takes presets where the user chose nothing; throws for options that make no sense.
  void (*prepare)(Options& options, const Arguments& arguments);
  ExperimentPlan (*plan)(Options& options);
};

/// The options that every experiment has, as config.json keeps them.
Json to_json(const ExperimentOptions& options);
void restore(ExperimentOptions& options, const Json& config);

/// Runs the units of a plan in a run directory, which other processes may be at, too, or says what they would
/// cost; then presents the results.
void carry_out(const char* name, const ExperimentOptions& options, const Json& config,
               const ExperimentPlan& plan);

/// How a run with a report ends, of an experiment or another command: writes result.json and, with
/// configuration and provenance added, report.html; prints the result as JSON, or `text` and where the report
/// is.
void conclude(const RunDirectory& run, Result& result, Report& report, const Json& config,
              const RunOptions& options, const std::string& text);

/// `option` of a run's config, which may be of a version that did not have it.
template <class T>
void restore_option(const Json& config, const char* option, T& value) {
  if (config.contains(option)) config.at(option).get_to(value);
}

template <class Options>
Json config_of(Options& options) {
  Json config = to_json(static_cast<const ExperimentOptions&>(options));
  options.each([&](const char* name, const auto& value) { config[name] = value; });
  return config;
}

template <class Options>
void run_experiment(const Experiment<Options>& experiment, Options options, const Arguments& arguments) {
  if (options.resume.empty()) {
    experiment.prepare(options, arguments);
  } else {
    Options asked = options;
    const Json config = begin_resume(options.run, options.resume, experiment.name);
    restore_from(config, arguments, config_of(asked), options.resume, [&] {
      restore(options, config);
      options.each([&](const char* name, auto& value) { restore_option(config, name, value); });
    });
    if constexpr (requires { options.training; })
      keep_changeable(options.run, options.training, asked.run, asked.training, arguments, config);
    else
      keep_changeable(options.run, asked.run, arguments, config);
    check_given(options.data, arguments, config_of(asked), config_of(options), options.resume);
  }
  options.on_cpu ? apply_on_cpu(options.run) : apply(options.run);
  const ExperimentPlan plan = experiment.plan(options);
  carry_out(experiment.name, options, config_of(options), plan);
}

}  // namespace elbo
