// What calibrating a VAE looks at, and the two decisions (Asperti 2019, sections 4, 6.1 and 7).
//
// The paper's method has two steps. First the weight of the KL beside the squared error: "a minimal lambda
// large enough to ensure the regularization effect of KL-component, that can be done by checking the laws of
// section 4", which say that Var_x mu_i + mean_x sigma_i^2 is 1 for each unit i. In nats lambda is 2 sigma^2.
// Then the latent dimension k: "progressively augment the dimension of the latent space to attain sparsity".
// It does not say how near is near enough, nor when a unit is in use. Here
//
//   sigma^2   is the smallest of the scan from which on the sums of the units in use are off 1 by no more
//             than a tolerance on average, and some units are in use;
//   k         is the first at which every model leaves a unit unused.
//
// At a stationary point the law holds whatever sigma^2 is: what the scan finds is where the KL is strong
// enough for the law to be reached in the epochs that it has. Knows no training.
#pragma once

#include <optional>
#include <vector>

#include "apps/support/json.h"
#include "apps/support/statistics.h"
#include "vae/deep_metrics.h"

namespace elbo {

/// Of one model that was trained at the point.
struct CalibratedModel {
  int64_t in_use = 0;  ///< units with Var_x mu_i > mean_x sigma_i^2: most of their z's variance is the mean's
  double law_deviation = 0;            ///< mean of |sum - 1| over the units in use; NaN where there are none
  double law_least = 0, law_most = 0;  ///< of the sums of these
  double kl = 0;                       ///< nats per data point
  double squared_error = 0;            ///< E_q |x - mean(z)|^2 per data point, summed over dimensions
  double elbo = 0;                     ///< nats per data point
};
/// From Var_x mu_i and the sums Var_x mu_i + mean_x sigma_i^2 of its units.
CalibratedModel calibrated_model(const std::vector<double>& variance_of_mean, const std::vector<double>& law);
CalibratedModel calibrated_model(const DeepVaeMetrics& metrics, int64_t dimensions);

struct CalibrationPoint {
  double sigma2 = 1;
  int64_t latent = 0;
  std::vector<CalibratedModel> models = {};  ///< that differ in their random numbers

  /// A number over the models.
  template <class T>
  Statistics over(T CalibratedModel::*value) const {
    std::vector<double> values;
    for (const CalibratedModel& model : models) values.push_back(static_cast<double>(model.*value));
    return statistics_of(values);
  }
  int64_t most_in_use() const;
};

struct LawChoice {
  size_t index = 0;
  bool lawful = false;  ///< false: nowhere does the law hold up to the tolerance, and this is where it is
                        ///< nearest to holding
};
/// Of points with rising sigma^2. Nothing where no point has a unit in use.
std::optional<LawChoice> choose_by_law(const std::vector<CalibrationPoint>& points, double tolerance);

/// Whether every model at the point leaves units unused.
bool is_sparse(const CalibrationPoint& point);

Json to_json(const CalibrationPoint& point);
CalibrationPoint calibration_point_from(const Json& json);

}  // namespace elbo
