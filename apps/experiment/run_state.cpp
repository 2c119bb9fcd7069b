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
namespace {

namespace fs = std::filesystem;

size_t count_done(const std::vector<UnitState>& units) {
  return static_cast<size_t>(std::count_if(units.begin(), units.end(), [](const auto& u) { return u.done; }));
}

/// Calls f for what a process does at a time: parts of units that are not done, and other units; one that is
/// to be joined is left where its parts are done.
template <class F>
void each_piece(const std::vector<UnitState>& units, F f) {
  for (const UnitState& unit : units) {
    if (unit.done || unit.parts.empty() || count_done(unit.parts) == unit.parts.size()) f(unit);
    if (!unit.done)
      for (const UnitState& part : unit.parts) f(part);
  }
}

/// A part has no parts.
UnitState state_of(const fs::path& directory, const Json& entry, bool seconds, bool is_part = false) {
  std::error_code ignored;
  UnitState state{entry.at("key"), entry.at("title"), entry.at("cost"), false, 0};
  const fs::path kept = directory / state.key / "unit.json";
  state.done = fs::exists(kept, ignored);
  if (state.done && seconds) try {
      state.seconds = kept_unit(directory.string(), state.key).value("seconds", 0.0);
    } catch (const Error&) {
      if (fs::exists(kept, ignored)) throw;  // a part that was joined just now
    }
  if (entry.contains("parts") && !is_part)
    for (const Json& part : entry.at("parts")) {
      state.parts.push_back(state_of(directory, part, seconds, true));
      state.cost += state.parts.back().cost;
    }
  return state;
}

}  // namespace

size_t RunState::done() const { return count_done(units); }

size_t RunState::running() const {
  size_t count = 0;
  each_piece(units, [&](const UnitState& piece) { count += piece.is_running(); });
  return count;
}

size_t RunState::parts_done() const {
  size_t count = 0;
  for (const UnitState& unit : units)
    if (!unit.done) count += count_done(unit.parts);
  return count;
}

size_t RunState::parts() const {
  size_t count = 0;
  for (const UnitState& unit : units)
    if (!unit.done) count += unit.parts.size();
  return count;
}

size_t RunState::pieces_done() const {
  size_t count = 0;
  for (const UnitState& unit : units) count += unit.done ? 1 + unit.parts.size() : count_done(unit.parts);
  return count;
}

size_t RunState::pieces_left() const {
  size_t count = 0;
  each_piece(units, [&](const UnitState& piece) { count += !piece.done; });
  return count;
}

std::string RunState::counts() const {
  const std::string of_parts =
      parts() == 0 ? "" : fmt::format(", {} of {} parts of those left", parts_done(), parts());
  return fmt::format("{} of {} units done{}, {} running", done(), units.size(), of_parts, running());
}

double UnitState::share() const {
  if (done) return 1;
  if (parts.empty()) return is_running() ? std::clamp(lease->share, 0.0, 1.0) : 0;
  double spent = 0;
  for (const UnitState& part : parts) spent += part.cost * part.share();
  return cost > 0 ? spent / cost : 0;
}

double RunState::share() const {
  double all = 0, spent = 0;
  for (const UnitState& unit : units) all += unit.cost, spent += unit.cost * unit.share();
  return all > 0 ? spent / all : 0;
}

double RunState::seconds_left() const {
  // What was done by processes that ended is in the cost of their units, not in the seconds; so only units
  // that are running stand in for those that are done, where there are none.
  double cost = 0, seconds = 0, left = 0, longest = 0;
  each_piece(units, [&](const UnitState& piece) {
    if (piece.done) cost += piece.cost, seconds += piece.seconds;
  });
  if (cost == 0)
    each_piece(units, [&](const UnitState& piece) {
      if (piece.is_running()) cost += piece.cost * piece.share(), seconds += piece.lease->seconds;
    });
  each_piece(units, [&](const UnitState& piece) {
    const double of_piece = piece.cost * (1 - piece.share());
    left += of_piece;
    longest = std::max(longest, of_piece);
  });
  if (left == 0) return 0;
  if (cost == 0 || running() == 0) return std::nan("");
  // No piece is shared, so the largest of them is the least that it takes.
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
    for (const Json& unit : read_json((path / kUnits).string()))
      state.units.push_back(state_of(path, unit, seconds));
  } catch (const nlohmann::json::exception&) {
    fail("[run directory] {} is not what an experiment wrote", quote((path / kUnits).string()));
  }
  for (LeaseReport& lease : read_leases((path / kRunning).string()))
    for (UnitState& unit : state.units) {
      if (unit.key == lease.name && !unit.done) unit.lease = lease;
      for (UnitState& part : unit.parts)
        if (part.key == lease.name && !part.done) part.lease = lease;
    }
  return state;
}

}  // namespace elbo
