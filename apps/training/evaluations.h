// evaluations/epoch-N.json of a run: all metrics of every member after an epoch that was asked for, and what
// its units are worth.
#pragma once

#include <map>
#include <vector>

#include "apps/support/run_directory.h"
#include "apps/training/epochs.h"
#include "vae/unit_diagnostics.h"

namespace elbo {

/// In a folder of the run ("linear/", or ""). Of members that were stopped it says that instead.
void write_evaluation(const RunDirectory& run, const std::string& folder, int64_t epoch,
                      const std::vector<DeepVaeMetrics>& metrics, const std::vector<UnitGains>& gains,
                      const std::vector<StoppedMember>& stopped);

/// Those of `epochs` up to the last one that is over, of a run that `went_on` behind it or stopped there,
/// perhaps before that epoch's. Throws where one is missing, and for a file that is not of so many members.
std::map<int64_t, std::vector<DeepVaeMetrics>> read_evaluations(const RunDirectory& run,
                                                                const std::string& folder,
                                                                const std::vector<int64_t>& epochs,
                                                                int64_t last_epoch, bool went_on,
                                                                size_t members);

}  // namespace elbo
