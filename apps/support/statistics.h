// What several runs have in common: the mean and the median of a number over them, and how far they are
// apart.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace elbo {

/// A 95 % interval: its middle and half its width, which is NaN where nothing is known of it.
struct Interval {
  double middle = 0, half = 0;
};

struct Statistics {
  int64_t count = 0;                                          ///< of the values that are finite
  double mean = 0, deviation = 0, standard_error = 0;         ///< of those; the deviation with count - 1
  double median = 0, lower_quartile = 0, upper_quartile = 0;  ///< linear between two values
  /// Of the mean, by Student's t.
  Interval interval() const;
};

/// NaN stands where there are too few values: none, or fewer than two for the deviation, the standard error
/// and intervals.
Statistics statistics_of(const std::vector<double>& values);

/// Half the width of the 95 % interval of a mean over `count` values, by Student's t; NaN for fewer than two.
double half_interval(double deviation, int64_t count);

/// The error of a mean: its variance, and the degrees of freedom with which that is known.
struct MeanError {
  double variance = 0, degrees = std::numeric_limits<double>::infinity();
};
MeanError error_of_mean(double deviation, int64_t count);
/// Welch's and Satterthwaite's degrees of freedom of the sum of both variances and of one that is exact.
double joint_degrees(const MeanError& a, const MeanError& b, double exact = 0);

/// Of a's mean minus b's, the values being independent: Welch's.
Interval difference_of(const Statistics& a, const Statistics& b);

/// "8.2 ± 0.4", the mean and half its 95 % interval, each by the format, such as "{:.1f}"; the mean alone
/// where there is no interval, and "-" where there is no mean.
std::string with_interval(const Statistics& statistics, const char* format);
/// "-14.203 ± 0.052"; the value alone where the error is not finite.
std::string with_error(double value, double error, int digits = 3);

}  // namespace elbo
