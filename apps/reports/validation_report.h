// What is said and drawn of a validation: when models were at their best on held-out points, and how good.
#pragma once

#include "apps/support/figure.h"
#include "apps/support/report.h"
#include "apps/support/result.h"
#include "apps/support/table.h"
#include "apps/training/validation.h"

namespace elbo {

/// A validation that is over, for people.
struct ValidationFindings {
  std::vector<MemberValidation> members;
  std::vector<std::string> settings;  ///< of each; one without text where there is one model
  int64_t points = 0;                 ///< of the split
  int64_t epochs = 0;                 ///< of the training, as planned

  /// The member with the highest ELBO; the first where none has one.
  size_t best() const;
};

/// Of one member: its best ELBO with the epoch, and where it ended.
Json to_json(const MemberValidation& validation);
/// validation.elbo and the like, of the best member.
void set_validation(Result& result, const ValidationFindings& findings);

/// "best at epoch 40 of 60: ELBO -120.345 ± 0.512 on the 1000 points of the validation split".
std::string best_line(const ValidationFindings& findings);

/// Adds the held-out curve of each member to a figure whose first series are the members' in training, in
/// their colours; for one model also its best epoch.
void add_validation_curves(Figure& figure, const ValidationFindings& findings);
/// A section with the table of members and where the best models are kept.
void add_validation_section(Report& report, const ValidationFindings& findings, const std::string& run);

}  // namespace elbo
