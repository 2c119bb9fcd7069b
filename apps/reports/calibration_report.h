// What is said and drawn of a calibration: the curve that sigma^2 was chosen by, and that of k
// (apps/training/calibration.h).
#pragma once

#include "apps/reports/forecast_report.h"
#include "apps/support/report.h"
#include "apps/support/table.h"
#include "apps/training/calibration.h"

namespace elbo {

/// A point a row; `chosen` is the row that says so, of none if it is too large.
Table sigma2_table(const std::vector<CalibrationPoint>& points, size_t chosen, const Sigma2Scale& scale = {});
Table latent_table(const std::vector<CalibrationPoint>& points, size_t chosen);

/// Units in use, how far the law is off, KL and squared error, over sigma^2 and over k. With several models
/// at a point, their mean in the band of its 95 % interval.
FigureGrid sigma2_figure(const std::vector<CalibrationPoint>& points, size_t chosen, double tolerance,
                         int64_t dimensions, const Sigma2Scale& scale = {});
FigureGrid latent_figure(const std::vector<CalibrationPoint>& points, size_t chosen);

/// What a decision rests on, in one sentence each.
std::string law_criterion(double tolerance);
std::string latent_criterion();
/// What was chosen: "σ² = 0.268, the smallest of 8 ...; k = 32 ...".
std::string calibration_text(const Calibration& calibration, const CalibrationOptions& options);

/// A section with both, drawn into the folder.
void add_calibration(Report& report, const Calibration& calibration, const CalibrationOptions& options,
                     int64_t dimensions, const std::string& folder);

}  // namespace elbo
