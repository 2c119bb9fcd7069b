// What a run of an ensemble of deep VAEs leaves behind, but for the models: metrics at the end and at chosen
// epochs, what was recorded of each epoch, who was stopped. As JSON it is the result of a unit of an
// experiment (apps/experiment/units.h).
#pragma once

#include <map>
#include <vector>

#include "apps/training/epochs.h"
#include "apps/training/training_options.h"
#include "vae/deep_metrics.h"

namespace elbo {

/// All vectors are in the order of the members.
struct DeepRecord {
  std::vector<Member> members;
  std::vector<DeepVaeMetrics>
      metrics;  ///< at the end, on the training data; empty when the run was interrupted
  std::map<int64_t, std::vector<DeepVaeMetrics>> evaluations;  ///< after the epochs asked for
  std::vector<MemberHistory> history;
  std::vector<StoppedMember> stopped;

  /// The member's entry in `stopped`, or null.
  const StoppedMember* stop_of(int64_t member) const;
};

/// The member with the highest ELBO of those that were not stopped. Throws Error where all were.
size_t best_of(const DeepRecord& record);

/// All but the members themselves, which follow from the options.
Json to_json(const DeepRecord& record);
/// The record of these members.
DeepRecord deep_record_from(const Json& json, const std::vector<Member>& members);
/// Adds the members of another run after those that are there.
void append(DeepRecord& record, DeepRecord more);

}  // namespace elbo
