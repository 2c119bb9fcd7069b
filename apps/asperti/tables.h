// What Asperti 2019 reports, to stand beside our own numbers: Table 1, and the layers of Fig 4.
#pragma once

#include <cstdint>
#include <span>

namespace elbo::asperti {

/// A unit of Table 1 (dense, 784-256-64-32-16, MNIST), over the full data set.
struct PaperUnit {
  int unit;
  double variance;       ///< of mu(x) over x
  double mean_variance;  ///< mean over x of sigma^2(x)
};
/// The sixteen, in the paper's order.
std::span<const PaperUnit> paper_units();
/// Units that the paper marks as inactive: all whose variance is below a half.
inline constexpr int kPaperInactive = 8;
/// The least KL that a unit of Table 1 can have had, nats: 1/2 (v + s - 1 - ln s), as the mean of ln sigma^2
/// is at most the logarithm of the mean.
double least_kl(const PaperUnit& unit);

/// A layer of Fig 4, the convolutional encoder; the last two are the heads.
struct PaperLayer {
  const char* type;
  int64_t side, channels;  ///< of its output
  int64_t parameters;
};
std::span<const PaperLayer> paper_layers();
/// Of its 16 units, as section 3.1 says.
inline constexpr int kPaperInactiveConv = 3;

}  // namespace elbo::asperti
