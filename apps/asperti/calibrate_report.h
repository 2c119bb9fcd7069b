// What is said and drawn of the scans over lambda and over k: the paper's method as it would decide, and the
// collapse forecast's hits and misses.
#pragma once

#include "apps/asperti/ensemble.h"
#include "apps/experiment/experiment.h"
#include "apps/training/calibration_point.h"

namespace elbo::asperti {

/// A lambda and a k, and the models that were trained there.
struct CalibratedEnsemble {
  double lambda = 0;
  int64_t latent = 0;
  Ensemble ensemble;
};

struct CalibrateFindings {
  std::vector<CalibratedEnsemble> over_lambda;  ///< rising lambda, at one k
  std::vector<CalibratedEnsemble> over_latent;  ///< rising k, at one lambda
  Tensor eigenvalues;                           ///< (D), of the data's covariance
  double tolerance = 0;                         ///< of the law
  int64_t epochs = 0;
  std::string unlike;  ///< why the numbers say nothing of the paper's; empty: they do
};

/// The same as the tool's decisions see it (apps/training/calibration_point.h).
CalibrationPoint point_of(const CalibratedEnsemble& found, int64_t dimensions);

void present_calibrate(const CalibrateFindings& found, Presentation& presentation);

}  // namespace elbo::asperti
