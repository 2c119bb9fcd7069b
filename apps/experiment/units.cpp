#include "apps/experiment/units.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "apps/support/interrupt.h"
#include "apps/support/table.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string folder_of(const Unit& unit) { return unit.key + "/"; }
std::string result_file(const Unit& unit) { return folder_of(unit) + "unit.json"; }

Json result_in(const std::string& file) {
  Json kept = read_json(file);
  if (!kept.is_object() || !kept.contains("result"))
    fail("[--resume] {} holds no result of a unit; remove it to run the unit again", quote(file));
  return std::move(kept["result"]);
}

double total_cost(const std::vector<Unit>& units) {
  double total = 0;
  for (const Unit& unit : units) total += unit.cost;
  return total;
}

/// One line of progress for all units: how much of the whole cost is spent.
class SharedProgress {
 public:
  SharedProgress(const std::vector<Unit>& units, const UnitsOptions& options)
      : options_(options), total_(total_cost(units)), count_(units.size()) {}

  void begin(const Unit& unit, size_t index) {
    unit_ = &unit;
    index_ = index;
  }
  void update(double share, const std::function<std::string()>& text) {
    const int64_t done = parts(spent_ + std::clamp(share, 0.0, 1.0) * unit_->cost);
    if (!progress_)
      progress_.emplace(kParts, options_.name,
                        Progress::Options{.quiet = options_.quiet, .begun = done, .counts = false});
    progress_->update(done, [&] {
      const std::string more = text ? text() : "";
      return fmt::format("{}{}{}", label(), more.empty() ? "" : ": ", more);
    });
  }
  void end(double seconds) {
    if (progress_) progress_->note(fmt::format("{} done in {}", label(), format_duration(seconds)));
    spent_ += unit_->cost;
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  static constexpr int64_t kParts = 1000000;
  int64_t parts(double cost) const { return std::llround(cost / total_ * kParts); }
  std::string label() const {
    return count_ == 1 ? unit_->title : fmt::format("{} ({} of {})", unit_->title, index_ + 1, count_);
  }

  const UnitsOptions& options_;
  double total_, spent_ = 0;
  size_t count_, index_ = 0;
  const Unit* unit_ = nullptr;
  std::optional<Progress> progress_;
};

}  // namespace

void Outcomes::add(const Unit& unit, Json result) {
  keys_.push_back(unit.key);
  results_[unit.key] = std::move(result);
}

const Json& Outcomes::at(const std::string& key) const {
  const auto found = results_.find(key);
  if (found == results_.end()) fail("[experiment] the unit {} has no result", quote(key));
  return found->second;
}

void check_keys(const std::vector<Unit>& units, const std::vector<std::string>& keys) {
  std::set<std::string> all;
  for (const Unit& unit : units)
    if (!all.insert(unit.key).second)
      fail("[experiment] two units are called {}; give each setting once", quote(unit.key));
  for (const std::string& key : keys)
    if (!all.contains(key)) {
      std::vector<std::string> names;
      for (const Unit& unit : units) names.push_back(unit.key);
      fail("[--only] there is no unit {}; there are {}", quote(key), fmt::join(names, ", "));
    }
}

bool is_chosen(const Unit& unit, const std::vector<std::string>& keys) {
  return keys.empty() || std::find(keys.begin(), keys.end(), unit.key) != keys.end();
}

Outcomes run_units(const std::vector<Unit>& units, const RunDirectory& directory,
                   const UnitsOptions& options) {
  const auto file_of = [&](const Unit& unit) { return directory.path() + "/" + result_file(unit); };
  const auto is_done = [&](const Unit& unit) {
    return options.resuming && std::filesystem::exists(file_of(unit));
  };
  Outcomes outcomes;
  std::vector<Unit> to_run;
  for (const Unit& unit : units)
    if (!is_done(unit) && is_chosen(unit, options.only)) to_run.push_back(unit);
  SharedProgress progress(to_run, options);
  size_t ran = 0;
  for (const Unit& unit : units) {
    if (is_done(unit)) {
      outcomes.add(unit, result_in(file_of(unit)));
      continue;
    }
    if (!is_chosen(unit, options.only) || interrupted()) continue;
    progress.begin(unit, ran++);
    const double begin = now();
    const UnitPlace place{
        directory, folder_of(unit), options.resuming,
        [&](double share, const std::function<std::string()>& text) { progress.update(share, text); }};
    Json result = unit.run(place);
    if (interrupted()) continue;
    directory.write_json(result_file(unit),
                         {{"unit", unit.title}, {"seconds", now() - begin}, {"result", std::move(result)}});
    outcomes.add(unit, result_in(file_of(unit)));  // as a resumed run will read it
    progress.end(now() - begin);
  }
  if (!interrupted()) progress.finish();
  return outcomes;
}

std::string cost_of(const std::vector<Unit>& units) {
  Table table({"unit", "what", Table::number("time")});
  std::map<double, double> measured;  // seconds by cost
  for (const Unit& unit : units)
    if (unit.measure && !measured.contains(unit.cost)) measured[unit.cost] = unit.measure();
  double total = 0, seconds_of_all = 0, cost_of_all = 0;
  for (const auto& [cost, seconds] : measured) {
    seconds_of_all += seconds;
    cost_of_all += cost;
  }
  for (const Unit& unit : units) {
    const auto found = measured.find(unit.cost);
    const double seconds = found != measured.end() ? found->second : unit.cost * seconds_of_all / cost_of_all;
    total += seconds;
    table.row({unit.key, unit.title, format_duration(seconds)});
  }
  return fmt::format("{}{} unit{}, about {} on this machine as it is now, without figures and report\n",
                     table.text(), units.size(), units.size() == 1 ? "" : "s", format_duration(total));
}

double seconds_for_steps(int64_t steps, const std::function<void(int64_t n)>& take) {
  constexpr double kLongEnough = 0.3;
  take(1);  // memory and caches of libraries
  int64_t taken = 0;
  const double begin = now();
  for (int64_t n = 1; now() - begin < kLongEnough && taken < steps; n = std::min(2 * n, steps - taken)) {
    take(n);
    taken += n;
  }
  return (now() - begin) / static_cast<double>(taken) * static_cast<double>(steps);
}

}  // namespace elbo
