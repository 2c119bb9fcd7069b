// --method: how a deep VAE is trained. As phases of a Training (vae/training.h) it is one of
//
//   vae       the objective, in one phase
//   libi      likelihood before inference (vae/libi.h)
//   lagging   lagging inference networks (vae/lagging.h), He et al.'s own or in segments
//
// Epochs are divided over phases, each of whole epochs. Knows no run directories.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/training/training_options.h"
#include "datasets/batch_loader.h"
#include "vae/lagging.h"
#include "vae/libi.h"

namespace elbo {

/// Repetitions are compared, and mutual information is taken, on so many points at most: the first of the
/// validation split where it is watched (--validate-every), else of those that are trained on.
inline constexpr int64_t kPointsOfMethod = 1000;

/// --method and the options of each.
void add_method_options(Arguments& arguments, TrainingOptions& options);
/// Throws for options that were given and are another method's.
void check_method_options(const TrainingOptions& options, const Arguments& arguments);
/// Throws for what a method cannot do: objectives that change over time, too few epochs, batches that are too
/// small; warns where the batch is small for LiBI's statistics, which are of the batch.
void check_method(const TrainingOptions& options, const std::vector<Member>& members, const LoadedData& data,
                  const LoadedData* validation);
/// Of one phase whose length need not be known beforehand: such a run can be given more epochs.
bool has_one_phase(const TrainingOptions& options);

/// The learning rate's schedule over so many steps, as a factor.
Schedule schedule_of(const TrainingOptions& options, int64_t steps);
/// The phases of a training of `steps` steps; the data and the model must outlive them.
struct MethodData {
  const LoadedData& training;
  const LoadedData* validation;  ///< or null
  BatchLoader::Options batches;
};
std::vector<Phase> phases_of(const TrainingOptions& options, const std::vector<Member>& members, DeepVae& vae,
                             const MethodData& data, int64_t steps);
/// The names of all that the phases' losses measure.
std::vector<std::string> probes_of(const std::vector<Phase>& phases);

/// What metrics.csv calls the phase that a member is in: "generative 1", "joint 3", "aggressive".
std::string phase_of(const Training& training, int64_t member);

/// What a method decided, for each member.
struct MethodOutcome {
  std::optional<LibiOutcome> libi;  ///< of several repetitions
  std::optional<LaggingOutcome> lagging;
};
MethodOutcome outcome_of(const TrainingOptions& options, const Training& training);

}  // namespace elbo
