// The options of `elbo train`, and the two trainings behind it.
#pragma once

#include "apps/training/calibration.h"

namespace elbo {

struct TrainOptions {
  DataOptions data;
  RunOptions run;
  TrainingOptions training;
  CalibrationOptions calibration;       ///< deep only
  std::string gradient = "stochastic";  ///< linear only
  int64_t polish = 0;                   ///< linear only: sweeps after Adam's epochs
  std::string resume;

  TrainOptions() { training.model = "linear"; }
};

/// As config.json has them, and back.
Json to_json(const TrainOptions& options);

/// The linear VAE, whose exact ELBO and optimum are known.
void train_linear(const TrainOptions& options);
/// The deep VAE, or an ensemble of them.
void train_deep(const TrainOptions& options);

}  // namespace elbo
