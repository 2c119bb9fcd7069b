#include "apps/asperti/watched.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/experiment/training_unit.h"
#include "apps/support/interrupt.h"
#include "tensor/error.h"

namespace elbo::asperti {
namespace {

constexpr const char* kLooks = "looks";  // in a checkpoint
constexpr const char* kAllBroke = "[train] no loss of these models is finite; try a smaller learning rate";

}  // namespace

std::optional<std::vector<Json>> train_watched(Training& training, int64_t steps, const Watch& watch,
                                               const UnitPlace& place, const std::string& folder,
                                               double begin, double end) {
  UnitCheckpoint checkpoint(place, folder);
  std::vector<Json> looks;
  const auto keep = [&](int64_t step) {
    if (!watch.look) return;
    Json found = watch.look(step);
    if (found.is_null()) return;
    // As a resumed run reads it.
    looks.push_back(Json::parse(found.dump()));
    if (watch.taken) watch.taken(looks.back());
  };
  const auto extra = [&] { return std::map<std::string, std::string>{{kLooks, Json(looks).dump()}}; };
  if (checkpoint.there()) {
    const Json kept = Json::parse(checkpoint.take_up(training).at(kLooks));
    for (const Json& look : kept) {
      looks.push_back(look);
      if (watch.taken) watch.taken(look);
    }
  } else {
    keep(0);
  }
  while (training.steps() < steps) {
    if (interrupted()) {
      if (training.steps() > 0) checkpoint.save(training, extra);
      return std::nullopt;
    }
    if (!training.step()) {
      if (!watch.may_break) fail("{}", kAllBroke);
      break;
    }
    keep(training.steps());
    const double share = static_cast<double>(training.steps()) / static_cast<double>(steps);
    place.progress(begin + (end - begin) * share, watch.text);
    checkpoint.save_when_due(training, extra);
  }
  checkpoint.save(training, extra);  // a later part of the unit may be broken off, and begins with this model
  for (int64_t step = training.steps() + 1; step <= steps; ++step)
    keep(step);  // where nothing moves any more
  return looks;
}

void check_some_are_left(const std::vector<PartOutcome>& parts) {
  if (std::all_of(parts.begin(), parts.end(),
                  [](const PartOutcome& part) { return part.result.at(kBroke).get<bool>(); }))
    fail("{}", kAllBroke);
}

std::vector<int64_t> looking_steps(int64_t steps, int64_t count) {
  std::set<int64_t> at{0, steps};
  for (int64_t i = 1; i <= count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count);
    at.insert(std::llround(share * static_cast<double>(steps)));
    at.insert(std::llround(std::pow(static_cast<double>(steps), share)));
  }
  return {at.begin(), at.end()};
}

Json rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values)
    list.push_back(std::isfinite(value) ? Json::parse(fmt::format("{:.5g}", value)) : Json(nullptr));
  return list;
}

}  // namespace elbo::asperti
