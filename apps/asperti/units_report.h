// What is said and drawn of the units of trained ensembles: Table 1 beside ours, Figs 2, 3 and 5, the
// variance law, and what section 5 says of losses without the KL or its variance part.
#pragma once

#include "apps/asperti/ensemble.h"
#include "apps/experiment/experiment.h"

namespace elbo::asperti {

/// An ensemble of the experiment, with what it is called.
struct Variant {
  std::string key, title;
  bool conv = false;
  bool other_data = false;  ///< than the experiment's: for the variance law alone
  EnsembleTraining training{};
};

struct UnitsFindings {
  std::vector<Variant> variants;  ///< those that are there
  std::vector<Ensemble> ensembles;
  std::string unlike;  ///< why the dense network's numbers say nothing of the paper's; empty: they do
  std::string unlike_conv;
  ImageSize image{};  ///< of the data; none: no pictures
  double lambda = 0;

  /// The ensemble of that key, or null.
  const Ensemble* find(const std::string& key) const;
};

void present_units(const UnitsFindings& found, Presentation& presentation);

}  // namespace elbo::asperti
