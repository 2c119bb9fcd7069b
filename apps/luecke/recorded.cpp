#include "apps/luecke/recorded.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/support/statistics.h"
#include "tensor/error.h"

namespace elbo {
namespace {

Json rows_of(const std::vector<std::vector<double>>& rows) {
  Json list = Json::array();
  for (const auto& row : rows) list.push_back(finite_or_null(row));
  return list;
}

size_t tail_of(const Recorded& runs) { return static_cast<size_t>(std::max<int64_t>(runs.epochs() / 20, 1)); }

}  // namespace

Json to_json(const Recorded& record) {
  return {
      {"bound", rows_of(record.bound)}, {"entropies", rows_of(record.entropies)}, {"looks", record.looks}};
}

Recorded recorded_from(const Json& json) {
  Recorded record;
  for (const Json& row : json.at("bound")) record.bound.push_back(numbers_or_nan(row));
  for (const Json& row : json.at("entropies")) record.entropies.push_back(numbers_or_nan(row));
  for (const Json& found : json.at("looks")) record.looks.push_back(found);
  const size_t epochs = record.bound.empty() ? 0 : record.bound[0].size();
  const auto is_whole = [&](const std::vector<double>& row) { return row.size() == epochs; };
  if (epochs == 0 || record.bound.size() != record.entropies.size() ||
      !std::ranges::all_of(record.bound, is_whole) || !std::ranges::all_of(record.entropies, is_whole))
    fail("[experiment] a recorded training lacks bounds or entropies; was its unit.json edited by hand?");
  return record;
}

void append(Recorded& to, const Recorded& more) {
  to.bound.insert(to.bound.end(), more.bound.begin(), more.bound.end());
  to.entropies.insert(to.entropies.end(), more.entropies.begin(), more.entropies.end());
}

Recorded without_broken(const Recorded& runs) {
  Recorded whole;
  whole.first_run = -1;
  whole.broken = runs.broken;
  for (size_t m = 0; m < runs.bound.size(); ++m) {
    if (!std::isfinite(runs.bound[m].back()) || !std::isfinite(runs.entropies[m].back())) {
      ++whole.broken;
      continue;
    }
    if (whole.first_run < 0) whole.first_run = runs.first_run + static_cast<int64_t>(m);
    whole.bound.push_back(runs.bound[m]);
    whole.entropies.push_back(runs.entropies[m]);
  }
  if (whole.first_run == runs.first_run) whole.looks = runs.looks;
  return whole;
}

std::string count_text(const Recorded& runs) {
  const size_t count = runs.bound.size();
  return fmt::format("{} run{}{}", count, count == 1 ? "" : "s",
                     runs.broken > 0 ? fmt::format("; {} more broke", runs.broken) : "");
}

std::vector<double> relative_error(const Recorded& run, size_t member, bool is_signed) {
  std::vector<double> errors;
  const double final_bound = std::abs(run.bound[member].back());
  for (size_t i = 0; i < run.bound[member].size(); ++i) {
    const double deviation = (run.bound[member][i] - run.entropies[member][i]) / final_bound * 100;
    errors.push_back(is_signed ? deviation : std::abs(deviation));
  }
  return errors;
}

std::vector<double> epochs_of(const Recorded& run) {
  std::vector<double> epochs;
  for (int64_t epoch = 1; epoch <= run.epochs(); ++epoch) epochs.push_back(static_cast<double>(epoch));
  return epochs;
}

std::vector<double> moving_average(const std::vector<double>& values, size_t over) {
  std::vector<double> means;
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    if (i >= over) sum -= values[i - over];
    means.push_back(sum / static_cast<double>(std::min(i + 1, over)));
  }
  return means;
}

double final_error_of(const Recorded& runs, size_t member) {
  const std::vector<double> errors = relative_error(runs, member);
  return statistics_of({errors.end() - static_cast<std::ptrdiff_t>(tail_of(runs)), errors.end()}).mean;
}

double final_error(const Recorded& runs) {
  std::vector<std::vector<double>> errors;
  for (size_t m = 0; m < runs.bound.size(); ++m) errors.push_back(relative_error(runs, m));
  std::vector<double> medians;
  const auto end = static_cast<size_t>(runs.epochs());
  for (size_t i = end - tail_of(runs); i < end; ++i) {
    std::vector<double> at;
    for (const std::vector<double>& run : errors) at.push_back(run[i]);
    medians.push_back(statistics_of(at).median);
  }
  return statistics_of(medians).mean;
}

Ending ending_of(const Recorded& runs, int64_t epochs) {
  Ending ending;
  double count = 0;
  for (size_t m = 0; m < runs.bound.size(); ++m) {
    const std::vector<double> errors = relative_error(runs, m, true);
    for (size_t i = errors.size() - std::min(errors.size(), static_cast<size_t>(epochs)); i < errors.size();
         ++i) {
      ending.error += std::abs(errors[i]);
      ending.deviation += errors[i];
      ending.above += errors[i] > 0 ? 100 : 0;
      ++count;
    }
  }
  for (double* sum : {&ending.error, &ending.deviation, &ending.above}) *sum /= count;
  return ending;
}

EarlyAgreement early_agreement(const Recorded& runs) {
  constexpr size_t kEpochs = 20;
  std::vector<double> epochs, below;
  for (size_t m = 0; m < runs.bound.size(); ++m) {
    const std::vector<double> errors = moving_average(relative_error(runs, m), kEpochs);
    for (size_t i = kEpochs - 1; i < errors.size(); ++i) {
      if (!(errors[i] < 0.5)) continue;
      epochs.push_back(static_cast<double>(i + 1));
      below.push_back(runs.bound[m].back() - runs.bound[m][i]);
      break;
    }
  }
  if (epochs.empty()) return {std::nan(""), std::nan(""), 0};
  return {statistics_of(epochs).median, statistics_of(below).median, epochs.size()};
}

Tracking tracking_of(const std::vector<double>& steps, double change, const std::vector<double>& of_variances,
                     const std::vector<double>& exact) {
  std::vector<double> before, after;
  double until_near = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double off = of_variances[i] - exact[i];
    if (steps[i] > 0.9 * change && steps[i] <= change) before.push_back(off);
    if (steps[i] > 1.9 * change) after.push_back(off);
    if (steps[i] > change && !(std::abs(off) < kNear))
      until_near = i + 1 < steps.size() ? steps[i] - change : std::numeric_limits<double>::infinity();
  }
  return {statistics_of(before).mean, statistics_of(after).mean, until_near};
}

double median_of_all(std::vector<double> values) {
  std::ranges::sort(values);
  return 0.5 * (values.at((values.size() - 1) / 2) + values.at(values.size() / 2));
}

}  // namespace elbo
