#include "apps/support/statistics.h"

#include <cmath>

namespace elbo {

Statistics statistics_of(const std::vector<double>& values) {
  Statistics s;
  for (const double value : values) s.count += std::isfinite(value);
  const auto n = static_cast<double>(s.count);
  double squares = 0;
  for (const double value : values)
    if (std::isfinite(value)) s.mean += value / n;
  for (const double value : values)
    if (std::isfinite(value)) squares += (value - s.mean) * (value - s.mean);
  if (s.count == 0) s.mean = std::nan("");
  s.deviation = s.count > 1 ? std::sqrt(squares / (n - 1)) : std::nan("");
  s.standard_error = s.deviation / std::sqrt(n);
  return s;
}

}  // namespace elbo
