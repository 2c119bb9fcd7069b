// Claims: what a paper says, a number or a sentence, beside what came out here, with a verdict. One table for
// all of them, in reports and on the terminal.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "apps/support/json.h"
#include "apps/support/statistics.h"
#include "apps/support/table.h"

namespace elbo {

struct Claim {
  std::string claim{};          ///< "the entropies' sum equals the bound at early stopping already"
  std::string paper{};          ///< its number or words; where it is: "950.7 (Fig 3)"
  std::string here{};           ///< ours, with its error
  std::optional<bool> holds{};  ///< nothing where it cannot be judged here
  bool not_shown = false;       ///< it was judged, and the error leaves both open
  std::string note{};           ///< the settings it holds for, or why it is not judged
};

/// A published number and ours, in the same unit; errors are standard errors, NaN where unknown.
struct PublishedNumber {
  std::string what{}, unit{};
  double paper = 0, paper_error = std::nan("");
  double here = 0, here_error = std::nan("");
  double tolerance = 0;  ///< that the settings allow beside the errors
  std::string note{};
  bool comparable = true;  ///< whether it was found under the paper's settings
  int digits = 2;
};
/// It holds where the two are no further apart than the tolerance and twice both errors together.
Claim claim_of(const PublishedNumber& number);

/// For a claim that a number is above 0: whether its whole interval is, or is below, or neither is shown.
void judge_above_zero(Claim& claim, const Interval& interval);

Table claims_table(const std::vector<Claim>& claims);
Json to_json(const std::vector<Claim>& claims);

}  // namespace elbo
