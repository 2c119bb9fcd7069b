// The metrics of a deep VAE as JSON, in results and in what an interrupted run keeps.
#pragma once

#include "apps/support/json.h"
#include "vae/deep_metrics.h"

namespace elbo {

/// Metrics under their common names; NaN (no single sigma^2) becomes null.
Json to_json(const DeepVaeMetrics& metrics);
/// And back; of a member that was {"stopped": ...} all are NaN.
DeepVaeMetrics deep_metrics_from(const Json& json);

}  // namespace elbo
