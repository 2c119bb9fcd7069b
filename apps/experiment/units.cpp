#include "apps/experiment/units.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "apps/experiment/unit_claims.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/table.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double total_cost(const std::vector<Unit>& units) {
  double total = 0;
  for (const Unit& unit : units) total += unit.cost;
  return total;
}

/// Appends those of `more` that are not in the list.
void add_new(Json& list, const Json& more) {
  for (const Json& each : more)
    if (std::find(list.begin(), list.end(), each) == list.end()) list.push_back(each);
}

/// Of the processes that were at the unit before this one.
Json earlier_origins(const UnitPlace& place) {
  const std::string file = place.directory.file(place.folder + kOrigins);
  std::error_code none;
  if (!std::filesystem::exists(file, none))
    return place.resuming ? Json::array({unrecorded_origin()}) : Json::array();
  Json origins = read_json(file);
  if (!are_origins(origins)) fail("[--resume] {} does not say who was at the unit; remove it", quote(file));
  return origins;
}

double earlier_seconds(const UnitPlace& place) {
  const std::string file = place.directory.file(place.folder + kSpent);
  std::error_code none;
  if (!std::filesystem::exists(file, none)) return 0;
  const Json seconds = read_json(file);
  if (!seconds.is_number()) fail("[--resume] {} holds no number; remove it", quote(file));
  return seconds;
}

/// One line of progress for all units: how much of the whole cost is spent.
class SharedProgress {
 public:
  SharedProgress(const std::vector<Unit>& units, const UnitsOptions& options)
      : options_(options), total_(total_cost(units)), count_(units.size()) {}

  /// `spent` is the cost of those that are done, of which there are `index`.
  void begin(const Unit& unit, size_t index, double spent) {
    unit_ = &unit;
    index_ = index;
    spent_ = spent;
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

void Outcomes::add(const Unit& unit, Json result, double seconds, const Json& origins) {
  keys_.push_back(unit.key);
  results_[unit.key] = std::move(result);
  seconds_ += seconds;
  for (const Json& origin : origins) {
    const auto found = std::find_if(origins_.begin(), origins_.end(), [&](Json known) {
      known.erase("units");
      return known == origin;
    });
    Json& counted = found != origins_.end() ? *found : origins_.emplace_back(origin);
    counted["units"] = counted.value("units", 0) + 1;
  }
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
  const auto named = [&](const std::string& key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  return keys.empty() || named(unit.key) || named(unit.part_of);
}

std::string choice_words(const std::vector<std::string>& keys) {
  return keys.empty() ? "" : " --only " + shell_word(fmt::format("{}", fmt::join(keys, ",")));
}

Outcomes outcomes_in(const std::vector<Unit>& units, const RunDirectory& directory) {
  const UnitClaims claims(directory, 0);
  Outcomes outcomes;
  for (const Unit& unit : units)
    if (unit.part_of.empty() && claims.is_done(unit)) {
      Json kept = kept_unit(directory.path(), unit.key);
      outcomes.add(unit, std::move(kept["result"]), kept.value("seconds", 0.0), kept.at("origins"));
    }
  return outcomes;
}

std::optional<Json> run_unit(const Unit& unit, const UnitPlace& place, const Json& origin,
                             const std::function<bool()>& lost) {
  const double begin = now();
  try {
    double of_parts = 0;
    const double earlier = earlier_seconds(place);
    Json origins = earlier_origins(place);
    for (const std::string& part : unit.parts) {
      const Json kept = kept_unit(place.directory.path(), part);
      of_parts += kept.value("seconds", 0.0);
      add_new(origins, kept.at("origins"));
    }
    add_new(origins, Json::array({origin}));
    place.directory.write_json(place.folder + kOrigins, origins);
    Json result = unit.run(place);
    if (lost()) return std::nullopt;
    if (interrupted()) {
      try {
        place.directory.write_json(place.folder + kSpent, earlier + now() - begin);
      } catch (const Error&) {  // what matters is saved
      }
      return std::nullopt;
    }
    return Json{{"key", unit.key},
                {"unit", unit.title},
                {"seconds", of_parts + earlier + now() - begin},
                {"origins", origins},
                {"result", std::move(result)}};
  } catch (const LostUnit&) {
    return std::nullopt;
  } catch (const Error&) {
    if (lost()) return std::nullopt;  // whoever has it removed its files
    throw;
  }
}

Outcomes run_units(const std::vector<Unit>& units, const RunDirectory& directory,
                   const UnitsOptions& options) {
  UnitClaims claims(directory, options.lease);
  std::vector<Unit> to_run;
  for (const Unit& unit : units)
    if (is_chosen(unit, options.only) && !claims.is_done(unit)) to_run.push_back(unit);
  if (options.largest_first)
    std::stable_sort(to_run.begin(), to_run.end(),
                     [](const Unit& a, const Unit& b) { return a.cost > b.cost; });
  SharedProgress progress(to_run, options);
  bool waited = false;
  while (!interrupted()) {
    size_t done = 0;
    double spent = 0;
    std::string others;  // somebody is at them
    bool ran = false, left = false;
    for (const Unit& unit : to_run)
      if (claims.is_done(unit)) ++done, spent += unit.cost;
    for (const Unit& unit : to_run) {
      if (interrupted() || claims.is_done(unit)) continue;
      left = true;
      if (!claims.is_ready(unit)) continue;  // perhaps it is by now
      const auto claimed = claims.take(unit);
      if (!claimed) {
        others += (others.empty() ? "" : ", ") + unit.key;
        continue;
      }
      ran = true;
      progress.begin(unit, done, spent);
      Lease& lease = claimed->lease();
      const UnitPlace place{directory, claimed->folder(), claimed->resuming(),
                            [&](double share, const std::function<std::string()>& text) {
                              if (lease.known_lost()) throw LostUnit();
                              lease.say(share, text);
                              progress.update(share, text);
                            }};
      const auto kept = run_unit(unit, place, options.origin, [&] { return lease.lost(); });
      if (kept && claimed->publish(*kept)) {
        progress.end(kept->at("seconds"));
        break;
      }
      claimed->clear_away();
      if (!interrupted())
        log_line(fmt::format("{}: another process has taken over {}, as this one gave no sign of life",
                             options.name, unit.key));
      break;  // others may have done some meanwhile
    }
    if (ran) continue;
    if (!left) break;
    if (!waited && !options.quiet && !others.empty()) {
      log_line(fmt::format("{}: waiting for other processes, which are at {}", options.name, others));
      waited = true;
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(std::clamp(options.lease / 60, 0.05, 1.0)));
  }
  if (!interrupted()) progress.finish();
  return outcomes_in(units, directory);
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
