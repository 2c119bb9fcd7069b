// What `train` and `evaluate` say of a linear VAE: its metrics, beside what pPCA's closed form allows.
#pragma once

#include "apps/options.h"
#include "apps/support/table.h"
#include "vae/linear_vae.h"

namespace elbo {

struct LinearVaeFindings {
  LinearVaeMetrics metrics;
  bool has_maximum = false;   ///< false when the data do not span more than k dimensions
  double maximum = 0;         ///< pPCA's largest log-likelihood at this k, nats per data point
  double best_sigma2 = 0;     ///< and its sigma^2
  double paper_constant = 0;  ///< added to nats per data point gives the papers' units
  double alignment = 0;       ///< median |cosine| of decoder columns and eigenvectors
  std::vector<double> collapse_epsilon, collapse_percent;  ///< delta = 0.01
};

/// Everything about the weights on the data.
LinearVaeFindings find_out(const LinearVaeWeights& weights, const LoadedData& data,
                           const DataMoments& moments);

/// Metrics under their common names.
void set_metrics(Result& result, const LinearVaeFindings& findings);

/// Ours beside the closed form, one quantity a row.
Table comparison(const LinearVaeFindings& findings);

}  // namespace elbo
