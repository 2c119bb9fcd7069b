// What Lucas et al. 2019 report, to stand beside our own numbers: Table 2 (MNIST in logit space) and Table 4
// (MNIST pixels). ELBO in the papers' units, nats per data point; means over 5 trials of 1000 epochs.
#pragma once

#include <span>

namespace elbo {

struct PaperRow {
  double sigma2;  ///< fixed, or to start from
  bool learned;
  double final_sigma2;  ///< sigma2 again where it is fixed
  double elbo, elbo_deviation, elbo_tuned, sigma2_tuned, collapse_percent, kl;
};

std::span<const PaperRow> lucas_table_2();
std::span<const PaperRow> lucas_table_4();

}  // namespace elbo
