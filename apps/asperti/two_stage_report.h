// What is said and drawn of two-stage VAEs: distances of z, u and pictures with one stage and with two, each
// over seeds, samples side by side, z in a plane, and the verdicts.
#pragma once

#include "apps/asperti/two_stage_findings.h"

namespace elbo::asperti {

void present_two_stages(const TwoStageFindings& found, Presentation& presentation);

}  // namespace elbo::asperti
