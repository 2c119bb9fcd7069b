// RunState: how far a run of an experiment is, read from its directory while processes work in it.
#pragma once

#include <string>
#include <vector>

#include "apps/support/leases.h"

namespace elbo {

/// Of a run directory: a list of {"key", "title", "cost"}, and of units that run in parts also their "parts".
inline constexpr const char* kUnits = "units.json";

struct UnitState {
  std::string key, title;
  double cost = 1;  ///< with that of its parts
  bool done = false;
  double seconds = 0;                  ///< that it took the process that ended it; where it is done
  std::optional<LeaseReport> lease{};  ///< where it was begun and is not done
  std::vector<UnitState> parts{};      ///< of one that runs in parts
  /// Whether somebody is at it; where it has parts, at joining them.
  bool is_running() const { return lease && !lease->let_go && !lease->dead; }
  /// How much of its cost is spent, from 0 to 1.
  double share() const;
};

struct RunState {
  std::string command;
  std::vector<UnitState> units;  ///< in the experiment's order

  size_t done() const;
  /// How many processes are at work: at units or at parts.
  size_t running() const;
  /// Those that are done and those that there are, of units that run in parts and are not joined yet.
  size_t parts_done() const;
  size_t parts() const;
  /// Units that are done and, of all units, parts: a number that grows but for moments.
  size_t pieces_done() const;
  /// What a process can do by itself that is not done.
  size_t pieces_left() const;
  /// "2 of 6 units done, 3 of 8 parts of those left, 4 running".
  std::string counts() const;
  /// Of the whole cost, what is done, units that are running included: from 0 to 1.
  double share() const;
  /// Seconds to the end, at the speed of the units so far and with the processes that are at work now; NaN
  /// where nothing is known or nobody is at work.
  double seconds_left() const;
};

/// Throws Error for what is no run directory of an experiment. Without `seconds` those of units that are done
/// are not read, which takes opening every result.
RunState read_run_state(const std::string& directory, bool seconds = true);

}  // namespace elbo
