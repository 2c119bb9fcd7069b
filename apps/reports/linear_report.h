// What `train` and `evaluate` say of a linear VAE: its metrics, beside what pPCA's closed form allows.
#pragma once

#include "apps/support/report.h"
#include "apps/training/options.h"
#include "vae/decoder_alignment.h"

namespace elbo {

struct LinearVaeFindings {
  LinearVaeMetrics metrics;
  bool has_maximum = false;   ///< false when the data do not span more than k dimensions
  double maximum = 0;         ///< pPCA's largest log-likelihood at this k, nats per data point
  double best_sigma2 = 0;     ///< and its sigma^2
  double paper_constant = 0;  ///< added to nats per data point gives the papers' units
  DecoderAlignment alignment = {};
  std::vector<double> collapse_epsilon, collapse_percent;  ///< delta = 0.01
};

/// Everything about the weights on the data; `eigen` is that of the moments' covariance.
/// `obstacle`: why the entropies need not add up to the ELBO, where they need not (vae/entropy_gauge.h).
LinearVaeFindings find_out(const LinearVaeWeights& weights, const LoadedData& data,
                           const DataMoments& moments, const Eigen& eigen, const std::string& obstacle);

/// Metrics under their common names.
void set_metrics(Result& result, const LinearVaeFindings& findings);

/// Ours beside the closed form, one quantity a row.
Table comparison(const LinearVaeFindings& findings);

/// A section on the decoder's columns beside the principal directions: their cosines, and for images the
/// first of both as pictures. Figures are drawn into `folder`.
void add_directions(Report& report, const LinearVaeWeights& weights, const Eigen& eigen,
                    const LinearVaeFindings& findings, const Dataset& data, const std::string& folder);

}  // namespace elbo
