// The options of `elbo train`, and the two trainings behind it.
#pragma once

#include <functional>
#include <vector>

#include "apps/training/calibration.h"
#include "apps/training/rank_all_reduce.h"
#include "vae/linear_vae.h"

namespace elbo {

struct TrainOptions {
  DataOptions data;
  RunOptions run;
  TrainingOptions training;
  CalibrationOptions calibration;       ///< deep only
  std::string gradient = "stochastic";  ///< linear only
  int64_t polish = 0;                   ///< linear only: sweeps after Adam's epochs
  /// Linear only: steps over which a constant rate rises. -1: a tenth of the training, as in earlier
  /// versions.
  int64_t warmup = 32;
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
void restore(TrainOptions& options, const Json& config);

/// The linear VAE, whose exact ELBO and optimum are known.
void train_linear(const TrainOptions& options);

/// At the root of ranks that share a training: what the others have to be told of it.
class RankedTraining {
 public:
  /// With the options as they were given, to every rank.
  RankedTraining(Ranks& ranks, const TrainOptions& given)
      : ranks_(ranks), given_(to_json(given)), threads_(given.run.threads), all_reduce_(ranks) {}
  AllReduce& all_reduce() { return all_reduce_; }
  /// The run is as it is to begin or go on: the others begin.
  void begin(const TrainOptions& options, const RunDirectory& directory);
  /// They have done their part.
  void end() { goes_on_ = false; }
  bool has_begun() const { return has_begun_; }
  bool goes_on() const { return goes_on_; }

 private:
  Ranks& ranks_;
  const Json given_;
  const int threads_;  // of each rank; 0: as many as it has cores
  RankAllReduce all_reduce_;
  bool has_begun_ = false, goes_on_ = false;
};

/// The deep VAE, or an ensemble of them; `ranks`, where others share the training.
void train_deep(const TrainOptions& options, RankedTraining* ranks = nullptr);
/// At another than the root: takes part in the training of the run that was unpacked in options.resume.
void take_part_in_deep(TrainOptions options, AllReduce& all_reduce);

/// Under mpirun: at the root what `train` is without, of the options that `prepare` makes of these; the
/// others share its training.
void train_at_ranks(TrainOptions options, const std::function<TrainOptions(TrainOptions)>& prepare);

}  // namespace elbo
