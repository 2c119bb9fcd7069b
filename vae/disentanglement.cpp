#include "vae/disentanglement.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace elbo {
namespace {

/// Which class each point is in, classes counted from 0.
struct Classes {
  std::vector<int64_t> of;
  int64_t count = 0;
};

/// Column of (N, C) as numbers.
std::vector<double> column(const std::vector<double>& values, int64_t columns, int64_t which) {
  std::vector<double> own;
  for (size_t i = static_cast<size_t>(which); i < values.size(); i += static_cast<size_t>(columns))
    own.push_back(values[i]);
  return own;
}

/// The factor's values numbered in their order.
Classes classes_of_values(const std::vector<int64_t>& values) {
  std::vector<int64_t> seen = values;
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  Classes classes{.of = {}, .count = static_cast<int64_t>(seen.size())};
  for (int64_t value : values)
    classes.of.push_back(std::lower_bound(seen.begin(), seen.end(), value) - seen.begin());
  return classes;
}

Classes bins_of(const std::vector<double>& code, int bins) {
  const auto [low, high] = std::minmax_element(code.begin(), code.end());
  const double least = *low, width = (*high - *low) / bins;
  Classes classes{.of = {}, .count = bins};
  for (double value : code) {
    // The largest value belongs to the last bin; a code that is constant fills the first.
    const double bin = width > 0 ? std::floor((value - least) / width) : 0;
    classes.of.push_back(std::min<int64_t>(static_cast<int64_t>(bin), bins - 1));
  }
  return classes;
}

/// The entropy of counts, nats.
double entropy(const std::vector<int64_t>& counts, double points) {
  double total = 0;
  for (int64_t count : counts)
    if (count > 0)
      total -= static_cast<double>(count) / points * std::log(static_cast<double>(count) / points);
  return total;
}

double entropy(const Classes& classes) {
  std::vector<int64_t> counts(static_cast<size_t>(classes.count));
  for (int64_t c : classes.of) ++counts[static_cast<size_t>(c)];
  return entropy(counts, static_cast<double>(classes.of.size()));
}

double joint_entropy(const Classes& a, const Classes& b) {
  std::vector<int64_t> counts(static_cast<size_t>(a.count * b.count));
  for (size_t i = 0; i < a.of.size(); ++i) ++counts[static_cast<size_t>(a.of[i] * b.count + b.of[i])];
  return entropy(counts, static_cast<double>(a.of.size()));
}

int64_t largest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

}  // namespace

int64_t Disentanglement::best_unit(int64_t factor) const {
  return largest(information.slice(factor).to_vector());
}

int64_t Disentanglement::best_factor(int64_t unit) const {
  return largest(column(information.to_vector(), information.size(1), unit));
}

Disentanglement disentanglement(const Tensor& codes, const Tensor& factors, int bins) {
  if (codes.rank() != 2 || factors.rank() != 2 || codes.size(0) != factors.size(0) || codes.elements() == 0 ||
      factors.elements() == 0)
    fail("[disentanglement] codes {} and factors {} must be (N, k) and (N, F) of the same N, none of them 0",
         codes.shape().str(), factors.shape().str());
  if (factors.dtype() != DType::i64)
    fail("[disentanglement] factors must be i64, got {}", name(factors.dtype()));
  if (bins < 1) fail("[disentanglement] at least one bin is needed, got {}", bins);
  const std::vector<double> values = codes.to_vector();
  if (!std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
    fail("[disentanglement] a code is not finite; is this model whole?");
  const int64_t units = codes.size(1), count = factors.size(1), points = codes.size(0);
  std::vector<Classes> binned;
  for (int64_t u = 0; u < units; ++u) binned.push_back(bins_of(column(values, units, u), bins));

  Disentanglement found;
  std::vector<double> information;
  const auto all = factors.span<int64_t>();
  double total = 0;
  int64_t varying = 0;
  for (int64_t f = 0; f < count; ++f) {
    std::vector<int64_t> own;
    for (int64_t i = 0; i < points; ++i) own.push_back(all[static_cast<size_t>(i * count + f)]);
    const Classes factor = classes_of_values(own);
    const double h = entropy(factor);
    std::vector<double> told;
    for (const Classes& code : binned)
      told.push_back(std::max(0.0, h + entropy(code) - joint_entropy(factor, code)));
    information.insert(information.end(), told.begin(), told.end());
    found.entropy.push_back(h);
    std::sort(told.rbegin(), told.rend());
    const double second = units > 1 ? told[1] : 0;
    found.gap_per_factor.push_back(factor.count > 1 ? (told[0] - second) / h : std::nan(""));
    if (factor.count > 1) {
      total += found.gap_per_factor.back();
      ++varying;
    }
  }
  found.gap = varying > 0 ? total / static_cast<double>(varying) : std::nan("");
  found.information = Tensor::from<double>({count, units}, information);
  return found;
}

}  // namespace elbo
