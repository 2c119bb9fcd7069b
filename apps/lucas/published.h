// The published lines of Lucas et al. 2019, in two parts: Tables 1 to 5, and the figures.
#pragma once

#include "apps/ledger/publication.h"

namespace elbo::lucas {

std::vector<ledger::Line> table_lines();
std::vector<ledger::Line> figure_lines();

/// The row of `elbo collapse` with this sigma^2, without or with annealing; null where there is none.
Json collapse_row(const Json& result, double sigma2, bool learned, bool annealed);

}  // namespace elbo::lucas
