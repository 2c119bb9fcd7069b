#include "apps/experiment/experiment.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "apps/experiment/parts.h"
#include "apps/experiment/rank_units.h"
#include "apps/experiment/run_state.h"
#include "apps/experiment/unit_claims.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/text.h"
#include "tensor/file.h"

namespace elbo {

void add_experiment_options(Arguments& arguments, ExperimentOptions& o, const std::string& quick) {
  if (o.has_data) add_data_options(arguments, o.data);
  add_run_options(arguments, o.run, true);
  arguments.begin_group("Experiment");
  arguments.add_flag("--quick", o.quick, quick);
  arguments.add_flag("--dry-run", o.dry_run, "Say what would be done and, measured here, what it costs");
  arguments.add_texts("--only", o.only, "Run these units only, K[,K...]; --dry-run lists them");
  arguments.add_text("--resume", o.resume,
                     "Continue the interrupted run in this directory, or help the processes that are at it");
  arguments.begin_group("Several processes (elbo sweep)");
  const Argument begin =
      arguments.add_flag("--begin", o.begin, "Make the run directory only; --resume then works on it");
  arguments.add_number("--split", o.split,
                       "Run ensembles of more than this many members as several units, with the same results",
                       kCount);
  arguments
      .add_flag("--work-only", o.work_only,
                "Run units until none is left, the largest first, and leave the report to another process")
      .excludes(begin);
  arguments
      .add_number("--lease", o.lease,
                  "Seconds without a sign of life after which another process's unit is taken over",
                  {0.5L, 86400})
      .show_default();
  arguments.begin_group("Settings");  // what the experiment adds
}

Json to_json(const ExperimentOptions& o) {
  Json config = o.has_data ? to_json(o.data, o.run) : to_json(o.run);
  config["quick"] = o.quick;
  if (o.split > 0) config["split"] = o.split;  // where nothing is divided, no word of it
  return config;
}

void restore(ExperimentOptions& o, const Json& config) {
  if (o.has_data)
    restore(o.data, o.run, config);
  else
    restore(o.run, config);
  restore_option(config, "quick", o.quick);
  o.split = config.value("split", int64_t{0});
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

namespace {

/// units.json: what `elbo status` has to know of them.
void write_units(const RunDirectory& directory, const std::vector<Unit>& units) {
  Json list = Json::array();
  const auto entry = [](const Unit& unit) {
    return Json{{"key", unit.key}, {"title", unit.title}, {"cost", unit.cost}};
  };
  Json parts = Json::array();
  for (const Unit& unit : units) {
    if (!unit.part_of.empty()) {
      parts.push_back(entry(unit));
      continue;
    }
    list.push_back(entry(unit));
    if (!parts.empty()) list.back()["parts"] = std::exchange(parts, Json::array());
  }
  directory.write_json(kUnits, list);
}

/// What killed processes left. All units are done and this process has the lock: nobody else writes but one
/// that was taken for dead.
void clean_up(const RunDirectory& directory, const std::vector<Unit>& units) {
  UnitClaims(directory, 0).tidy(units);
  remove_leftovers(directory.path());
}

}  // namespace

void carry_out(const char* name, const ExperimentOptions& o, const Json& config, const ExperimentPlan& plan) {
  const bool resuming = !o.resume.empty();
  if (resuming && plan.data) check_same_data(*plan.data, o.resume);
  check_keys(plan.units, o.only);
  const std::vector<Unit> units = in_parts(plan.units, o.split);
  if (o.dry_run) {
    std::vector<Unit> chosen;
    for (const Unit& unit : units) {
      if (!unit.part_of.empty() || !is_chosen(unit, o.only)) continue;
      chosen.push_back(unit);
      if (!unit.parts.empty()) chosen.back().title += fmt::format(", in {} parts", unit.parts.size());
    }
    return fmt::print("{}\n\n{}", plan.what, cost_of(chosen));
  }

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory directory(name, o.run.out,
                         resuming ? RunDirectory::Existing::join : RunDirectory::Existing::refuse);
  if (!resuming && plan.data) directory.write_config(config, data_record(*plan.data));
  if (!resuming && !plan.data) directory.write_config(config);
  // Data that the user has found at another place are there from now on, for whoever resumes the run.
  if (resuming && plan.data && !o.work_only) {
    Json began = read_run_config(o.resume);
    if (began.contains("data") && !are_same_source(began["data"], config.at("data"))) {
      began["data"] = config.at("data");
      directory.write_config(began, data_record(*plan.data));
    }
  }
  if (!std::filesystem::exists(directory.file(kUnits))) write_units(directory, units);
  directory.share();
  if (o.begin) return;
  Result result(name, config, plan.data ? provenance_of(o.run, *plan.data) : provenance_of(o.run));
  const Json origin = origin_of(result.provenance);
  std::optional<RankServer> server;
  if (Ranks* ranks = Ranks::joined()) {
    if (ranks->rank() > 0) return work_for_root(*ranks, units, directory, origin, o.lease);
    server.emplace(*ranks, units, o.only, directory, o.lease);
  }
  const UnitsOptions how{.name = name,
                         .origin = origin,
                         .only = o.only,
                         .quiet = o.run.json || o.work_only,
                         .lease = o.lease,
                         .largest_first = o.work_only};
  const Outcomes outcomes = run_units(units, directory, how);
  if (o.work_only && !interrupted()) return;
  if (!interrupted()) directory.wait_for_lock();
  if (interrupted()) {
    if (o.work_only) return;
    size_t done = 0, chosen = 0;
    for (const Unit& unit : plan.units)
      if (is_chosen(unit, o.only)) ++chosen, done += outcomes.has(unit.key);
    return log_line(fmt::format("stopped with {} of {} units done; continue with: elbo {} --resume {}{}",
                                done, chosen, name, shell_word(directory.path()), choice_words(o.only)));
  }
  if (outcomes.count() == plan.units.size()) {
    clean_up(directory, units);
  } else {
    result.set("units", {{"here", outcomes.keys()}, {"of", plan.units.size()}});
    log_line(fmt::format("{}: these are {} of {} units; the others run with: elbo {} --resume {}", name,
                         outcomes.count(), plan.units.size(), name, shell_word(directory.path())));
  }
  result.provenance.unit_seconds = outcomes.seconds();
  result.provenance.unit_origins = outcomes.origins();
  Presentation presentation{directory, result};
  const auto damaged = [&](const std::exception& error) {
    fail(
        "[experiment] a unit.json in {} is not as elbo writes it ({}); without it, --resume trains that unit "
        "anew",
        quote(directory.path()), error.what());
  };
  try {
    plan.present(outcomes, presentation);
  } catch (const Json::exception& error) {
    damaged(error);
  } catch (const std::logic_error& error) {  // of lists that are too short
    damaged(error);
  }
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
