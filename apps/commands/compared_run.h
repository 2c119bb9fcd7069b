// ComparedRun: what `compare` takes from a run directory: its options, its numbers, its data and its curves.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "apps/support/json.h"

namespace elbo {

/// ELBO over epochs, as a run wrote it to a metrics.csv, and to a validation.csv where it watched one.
struct RunCurve {
  std::string name;  ///< of the folder that it lies in; empty: the run's own
  std::vector<double> epoch, elbo;
  std::vector<double> held_out_epoch, held_out_elbo;
};

struct ComparedRun {
  std::string path = {}, label = {};  ///< label: short, and no other run's
  std::string command = {};           ///< that wrote it
  std::vector<std::pair<std::string, std::string>> options = {}, data = {};  ///< in the order of the file
  std::vector<std::pair<std::string, double>> metrics = {};  ///< by dotted name, NaN where there is none
  std::map<std::string, std::string> units = {};             ///< of those that have one
  std::vector<RunCurve> curves = {};

  /// The value of an option; "-" where the run has no such option.
  std::string option(const std::string& name) const;
  const double* metric(const std::string& name) const;
};

/// Opens the runs in these directories. Of an ensemble the numbers and the curve are those of `member`, or
/// of the best where it is -1. Throws Error with one line for a directory that is no run, a run that is not
/// finished, a run that is named twice, and a member that is not there.
std::vector<ComparedRun> open_runs(const std::vector<std::string>& directories, int64_t member);

}  // namespace elbo
