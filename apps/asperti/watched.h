// A training that is watched: what a look at a model finds at chosen steps is kept, with it or without. Goes
// on from a checkpoint in the unit's folder, and ends with the same bits and the same looks as if it had
// never been broken off.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "apps/experiment/units.h"
#include "vae/training.h"

namespace elbo::asperti {

struct Watch {
  /// Called with the steps that are done, 0 before the first; null: nothing of it is kept.
  std::function<Json(int64_t step)> look{};
  /// Told of every look that is kept, in order, also of those that an earlier process took: for what a loss
  /// takes from them.
  std::function<void(const Json& look)> taken{};
  /// Said while it runs.
  std::function<std::string()> text{};
  /// If true, it is no Error when all members break; later looks then see the models as they were.
  bool may_break = false;
};

/// Of the result of an ensemble's part, which its whole does not have: whether every member of it broke.
inline constexpr const char* kBroke = "broke";
/// Throws Error where every part says so.
void check_some_are_left(const std::vector<PartOutcome>& parts);

/// Takes `steps` steps. `folder`, inside of the unit's, is where its checkpoint lies; `begin` and `end` are
/// its share of the unit's progress. Nothing where the run was interrupted. Throws where no member is left
/// whose loss is finite.
std::optional<std::vector<Json>> train_watched(Training& training, int64_t steps, const Watch& watch,
                                               const UnitPlace& place, const std::string& folder = "",
                                               double begin = 0, double end = 1);

/// Steps at which to look, of so many: `count` spread evenly and as many close at the beginning, where most
/// happens; 0 and the last are among them.
std::vector<int64_t> looking_steps(int64_t steps, int64_t count);

/// Numbers as JSON with five digits, which is more than a figure shows.
Json rounded(const std::vector<double>& values);

}  // namespace elbo::asperti
