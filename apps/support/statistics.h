// What several runs have in common: the mean and the median of a number over them, and how far they are
// apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elbo {

struct Statistics {
  int64_t count = 0;                                          ///< of the values that are finite
  double mean = 0, deviation = 0, standard_error = 0;         ///< of those; the deviation with count - 1
  double median = 0, lower_quartile = 0, upper_quartile = 0;  ///< linear between two values
};

/// NaN stands where there are too few values: none, or for the deviation and the standard error fewer than
/// two.
Statistics statistics_of(const std::vector<double>& values);

/// "8.2 ± 0.4", the mean and two standard errors, each by the format, such as "{:.1f}"; the mean alone where
/// there is no error, and "-" where there is no mean.
std::string with_interval(const Statistics& statistics, const char* format);
/// "-14.203 ± 0.052"; the value alone where the error is not finite.
std::string with_error(double value, double error, int digits = 3);

}  // namespace elbo
