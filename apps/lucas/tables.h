// What Lucas et al. 2019 report, to stand beside our own numbers: Tables 2 to 5, and which of their figures
// ours are. ELBO in the papers' units, nats per data point; means over 5 trials.
#pragma once

#include <span>

#include "datasets/preprocessing.h"

namespace elbo {

struct PaperRow {
  double sigma2;  ///< fixed, or to start from
  bool learned;
  double final_sigma2;  ///< sigma2 again where it is fixed
  double elbo, elbo_deviation, elbo_tuned, sigma2_tuned, collapse_percent, kl;
  double elbo_tuned_deviation, kl_deviation;
};

struct PaperTable {
  int number;
  const char* models;  ///< what was trained: "784-1024-512-200, 60 000 images, ..."
  std::span<const PaperRow> rows;
};
/// Tables 2 (MNIST) and 3 (CelebA), in logit space, and 4 (MNIST) and 5 (CelebA), of dequantised pixels.
std::span<const PaperTable> lucas_tables();

/// The table of such data, or null. CelebA is what `images` finds in a folder named after it, at 64x64. In
/// logit space alpha must be theirs.
const PaperTable* lucas_table_for(const Dataset& data, const Preprocessing& preprocessing);

/// Whether these are the data of their Figs 1 to 3: 1000 images of MNIST, pixels scaled to 0..1.
bool is_lucas_subset(const Dataset& data, const Preprocessing& preprocessing);

/// Their figures of collapse over epsilon for sigma^2 fixed, learned, and both annealed, and of
/// reconstructions.
struct PaperFigures {
  const char *fixed, *learned, *annealed_fixed, *annealed_learned, *reconstructions;
};
PaperFigures lucas_figures_for(const Dataset& data);

/// Whether a row's two sigma^2 cannot have made its two ELBOs, by the rule of `elbo proofread`
/// (apps/ledger/proofread.h). Fixed 0.003 and 0.001 of MNIST, 30, 0.03, 0.003 and 0.001 of CelebA cannot be
/// reproduced; of dequantised MNIST those down to 0.01, whose tuning was not at its end, but for what was
/// tuned.
bool contradicts_itself(const PaperRow& row, double dimensions);

}  // namespace elbo
