// What is said of an aggregated posterior (vae/aggregate_posterior.h), in a result and in a table.
#pragma once

#include <optional>

#include "apps/support/result.h"
#include "apps/support/table.h"
#include "vae/aggregate_posterior.h"

namespace elbo {

struct AggregateFindings {
  AggregatePosterior posterior;
  AggregateOptions options;
  std::optional<RepeatedKnn> samples;  ///< the model's samples against data; nothing where that is not done
};

/// Data of more dimensions are not compared with the model's samples: distances hardly differ there.
inline constexpr int64_t kModerateDimensions = 100;

/// Of a model that is no ensemble, on the points of x (N, D): some chosen at random, two or more.
AggregateFindings look_at_aggregate(const Vae& vae, const Points& x, const AggregateOptions& options);

/// Metrics under names that begin with aggregate_ and samples_, with their explanations as units.
void set_metrics(Result& result, const AggregateFindings& found);
/// Rows of two cells, or more where the table has more columns.
void add_rows(Table& table, const AggregateFindings& found);

}  // namespace elbo
