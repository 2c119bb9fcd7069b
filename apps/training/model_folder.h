// Where a command keeps the models it trained, and how they are found again.
//
// One model is model.safetensors. Several are members/NN.safetensors, beside members/members.json, which says
// what each of them is and which is the best.
#pragma once

#include <string>
#include <vector>

#include "apps/support/run_directory.h"

namespace elbo {

struct SavedMember {
  int64_t member = 0;
  std::string setting;  ///< what distinguishes it from the others
  double elbo = 0;      ///< nats per data point; not finite where its training broke
};

/// "model.safetensors", or of several "members/NN.safetensors".
std::string model_name(bool alone, int64_t member);
/// Writes members/members.json in a folder of the run ("linear/", or "").
void write_member_list(const RunDirectory& run, const std::string& folder,
                       const std::vector<SavedMember>& members);
/// That list. Throws Error where it is not there or none.
std::vector<SavedMember> read_member_list(const RunDirectory& run, const std::string& folder);

/// The path of the model that a run directory holds, or its only folder with models: its only one, or the
/// member asked for (-1: the best).
std::string find_model(const std::string& run, int64_t member);

}  // namespace elbo
