// What the trainings of Lücke et al. record, and what follows from the records alone: how far bound and
// entropies are apart, at the end and before, and how well a stream's variances follow its likelihood.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/support/json.h"

namespace elbo {

/// [member][epoch], nats per data point; NaN from where a run's bound was no longer finite.
struct Recorded {
  std::vector<std::vector<double>> bound, entropies;
  int64_t first_run = 0;    ///< the run that member 0 is
  int64_t broken = 0;       ///< runs that are not among the members, as they broke
  std::vector<Json> looks;  ///< what was kept of some epochs
  int64_t epochs() const { return bound.empty() ? 0 : static_cast<int64_t>(bound[0].size()); }
};

/// As recordings are kept in results.
Json to_json(const Recorded& record);
Recorded recorded_from(const Json& json);
/// Adds the members of another ensemble with as many epochs.
void append(Recorded& to, const Recorded& more);
/// Those whose bound is finite at the end; `broken` counts the others. Looks are of run 0, and go with it.
Recorded without_broken(const Recorded& runs);
/// "10 runs", "1 run", "3 runs; 7 more broke".
std::string count_text(const Recorded& runs);

/// |bound - entropies| / |bound at the end|, in percent, of a member; signed: without the magnitude above.
std::vector<double> relative_error(const Recorded& run, size_t member, bool is_signed = false);
/// Epochs 1, 2, ... for figures.
std::vector<double> epochs_of(const Recorded& run);
/// Each value's mean with those before it, so many at most.
std::vector<double> moving_average(const std::vector<double>& values, size_t over);

/// The median over runs of the relative error, percent, over the last twentieth of the epochs.
double final_error(const Recorded& runs);
/// |bound - entropies| / |bound at the end| of a run, percent, averaged over the same epochs.
double final_error_of(const Recorded& runs, size_t member);

/// Over all runs and their last epochs, percent of each run's final bound.
struct Ending {
  double error = 0;      ///< mean of |bound - entropies|
  double deviation = 0;  ///< mean of bound - entropies
  double above = 0;      ///< epochs in which the bound is the larger, percent of them
};
Ending ending_of(const Recorded& runs, int64_t epochs);

/// Where the errors of 20 epochs in a row first average to less than 0.5 %: the last of the 20, and how far
/// the bound is from its end then, nats per data point. Medians over the runs in which that happens; NaN
/// where there is none.
struct EarlyAgreement {
  double epoch = 0, below = 0;
  size_t runs = 0;  ///< in which it happens
};
EarlyAgreement early_agreement(const Recorded& runs);

/// Within which the variances count as near, nats per data point.
inline constexpr double kNear = 0.05;

/// Of a stream: how far the variances are from the exact likelihood, nats per data point, on average over the
/// last tenth of either half; and after how many batches of the second half they are near for the rest of it:
/// infinity where they are not at its last look.
struct Tracking {
  double before = 0, after = 0, until_near = 0;
};
/// Looks at batches `steps`, of which those beyond `change` are of the second half.
Tracking tracking_of(const std::vector<double>& steps, double change, const std::vector<double>& of_variances,
                     const std::vector<double>& exact);
/// The median of numbers of which some may be infinite; so is it where these are half of them.
double median_of_all(std::vector<double> values);

}  // namespace elbo
