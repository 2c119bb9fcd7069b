// The entropy gauge as users see it: the ELBO beside the sum of three entropies that it becomes where the
// variances are stationary (vae/entropy_gauge.h), in results, tables and reports of any VAE.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/support/figure.h"
#include "apps/support/report.h"
#include "apps/support/result.h"
#include "vae/entropy_gauge.h"

namespace elbo {

/// The gauge under its common names; null where there is none.
void set_entropies(Result& result, const EntropyGauge& gauge);

/// Rows of a table below one that has the sum: the gap, and which variance it belongs to; or why it need not
/// close.
std::vector<std::pair<std::string, std::string>> gap_rows(const EntropyGauge& gauge);

/// Of members and why their gaps need not close, a line for each reason; empty where all must.
std::string notes_on_gaps(const std::vector<std::pair<int64_t, std::string>>& obstacles);

/// The ELBO and the sum of the entropies over epochs.
Figure entropy_figure(const std::vector<double>& epoch, const std::vector<double>& elbo,
                      const std::vector<double>& sum);

/// A section that tells entropies, gap and its parts, with the figure where there is one.
void add_entropies(Report& report, const EntropyGauge& gauge, double elbo,
                   const std::optional<Drawing>& over_epochs = {});

}  // namespace elbo
