// Parts: a unit that is a large ensemble, run as several smaller ones (--split), by whoever has time.
//
// A member's results are those of the same member alone (docs/design.md), so how an ensemble is divided
// changes no number. A part is a unit: it is claimed, resumed and published as all are, as
// "k-50.members-0-24/". When all are there, the unit itself is what joins them, and then they go; the run
// directory is that of a run in one piece. Knows nothing of what units compute; files of models are joined
// here, as every ensemble has them.
#pragma once

#include <vector>

#include "apps/experiment/units.h"

namespace elbo {

/// The units, and before each ensemble of more than `most` members its parts, of about as many members each;
/// 0: nothing is divided. Throws Error, naming --split, where there is no such ensemble.
std::vector<Unit> in_parts(const std::vector<Unit>& units, int64_t most);

/// `unit` as one that trains all of these members, and may run in parts.
Unit as_ensemble(Unit unit, EnsembleParts ensemble);

/// Puts the models of all parts into the unit's folder, with one list of them (apps/training/model_folder.h).
void join_models(const UnitPlace& place, const std::vector<PartOutcome>& parts);

/// Adds what is in a list to another.
void append(Json& list, const Json& more);

}  // namespace elbo
