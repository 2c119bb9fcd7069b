// UnitClaims: the units of one run directory, as any number of processes share them.
//
//   UnitClaims claims(directory, 60);
//   if (const auto claimed = claims.take(unit)) {
//     ... works in claimed->folder(), "running/k-50.1/" ...
//     claimed->publish(kept);                            // now it is "k-50/", with k-50/unit.json
//   }
//
// A unit is somebody's by a lease (apps/support/leases.h). Whoever has it works in a folder that nobody else
// writes into, and publishes by giving that folder the unit's own name, which succeeds once. So a process
// that was taken for dead and wakes can spoil nothing, and no unit is counted twice, whatever happens
// between two looks at the lease. Who takes a unit over goes on from what its last holder left: that folder
// where the holder is surely gone, else a copy of it.
//
// Parts of an ensemble (parts.h) are units until the whole is published from them, which removes them; from
// then on they count as done.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "apps/experiment/units.h"
#include "apps/support/leases.h"
#include "apps/support/run_directory.h"

namespace elbo {

/// The folder of a run directory in which units lie that are not done.
inline constexpr const char* kRunning = "running";
/// In a unit's folder until it is done, of the processes that were at it: the seconds of those that were
/// asked to stop, and the origins of all (apps/support/result.h).
inline constexpr const char* kSpent = "seconds.json";
inline constexpr const char* kOrigins = "origins.json";

class ClaimedUnit {
 public:
  const std::string& folder() const { return folder_; }
  /// Whether an earlier process began it.
  bool resuming() const { return resuming_; }
  Lease& lease() { return *lease_; }
  /// Writes unit.json and makes the unit done. False where somebody else has taken it over or published it,
  /// whose result is the same; this one's is gone then.
  bool publish(const Json& kept);
  /// Where it is not published: removes what this process wrote of a unit that another has published
  /// meanwhile. Of one that is not done nothing is removed, as whoever has it goes on from there.
  void clear_away();

 private:
  friend class UnitClaims;
  ClaimedUnit(const RunDirectory& directory, const Unit& unit, std::unique_ptr<Lease> lease);
  void take_up(const Leases& leases);

  const RunDirectory& directory_;
  std::string part_of_;
  std::vector<std::string> parts_;
  std::unique_ptr<Lease> lease_;
  std::string folder_;
  bool resuming_ = false;
};

/// What ClaimedUnit::publish was given for that unit. Throws Error where it is not that, or another unit's.
Json kept_unit(const std::string& directory, const std::string& key);

/// Whether it is a list of what origin_of may have said: objects of text, without the "units" that are
/// counted.
bool are_origins(const Json& list);
/// Of a process of an earlier version, which did not say it.
Json unrecorded_origin();

class UnitClaims {
 public:
  /// `lease` in seconds: how long others wait for a sign of life before they take a unit over.
  UnitClaims(const RunDirectory& directory, double lease);

  bool is_done(const Unit& unit) const;
  /// Whether the parts that it is made of are done; so is one without parts.
  bool is_ready(const Unit& unit) const;
  /// Null where the unit is done or somebody is at it. `worker` is who it is given to, where not this
  /// process. May be called by several threads.
  std::unique_ptr<ClaimedUnit> take(const Unit& unit, const std::string& worker = "");
  /// Removes what is left once every unit is done: running/, and of a process that was killed before it had
  /// removed them, parts whose whole is there and what unit.json now has.
  void tidy(const std::vector<Unit>& units) const;

 private:
  const RunDirectory& directory_;
  std::mutex mutex_;
  Leases leases_;
};

}  // namespace elbo
