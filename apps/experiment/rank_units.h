// Units of an experiment over ranks (apps/support/ranks.h): the root has the run directory and gives units
// out of it; the others run them in folders of their own and send back what came of them. No file system is
// shared.
//
// To the run directory a rank is one more process: the root claims for it (unit_claims.h), and lets go of the
// claim when nothing has been heard of the rank for a lease. From time to time a rank sends its files, so
// that whoever takes the unit over goes on from them.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "apps/experiment/unit_claims.h"
#include "apps/experiment/units.h"
#include "apps/support/rank_letters.h"

namespace elbo {

/// At the root, beside its own work: gives units to ranks that ask, until it is destroyed. Then the ranks are
/// asked to stop, and what they had begun is back before it returns.
class RankServer {
 public:
  RankServer(Ranks& ranks, const std::vector<Unit>& units, const std::vector<std::string>& only,
             const RunDirectory& directory, double lease);
  ~RankServer();
  RankServer(const RankServer&) = delete;
  RankServer& operator=(const RankServer&) = delete;

 private:
  struct Rank {
    bool working = true;  // it has not left
    std::string host;
    std::unique_ptr<ClaimedUnit> claimed;
    std::chrono::steady_clock::time_point heard = std::chrono::steady_clock::now();
  };
  void serve();
  void answer(const RankMessage& message);
  void give_unit(int to);
  void take_back(Rank& rank, const RankLetter& letter);
  bool is_of(const Rank& rank, const Json& about) const;

  Ranks& ranks_;
  std::vector<Unit> units_;  // the largest first
  const RunDirectory& directory_;
  double lease_;
  UnitClaims claims_;
  std::map<int, Rank> others_;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

/// At another rank: runs units for the root in `directory`, its own, until there are none or it is
/// interrupted.
/// `origin` is this process's (apps/support/result.h).
void work_for_root(Ranks& ranks, const std::vector<Unit>& units, const RunDirectory& directory,
                   const Json& origin, double lease);

}  // namespace elbo
