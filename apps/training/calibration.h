// --choose-sigma2 law and --grow-latent: what is chosen before a deep VAE is trained, from short trainings
// (calibration_point.h says by what). First sigma^2, from an ensemble over its values at the k that was
// given; then k, doubled from there on, at that sigma^2.
//
// The trainings are runs of their own in calibration/, each with metrics.csv, checkpoints while it goes on,
// and, once it is over, points.json: a decision that was made is read and not made again. The same options as
// the training's hold for them but for the number of epochs; validation, which decides nothing here, is not
// looked at.
#pragma once

#include <optional>

#include "apps/training/calibration_point.h"
#include "apps/training/deep_run.h"

namespace elbo {

struct CalibrationOptions {
  std::string choose_sigma2 = "none";  ///< or "law"
  bool grow_latent = false;
  int64_t scan_epochs = 10;
  double law_tolerance = 0.1;

  bool by_law() const { return choose_sigma2 == "law"; }
  bool asked() const { return by_law() || grow_latent; }
  bool operator==(const CalibrationOptions&) const = default;
};

void add_calibration_options(Arguments& arguments, CalibrationOptions& options);
/// Throws for what cannot be chosen, or not together with these options; holds sigma^2 fixed where it is
/// chosen, and leaves its values empty where none were given.
void set_calibrated(TrainingOptions& training, const CalibrationOptions& options, const Arguments& arguments);
/// The values of sigma^2 to choose from, where none were given: eight, each twice the one before, from a
/// quarter of the data's variance per dimension on.
void fill_in_values(TrainingOptions& training, const CalibrationOptions& options, const LoadedData& data);

/// As config.json has them, where anything was asked for; and back.
void add_to_config(Json& config, const CalibrationOptions& options);
void restore(CalibrationOptions& options, const Json& config);

struct Calibration {
  std::vector<CalibrationPoint> over_sigma2, over_latent;  ///< empty where it was not asked for
  LawChoice by_law{};
  bool sparse = true;  ///< false: k reached the data's dimension with every unit in use
  double sigma2 = 0;   ///< chosen; 0: was not
  int64_t latent = 0;  ///< likewise
};
Json to_json(const Calibration& calibration);

/// Nothing where the run was interrupted. `how.resume` and `how.folder` are as for run_deep.
std::optional<Calibration> calibrate(const CalibrationOptions& options, const TrainingOptions& training,
                                     const LoadedData& data, const RunDirectory& run,
                                     const DeepRunOptions& how);
/// The training with what was chosen.
TrainingOptions calibrated(TrainingOptions training, const Calibration& calibration);

}  // namespace elbo
