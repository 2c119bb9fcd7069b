// elbo status: how far a run of an experiment is, and where its units are.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/experiment/run_state.h"
#include "apps/support/json.h"
#include "apps/support/table.h"
#include "apps/support/text.h"
#include "tensor/error.h"

namespace elbo {
namespace {

struct Options {
  std::string run;
  bool json = false;
};

const char* word_for(const UnitState& unit) {
  if (unit.done) return "done";
  const auto some = [&](auto has) { return std::any_of(unit.parts.begin(), unit.parts.end(), has); };
  if (unit.is_running() || some([](const UnitState& part) { return part.is_running(); })) return "running";
  // By somebody who let go of it, or is gone.
  return unit.lease || some([](const UnitState& part) { return part.done || part.lease; }) ? "begun" : "left";
}

Json to_json(const UnitState& unit) {
  Json entry{{"key", unit.key}, {"title", unit.title}, {"state", word_for(unit)}};
  if (unit.done) entry["seconds"] = unit.seconds;
  if (unit.lease)
    entry.update({{"host", unit.lease->host},
                  {"worker", unit.lease->worker},
                  {"since", unit.lease->since},
                  {"seconds", unit.lease->seconds},
                  {"share", unit.lease->share},
                  {"attempt", unit.lease->number},
                  {"text", unit.lease->text}});
  if (!unit.done)
    for (const UnitState& part : unit.parts) entry["parts"].push_back(to_json(part));
  return entry;
}

Json to_json(const RunState& state) {
  Json units = Json::array();
  for (const UnitState& unit : state.units) units.push_back(to_json(unit));
  return {{"command", state.command},
          {"done", state.done()},
          {"running", state.running()},
          {"of", state.units.size()},
          {"share", state.share()},
          {"seconds_left", finite_or_null(state.seconds_left())},
          {"units", units}};
}

void add_row(Table& table, const UnitState& unit, const std::string& key) {
  const LeaseReport lease = unit.lease.value_or(LeaseReport{});
  const bool known = unit.done || unit.lease;
  const double share = unit.parts.empty() && unit.lease ? lease.share : unit.share();
  table.row({key, word_for(unit), known || share > 0 ? fmt::format("{:.0f} %", 100 * share) : "",
             lease.host.empty() ? "" : fmt::format("{}, {}", lease.host, lease.worker), lease.since,
             known ? format_duration(unit.done ? unit.seconds : lease.seconds) : "", lease.text});
}

std::string text_of(const RunState& state) {
  Table table(
      {"unit", "state", Table::number("done"), "where", "since (its clock)", Table::number("time"), "what"});
  for (const UnitState& unit : state.units) {
    add_row(table, unit, unit.key);
    if (!unit.done)
      for (const UnitState& part : unit.parts) add_row(table, part, "  " + part.key);
  }
  const double left = state.seconds_left();
  std::string end = "nobody is at work in it";
  if (state.done() == state.units.size())
    end = "all is done";
  else if (state.running() > 0)
    end = std::isfinite(left) ? fmt::format("about {} left", format_duration(left))
                              : "too early to say how long";
  return fmt::format("{}\n{}: {}; {}\n", table.text(), state.command, state.counts(), end);
}

void status(const Options& o) {
  const RunState state = read_run_state(o.run);
  fmt::print("{}", o.json ? json_text(to_json(state)) : text_of(state));
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments.add_text("run", o->run, "Run directory of an experiment").required();
  arguments.add_flag("--json", o->json, "Print it as JSON");
  arguments.run([o] { status(*o); });
}

}  // namespace

const Command status_command{"status", "How far a run of an experiment is, and who is at which of its units",
                             "", "0 s", add_options};

}  // namespace elbo
