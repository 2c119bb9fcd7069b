// The options of `elbo train`, and the two trainings behind it.
#pragma once

#include <vector>

#include "apps/training/calibration.h"
#include "vae/linear_vae.h"

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

/// Declares the options of model, data and training, and a run's; those of training are returned.
std::vector<Argument> add_train_options(Arguments& arguments, TrainOptions& options);
/// Throws for a model that there is not and for options that it does not have; takes its defaults for those
/// that were not given.
void fill_in_defaults(TrainOptions& options, const Arguments& arguments,
                      const std::vector<Argument>& training);
/// The linear VAE that the options say, for data of so many dimensions.
LinearVaeOptions linear_vae_of(const TrainOptions& options, int64_t dimensions);

/// As config.json has them, and back.
Json to_json(const TrainOptions& options);

/// The linear VAE, whose exact ELBO and optimum are known.
void train_linear(const TrainOptions& options);
/// The deep VAE, or an ensemble of them.
void train_deep(const TrainOptions& options);

}  // namespace elbo
