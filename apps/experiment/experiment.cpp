#include "apps/experiment/experiment.h"

#include <fmt/format.h>

#include "apps/support/interrupt.h"
#include "apps/support/log.h"

namespace elbo {

void add_experiment_options(Arguments& arguments, ExperimentOptions& o, const std::string& quick) {
  if (o.has_data) add_data_options(arguments, o.data);
  add_run_options(arguments, o.run, true);
  arguments.begin_group("Experiment");
  arguments.add_flag("--quick", o.quick, quick);
  arguments.add_flag("--dry-run", o.dry_run, "Say what would be done and, measured here, what it costs");
  arguments.add_texts("--only", o.only, "Run these units only, K[,K...]; --dry-run lists them");
  arguments.add_text("--resume", o.resume, "Continue the interrupted run in this directory");
}

Json to_json(const ExperimentOptions& o) {
  Json config = o.has_data ? to_json(o.data, o.run) : to_json(o.run);
  config["quick"] = o.quick;
  return config;
}

void restore(ExperimentOptions& o, const Json& config) {
  if (o.has_data)
    restore(o.data, o.run, config);
  else
    restore(o.run, config);
  restore_option(config, "quick", o.quick);
}

void conclude(const RunDirectory& run, Result& result, Report& report, const Json& config,
              const RunOptions& options, const std::string& text) {
  const Json json = result.to_json();
  run.write_json("result.json", json);
  report.configuration(config);
  report.provenance(json["provenance"]);
  run.write_text("report.html", report.html());
  if (options.json)
    fmt::print("{}", json_text(json));
  else
    fmt::print("{}\nreport: {}\n", text, run.file("report.html"));
}

void carry_out(const char* name, const ExperimentOptions& o, const Json& config, const ExperimentPlan& plan) {
  const bool resuming = !o.resume.empty();
  if (resuming && plan.data) check_same_data(*plan.data, o.resume);
  check_keys(plan.units, o.only);
  if (o.dry_run) {
    std::vector<Unit> chosen;
    for (const Unit& unit : plan.units)
      if (is_chosen(unit, o.only)) chosen.push_back(unit);
    return fmt::print("{}\n\n{}", plan.what, cost_of(chosen));
  }

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory directory(name, o.run.out,
                         resuming ? RunDirectory::Existing::resume : RunDirectory::Existing::refuse);
  if (!resuming && plan.data) directory.write_config(config, data_record(*plan.data));
  if (!resuming && !plan.data) directory.write_config(config);
  Result result(name, config, plan.data ? provenance_of(o.run, *plan.data) : provenance_of(o.run));
  const Outcomes outcomes = run_units(
      plan.units, directory, {.name = name, .only = o.only, .resuming = resuming, .quiet = o.run.json});
  if (interrupted()) {
    log_line(fmt::format("stopped with {} of {} units done; continue with: elbo {} --resume {}",
                         outcomes.count(), plan.units.size(), name, directory.path()));
    return;
  }
  if (outcomes.count() < plan.units.size())
    result.set("units", {{"here", outcomes.keys()}, {"of", plan.units.size()}});
  Presentation presentation{directory, result};
  plan.present(outcomes, presentation);
  Report& report = presentation.report.value();
  if (!presentation.claims.empty()) {
    const Table table = claims_table(presentation.claims);
    report.section("Beside the paper");
    report.table(table, "What the paper says, and what came out here.");
    result.set("claims", to_json(presentation.claims));
    presentation.text += "\n" + table.text();
  }
  conclude(directory, result, report, config, o.run, presentation.text);
}

}  // namespace elbo
