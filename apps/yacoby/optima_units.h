// The units of yacoby-optima: LinearJTEx (Yacoby et al., Eq. 3) in closed form, and VAEs trained on it.
#pragma once

#include <vector>

#include "apps/experiment/experiment.h"
#include "vae/jtex.h"
#include "vae/yacoby_models.h"

namespace elbo::yacoby {

/// What the paper leaves open is chosen here: restarts are of one data set, and differ in where they start
/// and in their noise.
struct OptimaOptions : ExperimentOptions {
  int64_t grid = 67, starts = 16;                     ///< closed form
  int64_t members = 10, points = 500, steps = 30000;  ///< trained
  double rate = 0.01;
  OptimaOptions() { has_data = false; }
  template <class F>
  void each(F f) {
    f("grid", grid);
    f("starts", starts);
    f("members", members);
    f("points", points);
    f("steps", steps);
    f("lr", rate);
  }
};

inline constexpr double kSigma2 = 0.01, kFloor = 0.006, kLargestFloor = 0.0099;
inline constexpr const char *kClosedForm = "closed-form", *kTrained = "trained";

/// The model that made the data, and the covariance of its data.
LinearGaussian true_model();

/// A model of LinearJTEx and all that is known of it where the data are the true model's.
struct Known {
  LinearGaussian model;
  LinearPosterior posterior;
  OptimalLoss loss;
  double information = 0, log_likelihood = 0;
  Tensor covariance, aggregated;  ///< (2, 2): of its data; of E_data[q(z|x)], q the closest mean-field one
};
Known known_of(const Tensor& weight);

/// Draws of N(mean_n, diag variance_n): all (N, k).
Tensor draws_of(const Tensor& mean, const Tensor& variance, uint64_t seed);

/// {"grid", "posterior", "information", "likelihood": over B as rows of B11; "optimum": L row by row,
/// "losses": where the starts ended}.
Unit closed_form_unit(const OptimaOptions& options);

/// {"members": [{"weight", "encoder_gap", "validation_loss"}], null for one that broke; "chosen": that with
/// the least loss on validation data, "latents": draws of its q for each training point}.
Unit trained_unit(const OptimaOptions& options);

}  // namespace elbo::yacoby
