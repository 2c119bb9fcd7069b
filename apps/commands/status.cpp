// elbo status: how far a run of an experiment is, and where its units are.
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
  if (!unit.lease) return "left";
  return unit.is_running() ? "running" : "begun";  // by somebody who let go of it, or is gone
}

Json to_json(const RunState& state) {
  Json units = Json::array();
  for (const UnitState& unit : state.units) {
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
    units.push_back(entry);
  }
  return {{"command", state.command},
          {"done", state.done()},
          {"running", state.running()},
          {"of", state.units.size()},
          {"share", state.share()},
          {"seconds_left", finite_or_null(state.seconds_left())},
          {"units", units}};
}

std::string text_of(const RunState& state) {
  Table table(
      {"unit", "state", Table::number("done"), "where", "since (its clock)", Table::number("time"), "what"});
  for (const UnitState& unit : state.units) {
    const LeaseReport lease = unit.lease.value_or(LeaseReport{});
    const bool known = unit.done || unit.lease;
    table.row({unit.key, word_for(unit),
               unit.done ? "100 %"
               : known   ? fmt::format("{:.0f} %", 100 * lease.share)
                         : "",
               lease.host.empty() ? "" : fmt::format("{}, {}", lease.host, lease.worker), lease.since,
               known ? format_duration(unit.done ? unit.seconds : lease.seconds) : "", lease.text});
  }
  const double left = state.seconds_left();
  std::string end = "nobody is at work in it";
  if (state.done() == state.units.size())
    end = "all is done";
  else if (state.running() > 0)
    end = std::isfinite(left) ? fmt::format("about {} left", format_duration(left))
                              : "too early to say how long";
  return fmt::format("{}\n{}: {} of {} units done, {} running; {}\n", table.text(), state.command,
                     state.done(), state.units.size(), state.running(), end);
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
