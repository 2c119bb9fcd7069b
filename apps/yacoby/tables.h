// What Yacoby et al. report in Table 1, to stand beside our own numbers: mean and standard deviation over 5
// data sets, of the setting of each method with the highest test log-likelihood.
#pragma once

#include <span>
#include <string_view>

namespace elbo::yacoby {

struct PaperEntry {
  std::string_view data, method;                    ///< "linear-jtex", "libi"
  double log_likelihood, log_likelihood_deviation;  ///< of test points, nats per data point
  double knn, knn_deviation;                        ///< the smooth k-NN statistic; smaller is better
};

/// Row by row: methods, and in each the data sets.
std::span<const PaperEntry> table1();
/// Throws where the table has no such entry.
const PaperEntry& table1_entry(std::string_view data, std::string_view method);

/// L(theta, phi_GT) and L at the VAE's optimum of LinearJTEx (section 1), nats.
inline constexpr double kLossAtTruth = 0.532, kLossAtOptimum = 0.196;

}  // namespace elbo::yacoby
