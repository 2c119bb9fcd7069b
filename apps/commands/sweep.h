// What the launchers of `elbo sweep` share: the run that is swept, and how its report is made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/experiment/run_state.h"
#include "apps/support/ranks.h"

namespace elbo {

struct Sweep {
  std::string experiment;          ///< the command
  std::vector<std::string> words;  ///< its own options, as they were given
  std::string config;              ///< the file that has some of them, which `words` name; empty: none
  std::string directory;           ///< of the run
  bool resuming = false;           ///< it was begun before
  std::vector<std::string> only;
  int64_t workers = 0;  ///< 0: one for each core
  double lease = 60;
  int64_t restarts = 20;
  bool json = false, print = false;
  std::string sbatch;  ///< options of sbatch, between spaces

  /// The command line of a process that runs units; without "elbo".
  std::vector<std::string> worker() const;
  /// Of one that makes the run directory, of workers that run so many threads each (0: as the user says).
  std::vector<std::string> beginning(int64_t threads) const;
  /// Of one that does what is left and says what came of it all.
  std::vector<std::string> ending() const;
  /// Of the chosen units; without the seconds of those that are done.
  RunState state() const;
  /// Makes the run directory, and chooses it where the user did not. Nothing where it was begun before.
  void begin(int64_t threads);
  /// Whether the user gave an option of the experiment's, on the command line or in a file.
  bool gives(const std::string& option) const;
  /// "continue with: elbo sweep --resume runs/7", and --only where some units are chosen.
  std::string how_to_go_on() const;
};

/// Runs them in processes of this machine, and then the report. Returns when they have ended.
void sweep_here(Sweep& sweep);
/// Writes and submits an array job, or shows it.
void sweep_with_slurm(Sweep& sweep);
/// At the root: gives the units to the ranks.
void sweep_with_mpi(Sweep& sweep, Ranks& ranks);
/// At the others: takes them, until the root says that there are no more.
void work_at_rank(Ranks& ranks);

}  // namespace elbo
