// RunState: how far a run of an experiment is, read from its directory while processes work in it.
#pragma once

#include <string>
#include <vector>

#include "apps/support/leases.h"

namespace elbo {

/// Of a run directory: a list of {"key", "title", "cost"}.
inline constexpr const char* kUnits = "units.json";

struct UnitState {
  std::string key, title;
  double cost = 1;
  bool done = false;
  double seconds = 0;                ///< that it took the process that ended it; where it is done
  std::optional<LeaseReport> lease;  ///< where it was begun and is not done
  bool is_running() const { return lease && !lease->let_go && !lease->dead; }
};

struct RunState {
  std::string command;
  std::vector<UnitState> units;  ///< in the experiment's order

  size_t done() const;
  size_t running() const;
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
