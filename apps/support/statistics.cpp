#include "apps/support/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/support/student_t.h"

namespace elbo {
namespace {

double quantile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return std::nan("");
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], at - static_cast<double>(below));
}

}  // namespace

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
  std::vector<double> sorted;
  for (const double value : values)
    if (std::isfinite(value)) sorted.push_back(value);
  std::sort(sorted.begin(), sorted.end());
  s.median = quantile(sorted, 0.5);
  s.lower_quartile = quantile(sorted, 0.25);
  s.upper_quartile = quantile(sorted, 0.75);
  return s;
}

Interval Statistics::interval() const { return {mean, half_interval(deviation, count)}; }

double half_interval(double deviation, int64_t count) {
  if (count < 2) return std::nan("");
  const auto n = static_cast<double>(count);
  return student_t_quantile(0.975, n - 1) * deviation / std::sqrt(n);
}

MeanError error_of_mean(double deviation, int64_t count) {
  return {deviation * deviation / static_cast<double>(count), static_cast<double>(count - 1)};
}

double joint_degrees(const MeanError& a, const MeanError& b, double exact) {
  const double all = a.variance + b.variance + exact;
  const double parts = a.variance * a.variance / a.degrees + b.variance * b.variance / b.degrees;
  return parts > 0 ? all * all / parts : std::numeric_limits<double>::infinity();
}

Interval difference_of(const Statistics& a, const Statistics& b) {
  const double difference = a.mean - b.mean;
  if (a.count < 2 || b.count < 2) return {difference, std::nan("")};
  const MeanError of_a = error_of_mean(a.deviation, a.count), of_b = error_of_mean(b.deviation, b.count);
  return {difference,
          student_t_quantile(0.975, joint_degrees(of_a, of_b)) * std::sqrt(of_a.variance + of_b.variance)};
}

std::string with_interval(const Statistics& s, const char* format) {
  if (!std::isfinite(s.mean)) return "-";
  const std::string mean = fmt::format(fmt::runtime(format), s.mean);
  const double half = s.interval().half;
  if (!(half > 0)) return mean;
  return fmt::format("{} ± {}", mean, fmt::format(fmt::runtime(format), half));
}

std::string with_error(double value, double error, int digits) {
  return std::isfinite(error) ? fmt::format("{:.{}f} ± {:.{}f}", value, digits, error, digits)
                              : fmt::format("{:.{}f}", value, digits);
}

}  // namespace elbo
