#include "apps/training/trained_models.h"

#include <cmath>

#include "apps/training/model_folder.h"
#include "vae/deep_vae_file.h"

namespace elbo {
namespace {

/// Members without a validation ELBO that is a number are listed only.
void save_best(const DeepRun& run, ModelCard card, const RunDirectory& directory, const std::string& folder) {
  const bool alone = run.members.size() == 1;
  std::vector<SavedMember> list;
  for (size_t m = 0; m < run.members.size(); ++m) {
    const MemberValidation& validation = run.validation[m];
    const int64_t index = card.member = run.members[m].index;
    list.push_back({index, describe(run.members[m]), validation.best_elbo});
    if (validation.best_epoch == 0) continue;
    card.entropies_obstacle = run.best_obstacles[m];
    auto metadata = metadata_of(card);
    metadata["epoch"] = std::to_string(validation.best_epoch);
    save_deep_vae(directory.file(folder + model_name(alone, index)), *run.best, static_cast<int64_t>(m),
                  metadata);
  }
  if (!alone) write_member_list(directory, folder, list);
}

}  // namespace

void save_models(const DeepRun& run, ModelCard card, const RunDirectory& directory, const std::string& folder,
                 bool is_part) {
  const bool alone = run.members.size() == 1 && !is_part;
  std::vector<SavedMember> list;
  for (size_t m = 0; m < run.members.size(); ++m) {
    const int64_t index = run.members[m].index;
    card.member = index;
    const bool stopped = run.stop_of(static_cast<int64_t>(m)) != nullptr;
    card.entropies_obstacle = stopped ? "its training broke" : run.metrics[m].entropies.obstacle;
    save_deep_vae(directory.file(folder + model_name(alone, index)), *run.vae, static_cast<int64_t>(m),
                  metadata_of(card));
    list.push_back({index, describe(run.members[m]), stopped ? std::nan("") : run.metrics[m].elbo});
  }
  if (!alone) write_member_list(directory, folder, list);
  if (run.best) save_best(run, card, directory, folder + "best/");
}

}  // namespace elbo
