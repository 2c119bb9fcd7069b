// Units: the pieces that an experiment is made of, each a run by itself with a result in JSON. What is common
// to experiments follows from that list: progress and time left, resuming (a unit that has its result is not
// run again), running some of them only, sharing them between processes, and saying beforehand what all of it
// costs.
//
// A unit writes what it likes into its folder of the run directory; the floor adds unit.json when it is done,
// and gives the folder the unit's name (unit_claims.h). One that is an ensemble may run in parts, each a unit
// of its own (parts.h). Knows nothing of what units compute.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/support/json.h"
#include "apps/support/progress.h"
#include "apps/support/run_directory.h"

namespace elbo {

/// Where a unit runs.
struct UnitPlace {
  const RunDirectory& directory;
  std::string folder;     ///< its own while it runs, "running/k-50.1/", inside of the directory
  bool resuming = false;  ///< an earlier process may have begun this unit
  ShowProgress progress;  ///< how far the unit is
};

/// Members of an ensemble: `count` of them, from `first` on.
struct MemberRange {
  int64_t first = 0, count = 0;
};

/// What a part of an ensemble left: files in `folder`, "k-50.members-0-24/" inside of the directory, which
/// are others' to read and not to change.
struct PartOutcome {
  MemberRange members;
  std::string folder;
  Json result;
};

/// Of an ensemble whose members do not depend on their fellows: how some of them run without the others.
struct EnsembleParts {
  int64_t members = 0;
  /// As Unit::run, for these members only, with the random numbers that they have in the whole.
  std::function<Json(const UnitPlace& place, const MemberRange& members)> run{};
  /// What Unit::run would have returned and written, from all parts in the members' order. What is chosen
  /// among members is chosen here.
  std::function<Json(const UnitPlace& place, const std::vector<PartOutcome>& parts)> join{};
};

struct Unit {
  std::string key;    ///< "k-50": of letters, digits, points and hyphens
  std::string title;  ///< "k = 50"
  double cost = 1;    ///< in any measure that the units of an experiment have in common, such as flops
  /// Seconds that the unit takes here, found by doing a little of it. Asked of one of the units with the same
  /// cost. Where it is empty, the seconds follow from the cost and from all units that were measured.
  std::function<double()> measure{};
  /// What came out. It counts only where the run was not interrupted meanwhile.
  std::function<Json(const UnitPlace& place)> run{};
  std::optional<EnsembleParts> ensemble{};
  std::string part_of{};             ///< of a part: the unit that it belongs to, with which it is done, too
  std::vector<std::string> parts{};  ///< keys of its parts, without whose results it cannot run
};

/// The results of the units that are done, in the order of the experiment. Parts are none of them.
class Outcomes {
 public:
  /// `seconds` that it took, those of its parts among them; `origins` of the processes that were at it.
  void add(const Unit& unit, Json result, double seconds, const Json& origins);
  /// Whether the unit is done; its result, which must be there.
  bool has(const std::string& key) const { return results_.contains(key); }
  const Json& at(const std::string& key) const;
  std::vector<std::string> keys() const { return keys_; }
  size_t count() const { return keys_.size(); }
  /// Of all of them together, by all processes that were at them as far as is known.
  double seconds() const { return seconds_; }
  /// Each origin (apps/support/result.h) with "units", the number of units that processes of it were at. A
  /// unit that several were at counts for each.
  const Json& origins() const { return origins_; }

 private:
  std::vector<std::string> keys_;
  std::map<std::string, Json> results_;
  double seconds_ = 0;
  Json origins_ = Json::array();
};

/// Throws Error where two units have a key in common, or `keys` names one that no unit has.
void check_keys(const std::vector<Unit>& units, const std::vector<std::string>& keys);
/// Whether `keys` names the unit, or that which it is a part of; none names all.
bool is_chosen(const Unit& unit, const std::vector<std::string>& keys);
/// " --only a,b", as it stands in a shell's command line; nothing where none are named.
std::string choice_words(const std::vector<std::string>& keys);

struct UnitsOptions {
  std::string name;                 ///< of the experiment, before the progress
  Json origin = Json::object();     ///< of this process (apps/support/result.h)
  std::vector<std::string> only{};  ///< keys of those that are to run; none: all
  bool quiet = false;
  double lease = 60;           ///< seconds without a sign of life after which another process's unit is free
  bool largest_first = false;  ///< so that processes that share the units end at about the same time
};

/// Runs the chosen units that have no result in the directory yet, one after the other, until they are done
/// or the run is interrupted (apps/support/interrupt.h). Other processes may be doing the same: each unit is
/// run by one, and those that others are at are waited for. Returns all that is there then, of other units
/// too.
Outcomes run_units(const std::vector<Unit>& units, const RunDirectory& directory,
                   const UnitsOptions& options);
/// What is there now.
Outcomes outcomes_in(const std::vector<Unit>& units, const RunDirectory& directory);

/// What a unit's progress throws where the unit is no longer this process's. Of no other type, so that no
/// unit catches it.
struct LostUnit {};

/// Runs one unit in a process of this origin. Returns what publish is to be given; nothing where the run was
/// interrupted, or the unit is no longer this process's, as lost() says.
std::optional<Json> run_unit(const Unit& unit, const UnitPlace& place, const Json& origin,
                             const std::function<bool()>& lost);

/// What each of these units costs on this machine, measured: a line for each, and the sum.
std::string cost_of(const std::vector<Unit>& units);

/// Seconds for `steps` steps, from a few of them: take(n) takes n.
double seconds_for_steps(int64_t steps, const std::function<void(int64_t n)>& take);

}  // namespace elbo
