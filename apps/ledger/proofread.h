// Proofreading of published tables of Gaussian VAEs: do a row's sigma^2, ELBO, tuned ELBO, tuned sigma^2 and
// KL fit each other? With sigma^2 tuned in closed form, s the tuned one, D dimensions and c the constant of
// the units (Lucas et al. 2019, Eq. 10, with its D),
//
//   ELBO  = c - D/2 ln(2 pi sigma^2) - D s / (2 sigma^2) - KL
//   tuned = c - D/2 (ln(2 pi s) + 1) - KL
//
// so that tuned - ELBO = D/2 (ln(sigma^2 / s) + s / sigma^2 - 1), whatever c and KL are.
//
// What a table can owe is allowed for: half a unit of the last printed digit of every number; means over
// runs, which owe at most twice the square of a printed deviation over D, as the ELBO is not linear in ln s;
// and a share of the ELBO for estimates that were drawn apart. Knows nothing of any paper.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/support/json.h"

namespace elbo::ledger {

/// A number as it was printed: "-1450.3 ± 4.2".
struct Printed {
  double value = 0, deviation = 0, half_unit = 0;
};

struct ProofRow {
  std::string name;     ///< as findings call it: "line 3, start 10, learned no"
  std::string setting;  ///< to find it again in another table
  std::optional<Printed> sigma2, elbo, elbo_tuned, sigma2_tuned, kl, collapse_percent;
  bool learned = false;
};

struct ProofTable {
  std::string name;  ///< of the file
  std::vector<ProofRow> rows;
};

struct Finding {
  std::string table, row, columns, what;
};

/// Percent of the ELBO that two estimates of it may differ by, each being of draws of its own. Of 70
/// published rows those that are sound are off by 0.32 % at most, beyond what digits and deviations owe, and
/// those of a tuning that was not at its end by 0.55 % and more; slips make several percent. The one rule of
/// `elbo proofread` and of whoever asks whether a row is sound.
inline constexpr double kProofTolerance = 0.5;

struct ProofOptions {
  double dimensions = 0;               ///< D
  double tolerance = kProofTolerance;  ///< percent of the ELBO
  std::optional<double> constant{};    ///< c, where it is known; else what most rows that are sound agree on
};

/// The rows of a CSV file with a header. Columns by name, in any order: sigma2, elbo, and what is there of
/// elbo_tuned, sigma2_tuned, kl, collapse_percent; *_deviation or "a ± b" for deviations; learned (1, yes,
/// true), without which sigma2 is a setting and has no digits that were rounded; any other column is part of
/// the row's name. Throws, with the line, for what is no number.
ProofTable proof_table(const std::string& path);

/// Whether a row's two ELBOs differ by other than what its two sigma^2 make of them, by more than a table can
/// owe.
bool contradicts_itself(const ProofRow& row, const ProofOptions& options);
/// A published number from its value in code. It gets the digits of the shortest form; the table may have
/// printed more.
Printed printed(double value, double deviation = 0);

/// What does not fit: within each table, and between tables that have settings in common.
std::vector<Finding> proofread(const std::vector<ProofTable>& tables, const ProofOptions& options);

}  // namespace elbo::ledger
