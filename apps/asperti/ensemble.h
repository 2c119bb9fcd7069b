// An ensemble of one of the paper's networks: trained with its units watched, then measured, unit by unit,
// and asked what it draws without the inactive ones. What is found goes through JSON.
#pragma once

#include "apps/asperti/setting.h"
#include "nn/optimizer.h"
#include "vae/unit_diagnostics.h"

namespace elbo::asperti {

struct EnsembleTraining {
  KlPart part = KlPart::whole;
  int64_t epochs = 50, batch = 128;
  double rate = 1e-3;
  Schedule::Kind schedule = Schedule::Kind::constant;
  int64_t looks = 150;      ///< at the first member's units along the way
  int64_t pictures = 1000;  ///< that are drawn with and without inactive units
  uint64_t seed = 0;
};

/// What pictures change by where the inactive units of their z are set to 0, in parts of the pixels' range.
struct Silenced {
  double largest = 0;  ///< of all pixels of all pictures
  double mean = 0;     ///< over them
};

struct Ensemble {
  /// Of the first member's units over the minibatch of a step: the variance of mu and the mean of sigma^2.
  struct Look {
    int64_t step = 0;
    std::vector<double> variance, sigma2;
  };
  std::vector<Look> looks;
  std::vector<std::vector<UnitDiagnostics>>
      units;                                 ///< [member][unit], over all points; of members that ended
  std::vector<double> squared_error;         ///< of each member, per image
  std::vector<Silenced> silenced;            ///< of each member
  std::vector<double> drawn, drawn_without;  ///< ten pictures of the first of them, in 0..1
  int64_t gain_points = 0;

  size_t members() const { return units.size(); }
};

/// is_in_use of vae/deep_metrics.h.
bool in_use(const UnitDiagnostics& unit);
int64_t count_in_use(const std::vector<UnitDiagnostics>& units);

/// Of these members of this network's ensemble on x (N, D), which the card speaks of; of those whose training
/// broke, nothing. Null where the run was interrupted. Models are kept in the unit's folder.
Json train_ensemble(const AspertiOptions& whole, const MemberRange& members, const ModelCard& card,
                    const Tensor& x, const EnsembleTraining& how, const UnitPlace& place);
Ensemble ensemble_from(const Json& json);

/// That training as a unit of an experiment, on the data that `named` names, which it loads when it runs.
Unit ensemble_unit(const std::string& key, const std::string& title, const AspertiOptions& network,
                   const EnsembleTraining& how, const DataOptions& named, const PlannedData& data);

}  // namespace elbo::asperti
