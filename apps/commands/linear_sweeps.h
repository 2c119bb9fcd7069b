// The last phase of `train --model linear`: sweeps of closed-form steps after Adam, recorded and resumable.
#pragma once

#include <functional>
#include <vector>

#include "apps/support/gnuplot.h"
#include "apps/support/run_directory.h"
#include "vae/linear_vae.h"

namespace elbo {

inline constexpr double kSecondsBetweenCheckpoints = 30;  ///< of a linear run

/// After each sweep, and before the first (sweep 0): the rows of polish.csv.
struct Sweeps {
  std::vector<double> sweep, elbo, median_cosine, worst_cosine, angle;
  int64_t done() const { return sweep.empty() ? 0 : static_cast<int64_t>(sweep.back()); }
};

struct SweepOptions {
  int64_t sweeps = 0, begun = 0;  ///< how many in all; how many the checkpoint that was resumed from has seen
  bool learn_sigma2 = true, quiet = false;
  std::function<void(int64_t)> checkpoint;  ///< saves the parameters and this number of sweeps
};

/// Polishes the model's parameters (vae/linear_polish.h), which are rounded to their own type after each
/// sweep: what a checkpoint holds is then all there is to go on from. Stops early when interrupted. `eigen`
/// is the data's.
Sweeps polish_in_run(LinearVae& vae, const DataMoments& moments, const Eigen& eigen, RunDirectory& run,
                     const SweepOptions& options);

/// Cosines over the sweeps.
Drawing draw_sweeps(const Sweeps& sweeps, const std::string& directory);

}  // namespace elbo
