#include "apps/commands/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/support/best.h"

namespace elbo {
namespace {

/// Metrics of which more is better, and less; of the others neither is.
const std::set<std::string> kHigher{"elbo",
                                    "elbo_paper_units",
                                    "elbo_tuned",
                                    "log_likelihood",
                                    "expected_log_likelihood",
                                    "importance_weighted_bound",
                                    "mig"},
    kLower{"mse"};

/// Options that change no numbers, and the seed.
const std::set<std::string> kBesideTheSeed{"seed", "threads", "device", "checkpoint_seconds", "json", "out"};

/// Names that any of the runs has, each where it stands first.
template <class Lists, class Names>
std::vector<std::string> all_names(const Lists& runs, const Names& names_of) {
  std::vector<std::string> names;
  for (const auto& run : runs)
    for (const auto& [name, value] : names_of(run))
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  return names;
}

std::string value_of(const std::vector<std::pair<std::string, std::string>>& list, const std::string& name) {
  for (const auto& [key, value] : list)
    if (key == name) return value;
  return "-";
}

/// "a: mnist, b: digits".
std::string by_run(const std::vector<ComparedRun>& runs, const std::vector<std::string>& values) {
  std::string text;
  for (size_t r = 0; r < runs.size(); ++r)
    text += fmt::format("{}{}: {}", r > 0 ? ", " : "", runs[r].label, values[r]);
  return text;
}

bool all_equal(const std::vector<std::string>& values) {
  return std::all_of(values.begin(), values.end(), [&](const std::string& v) { return v == values[0]; });
}

/// Adds a note where the runs differ in what `value` says of them, and says whether they do.
template <class Value>
bool differ(Comparison& c, const std::string& what, const std::string& consequence, const Value& value) {
  std::vector<std::string> values;
  for (const ComparedRun& run : c.runs) values.push_back(value(run));
  if (all_equal(values)) return false;
  c.notes.push_back(fmt::format("{} ({}): {}", what, by_run(c.runs, values), consequence));
  return true;
}

/// Which densities the ELBO is of: those of a linear VAE are Gaussian.
std::string likelihood_of(const ComparedRun& run) {
  const std::string said = run.option("likelihood");
  return said == "-" || said == "diagonal" ? "gaussian" : said;
}

/// Notes what the runs do not share, and says whether their ELBOs measure the same.
bool note_differences(Comparison& c) {
  differ(c, "commands differ", "only metrics of the same name are compared",
         [](const ComparedRun& run) { return run.command; });
  bool same = true;
  const char* const other = "ELBOs, likelihoods and errors are of different points, so none is marked best";
  const std::string units = "ELBOs and errors are of different numbers, so none is marked best";
  for (const std::string& name : all_names(c.runs, [](const ComparedRun& run) { return run.data; })) {
    const auto value = [&](const ComparedRun& run) {
      const std::string said = value_of(run.data, name);
      return name == "split" && said == "-" ? "train" : said;  // runs of earlier versions do not say
    };
    if (name == "fingerprint" || name == "split")
      same &= !differ(c, "data differ in their " + name, other, value);
    else if (name == "preprocessing")
      same &= !differ(c, "preprocessing differs", units, value);
  }
  same &= !differ(c, "likelihoods differ", "a density's ELBO is not a probability's, so none is marked best",
                  likelihood_of);
  return same;
}

void compare_metrics(Comparison& c, bool comparable) {
  std::vector<std::vector<std::string>> alone(c.runs.size());
  for (const std::string& name : all_names(c.runs, [](const ComparedRun& run) { return run.metrics; })) {
    MetricRow row{.name = name};
    std::set<std::string> units;
    size_t owners = 0, owner = 0;
    for (size_t r = 0; r < c.runs.size(); ++r) {
      const double* value = c.runs[r].metric(name);
      row.values.push_back(value ? *value : std::nan(""));
      if (!value) continue;
      ++owners;
      owner = r;
      const auto unit = c.runs[r].units.find(name);
      units.insert(unit == c.runs[r].units.end() ? "" : unit->second);
    }
    if (owners == 1) {
      const std::string whole = name.substr(0, name.find('['));  // of a list
      if (alone[owner].empty() || alone[owner].back() != whole) alone[owner].push_back(whole);
      continue;
    }
    if (std::ranges::all_of(row.values, [](double value) { return std::isnan(value); })) continue;
    const bool same_unit = units.size() == 1;
    if (same_unit) row.unit = *units.begin();
    if (!same_unit)
      c.notes.push_back(fmt::format("{} has other units in other runs: {}", name, fmt::join(units, "; ")));
    const std::string kind = name.substr(name.rfind('.') == std::string::npos ? 0 : name.rfind('.') + 1);
    const double sign = kHigher.contains(kind) ? 1 : kLower.contains(kind) ? -1 : 0;
    double best = std::nan("");
    for (size_t r = 0; comparable && same_unit && sign != 0 && r < row.values.size(); ++r)
      if (beats(sign * row.values[r], best)) {
        best = sign * row.values[r];
        row.best = static_cast<int>(r);
      }
    c.metrics.push_back(std::move(row));
  }
  for (size_t r = 0; r < c.runs.size(); ++r)
    if (!alone[r].empty())
      c.notes.push_back(fmt::format("only {} has {}", c.runs[r].label, fmt::join(alone[r], ", ")));
}

/// What runs that differ in the seed alone have in common.
std::string all_but_seed(const ComparedRun& run) {
  std::string text = run.command;
  for (const auto& [name, value] : run.options)
    if (!kBesideTheSeed.contains(name)) text += "\n" + name + "=" + value;
  return text;
}

SeedGroup::Statistic statistic_of(const MetricRow& row, const std::vector<size_t>& runs) {
  std::vector<double> values;
  for (const size_t r : runs) values.push_back(row.values[r]);
  return {statistics_of(values), row.name, row.unit};
}

void group_seeds(Comparison& c) {
  std::vector<bool> taken(c.runs.size());
  for (size_t first = 0; first < c.runs.size(); ++first) {
    if (taken[first]) continue;
    SeedGroup group;
    std::set<std::string> seeds;
    for (size_t r = first; r < c.runs.size(); ++r)
      if (!taken[r] && all_but_seed(c.runs[r]) == all_but_seed(c.runs[first])) {
        taken[r] = true;
        if (seeds.insert(c.runs[r].option("seed")).second)
          group.runs.push_back(r);
        else
          c.notes.push_back(
              fmt::format("{} repeats a run with its seed, and is not counted", c.runs[r].label));
      }
    if (group.runs.size() < 2) continue;
    for (const MetricRow& row : c.metrics) {
      const SeedGroup::Statistic statistic = statistic_of(row, group.runs);
      if (statistic.count > 1) group.metrics.push_back(statistic);
    }
    c.seeds.push_back(std::move(group));
  }
}

}  // namespace

Comparison compare_runs(std::vector<ComparedRun> runs) {
  Comparison c{.runs = std::move(runs)};
  for (const std::string& name : all_names(c.runs, [](const ComparedRun& run) { return run.options; })) {
    OptionRow row{.name = name};
    for (const ComparedRun& run : c.runs) row.values.push_back(run.option(name));
    if (!all_equal(row.values)) c.options.push_back(std::move(row));
  }
  compare_metrics(c, note_differences(c));
  group_seeds(c);
  return c;
}

}  // namespace elbo
