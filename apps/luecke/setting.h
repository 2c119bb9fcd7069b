// What the experiments of Lücke et al. share: their settings, and the units that train on their data.
//
// The paper leaves open what is not in its text: epochs, latent dimension and pixels of MNIST, sigma where it
// is fixed, Adam. What is chosen here for these stands in the defaults below.
#pragma once

#include "apps/experiment/experiment.h"
#include "apps/luecke/recording.h"
#include "apps/support/figure.h"
#include "datasets/toys.h"

namespace elbo::luecke {

/// The options of every experiment that trains these models.
struct TrainedOptions : ExperimentOptions {
  int64_t points = 10000, samples = 100, batch = 2000;
  double rate = 1e-3;
  template <class F>
  void each_common(F f) {
    f("points", points);
    f("samples", samples);
    f("batch", batch);
    f("lr", rate);
  }
  RecordedTraining training(int64_t epochs) const {
    return {.epochs = epochs, .batch = batch, .samples = samples, .rate = rate, .seed = run.seed};
  }
};
/// What --quick makes of them, and of the images where the experiment has data.
void quicken_common(TrainedOptions& options, const Arguments& arguments);
/// --points; and --batch, --samples, --lr.
void add_points_option(Arguments& arguments, TrainedOptions& options);
void add_step_options(Arguments& arguments, TrainedOptions& options);

/// Of those with a linear VAE, VAE-1 on images and VAE-3 on rings.
struct ThreeModelOptions : TrainedOptions {
  int64_t linear_epochs = 2000, image_epochs = 500, ring_epochs = 1000;
  ThreeModelOptions() { data.subset = 0; }
  template <class F>
  void each_common(F f) {
    TrainedOptions::each_common(f);
    f("linear_epochs", linear_epochs);
    f("image_epochs", image_epochs);
    f("ring_epochs", ring_epochs);
  }
};
void quicken_common(ThreeModelOptions& options, const Arguments& arguments);
void add_step_options(Arguments& arguments, ThreeModelOptions& options);

/// Data sets drawn anew for each run, and an ensemble that has one for each member.
struct ToyRuns {
  const char* key;    ///< of the units, "ring"
  const char* title;  ///< of them
  LueckeModel model;
  MakeToy toys;
  int64_t runs = 10, points = 10000;  ///< points for training, and as many for testing
  RecordedTraining training{};
  std::optional<double> fixed_sigma{};
  int64_t looks = 0;  ///< times that likelihoods are taken during the training
};

/// So many runs are a unit, and train together.
inline constexpr int64_t kRunsOfUnit = 10;

/// Their units, keys "ring-0", "ring-10", ..., or "linear" where there is one. Where there are looks, each is
/// {"epoch", "log_likelihood", "held_out"}: of run 0, whose decoder is linear, exact ln p(x) of training
/// and test data, nats per data point.
std::vector<Unit> units_of(const ToyRuns& runs, const RunOptions& options);
/// What those of them that are done recorded, one run after the other, but for runs that broke.
Recorded recorded(const ToyRuns& runs, const Outcomes& outcomes);
/// ELBO minus entropies of the models that those runs ended with, on all their training data with one draw of
/// z for each point: one state of each, where a recording has means over the states of an epoch. Percent of
/// that ELBO. Takes about a third of a second for each.
std::vector<double> gaps_at_end(const ToyRuns& runs, const Outcomes& outcomes, const RunDirectory& directory);
/// What a run's data say: ln p(x) of the truth, nats per data point, on training and test data.
struct Truth {
  double train = 0, test = 0;
};
Truth truth_of(const ToyRuns& runs, int64_t run);
/// The gap that stays where sigma is fixed, at the linear VAE's optimum on a run's training data, nats per
/// data point.
double gap_of_fixed_sigma(const ToyRuns& runs, int64_t run);
/// Those exact likelihoods of member 0, whose decoder is linear, on data with these moments.
Json likelihoods_of(const Vae& vae, int64_t epoch, const DataMoments& train, const DataMoments& test);
/// Their curves over the epochs.
std::vector<Series> likelihood_curves(const Recorded& run);

/// Bound and entropies of a member over its epochs, the axis cut to where they end.
Figure bound_figure(const std::string& title, const Recorded& run, size_t member);
/// A line across it at what the data's own distribution gives, in sight.
void add_truth(Figure& figure, double truth);
/// Median and quartiles over the runs of the relative error, percent, on a log axis.
Figure error_figure(const std::string& title, const Recorded& runs);

/// Why errors say nothing of the paper's; empty where points, batches, draws and rate are as published.
std::string unlike_paper(const TrainedOptions& options);
/// The claim, judged by a rule that its note tells ("rule: it is below 0.5 %"), where nothing is unlike the
/// paper's; else not judged, and its note says what is.
Claim judged(const std::string& unlike, const std::string& rule, bool holds, Claim claim);

}  // namespace elbo::luecke
