// What is said of a deep VAE's units one by one: what they carry, what they cost, what they are worth, and
// whether four criteria agree that they are active (vae/unit_diagnostics.h).
#pragma once

#include "apps/support/figure.h"
#include "apps/support/report.h"
#include "apps/support/result.h"
#include "apps/support/table.h"
#include "apps/training/loaded_data.h"
#include "vae/unit_diagnostics.h"

namespace elbo {

struct UnitFindings {
  std::vector<UnitDiagnostics> units;
  int64_t points = 0;  ///< that the gains were found on
};

/// Of a single model with these metrics: gains on the first points of the data.
UnitFindings find_units(const Vae& vae, const DeepVaeMetrics& metrics, const LoadedData& data, uint64_t seed);

/// metrics.units, a list for each number, and how many of them are active by each criterion.
void set_units(Result& result, const UnitFindings& found);

/// A unit a row, the largest KL first, at most so many. What is at odds about a unit stands in its last cell.
Table unit_table(const UnitFindings& found, size_t most);
/// "active: 8 of 16 by Var μ > 0.01, ...", and what the table's numbers are.
std::string unit_note(const UnitFindings& found);
/// Gain over KL, with the line on which a unit is worth what it costs.
Figure gain_figure(const UnitFindings& found);

/// Table and figure in a report, drawn into the folder.
void add_units(Report& report, const UnitFindings& found, const std::string& folder);
/// All of it for `evaluate`: sets the result, and returns what is printed below its table.
std::string evaluate_units(const Vae& vae, const DeepVaeMetrics& metrics, const LoadedData& data,
                           uint64_t seed, Result& result);

}  // namespace elbo
