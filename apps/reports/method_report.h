// What is said of --method: how the training was divided, and what each member kept or decided.
#pragma once

#include "apps/support/report.h"
#include "apps/support/result.h"
#include "apps/training/deep_run.h"

namespace elbo {

/// Of one member, for result.json; null where a method decides nothing.
Json method_json(const MethodOutcome& outcome, size_t member);
/// What its numbers are.
std::string method_note(const TrainingOptions& options);
/// A section on the method, where it is another than `vae`.
void add_method_section(Report& report, const DeepRun& run, const TrainingOptions& options);

}  // namespace elbo
