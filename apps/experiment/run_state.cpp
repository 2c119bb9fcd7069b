#include "apps/experiment/run_state.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/experiment/unit_claims.h"
#include "apps/support/json.h"
#include "apps/support/run_directory.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {

namespace fs = std::filesystem;

size_t RunState::done() const {
  return static_cast<size_t>(std::count_if(units.begin(), units.end(), [](const auto& u) { return u.done; }));
}

size_t RunState::running() const {
  return static_cast<size_t>(
      std::count_if(units.begin(), units.end(), [](const auto& u) { return u.is_running(); }));
}

double RunState::share() const {
  double all = 0, spent = 0;
  for (const UnitState& unit : units) {
    all += unit.cost;
    if (unit.done) spent += unit.cost;
    if (unit.is_running()) spent += unit.cost * std::clamp(unit.lease->share, 0.0, 1.0);
  }
  return all > 0 ? spent / all : 0;
}

double RunState::seconds_left() const {
  // What was done by processes that ended is in the cost of their units, not in the seconds; so only units
  // that are running stand in for those that are done, where there are none.
  double cost = 0, seconds = 0, left = 0, longest = 0;
  for (const UnitState& unit : units)
    if (unit.done) cost += unit.cost, seconds += unit.seconds;
  if (cost == 0)
    for (const UnitState& unit : units)
      if (unit.is_running()) cost += unit.cost * unit.lease->share, seconds += unit.lease->seconds;
  for (const UnitState& unit : units) {
    if (unit.done) continue;
    const double of_unit = unit.cost * (unit.is_running() ? 1 - std::clamp(unit.lease->share, 0.0, 1.0) : 1);
    left += of_unit;
    longest = std::max(longest, of_unit);
  }
  if (left == 0) return 0;
  if (cost == 0 || running() == 0) return std::nan("");
  // No unit is shared, so the largest of them is the least that it takes.
  return seconds / cost * std::max(left / static_cast<double>(running()), longest);
}

RunState read_run_state(const std::string& directory, bool seconds) {
  RunState state;
  state.command = read_run_command(directory);
  const fs::path path(directory);
  std::error_code ignored;
  if (!fs::exists(path / kUnits, ignored))
    fail(
        "[run directory] {} is a run of {}, which has no units; look at what it prints and at its "
        "metrics.csv",
        quote(directory), quote(state.command));
  try {
    for (const Json& unit : read_json((path / kUnits).string())) {
      UnitState one{unit.at("key"), unit.at("title"), unit.at("cost"), false, 0, {}};
      const fs::path kept = path / one.key / "unit.json";
      one.done = fs::exists(kept, ignored);
      if (one.done && seconds) one.seconds = read_json(kept.string()).value("seconds", 0.0);
      state.units.push_back(std::move(one));
    }
  } catch (const nlohmann::json::exception&) {
    fail("[run directory] {} is not what an experiment wrote", quote((path / kUnits).string()));
  }
  for (LeaseReport& lease : read_leases((path / kRunning).string()))
    for (UnitState& unit : state.units)
      if (unit.key == lease.name && !unit.done) unit.lease = lease;
  return state;
}

}  // namespace elbo
