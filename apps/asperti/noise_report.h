// What is said and drawn of units under noise: Fig 7 for one of them and for all, and how many behave as the
// paper says.
#pragma once

#include "apps/asperti/noise_course.h"
#include "apps/experiment/experiment.h"

namespace elbo::asperti {

/// One unit's record, an entry for each epoch from 0 on.
struct NoiseRun {
  int64_t seed = 0, unit = 0;
  std::vector<double> epoch, gain, kl, variance, sigma2, deviation, loss, loss_kl;
  NoiseCourse course{{}};
};

struct NoiseFindings {
  std::vector<NoiseRun> runs;
  std::string unlike;  ///< why they say nothing of the paper's network; empty: they do
  int64_t epochs = 0;
};

/// A member's numbers of a look.
NoisyUnit noisy_unit_from(const Json& look, size_t member);
/// Adds the runs of a model, {"units": [...], "looks": [...]}.
void add_runs(NoiseFindings& found, int64_t seed, const Json& json, const NoiseRule& rule);

void present_noise(const NoiseFindings& found, Presentation& presentation);

}  // namespace elbo::asperti
