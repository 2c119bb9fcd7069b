// best: which of several numbers is the largest, where some may be no numbers.
#pragma once

#include <cmath>

namespace elbo {

/// Whether `value` takes the place of `best`: a larger number does, and any number does of NaN, which itself
/// never does. Start with NaN for "none yet".
inline bool beats(double value, double best) {
  return value > best || (std::isnan(best) && !std::isnan(value));
}

}  // namespace elbo
