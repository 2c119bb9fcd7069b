#include "apps/experiment/experiment.h"

namespace elbo {

void add_experiment_options(Arguments& arguments, ExperimentOptions& o, const std::string& quick) {
  add_data_options(arguments, o.data);
  add_run_options(arguments, o.run, true);
  arguments.begin_group("Experiment");
  arguments.add_flag("--quick", o.quick, quick);
  arguments.add_flag("--dry-run", o.dry_run, "Say what would be done and what it costs");
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

}  // namespace elbo
