// Which runs the figures and tables that were asked for need, and what of them is there already.
#pragma once

#include <string>
#include <vector>

#include "apps/ledger/publication.h"

namespace elbo::ledger {

struct ReproduceOptions {
  std::vector<std::string> ids;  ///< "lucas/fig1", "lucas" for all of a paper, "all"
  bool quick = false;
  std::string folder;  ///< that holds the runs
  std::string celeba;  ///< the folder of CelebA's images; empty: not there
  int threads = 0;     ///< 0: as the command takes them
};

struct Job {
  enum class State { to_run, begun, done, no_data };
  const Run* run;
  std::vector<std::string> ids{};   ///< of the items that need it
  std::vector<std::string> only{};  ///< the units that they need; none: all
  std::string folder;
  State state = State::to_run;
  std::vector<std::string> words{};  ///< the command line, after the program's name
};

/// In the order of the papers, a job for each run. Throws where there is no such figure or table, with the
/// names that are like it.
std::vector<Job> jobs_for(const std::vector<Publication>& papers, const ReproduceOptions& options);

/// The names nearest to one that is none, the best first.
std::vector<std::string> names_like(const std::string& name, const std::vector<std::string>& names);

}  // namespace elbo::ledger
