// What a run of an ensemble keeps of its epochs: in memory for figures, in metrics.csv for people, and of the
// one that is not over yet in a checkpoint, so that a run that is broken off within an epoch and resumed
// reports that epoch as if nothing had happened.
#pragma once

#include <string>
#include <vector>

#include "apps/support/csv.h"
#include "apps/support/json.h"

namespace elbo {

struct MemberHistory {
  std::vector<double> epoch, elbo, kl,
      sigma2;                     ///< ELBO and KL as averaged over the epoch's batches, nats per point; NaN
                                  ///< where the loss has none
  std::vector<double> entropies;  ///< their sum (vae/entropies.h), likewise; NaN where the loss has none
};

/// A member that was stopped because its objective was not finite, or after the last step its parameters.
struct StoppedMember {
  int64_t member = 0, epoch = 0, step = 0;
  std::string tensor;  ///< the first that was not finite
};
Json to_json(const StoppedMember& stopped);
Json to_json(const std::vector<StoppedMember>& stopped);
StoppedMember stopped_member_from(const Json& json);

/// The columns of metrics.csv, for losses with these probes. `elbo` is expected_log_likelihood - kl, the ELBO
/// of the model as it was, with the KL's weight one, whatever the loss makes of the two; nan where the loss
/// does not measure both, as LiBI's first. Where there are several phases the last column is the name of the
/// phase that a row's epoch was in, and what its loss does not measure is nan.
std::vector<std::string> columns_for(const std::vector<std::string>& probes, bool phases = false);
/// The sum of the three entropies among a loss's probes; NaN where they are not.
double entropy_sum(const std::vector<std::string>& names, const std::vector<double>& probes);
/// One epoch of one member.
struct EpochRow {
  int64_t epoch = 0;
  size_t member = 0;
  std::vector<double> probes{};  ///< means over the epoch, of the loss's names
  double sigma2 = 0, kl_weight = 1, learning_rate = 0, seconds = 0;
  std::string phase{};
};
/// Its cells, for these columns.
std::vector<CsvCell> cells_of(const EpochRow& row, const std::vector<std::string>& names,
                              const std::vector<std::string>& columns);
/// Adds it to the history of its member.
void add(MemberHistory& history, const EpochRow& row, const std::vector<std::string>& names);
/// Fills the history of each member from the rows of an interrupted run.
void read_history(const std::string& metrics, const std::vector<std::string>& columns,
                  std::vector<MemberHistory>& history);

/// What the batches of the current epoch add up to.
struct EpochSums {
  std::vector<std::vector<double>> probes;  ///< [probe][member], over points
  double points = 0;
  EpochSums(size_t count, size_t members) : probes(count, std::vector<double>(members)) {}
};

/// As a checkpoint has them, with the probes' names, who was stopped, and the seconds of training so far.
Json to_json(const EpochSums& sums, const std::vector<std::string>& names,
             const std::vector<StoppedMember>& stopped, double seconds);
void from_json(const Json& json, const std::vector<std::string>& names, EpochSums& sums,
               std::vector<StoppedMember>& stopped);

}  // namespace elbo
