// What the experiments of Asperti 2019 share: options, data, models, and the settings that the paper's
// numbers hold for.
//
// The paper states neither optimiser, rate, epochs, loss, lambda, output nor initialisation. What is chosen
// here for these stands in the defaults below and in vae/asperti_models.h.
#pragma once

#include <functional>
#include <memory>

#include "apps/experiment/experiment.h"
#include "apps/training/model_card.h"
#include "apps/training/model_folder.h"
#include "vae/asperti_models.h"
#include "vae/deep_metrics.h"

namespace elbo::asperti {

struct CommonOptions : ExperimentOptions {
  std::string hidden = "256,64,32";
  int64_t latent = 16, batch = 128;
  double lambda = 0.7, rate = 1e-3;
  CommonOptions() { data.subset = 0; }
  template <class F>
  void each_common(F f) {
    f("hidden", hidden);
    f("latent", latent);
    f("batch", batch);
    f("lambda", lambda);
    f("lr", rate);
  }
};
/// --hidden, --latent, --lambda, --batch, --lr.
void add_common_options(Arguments& arguments, CommonOptions& options);

/// The data that the options name, from 0 to 1 as a sigmoid gives them; throws for others.
std::shared_ptr<const LoadedData> load_pixels(CommonOptions& options);

/// Data of which a plan needs no points, but for their number and shape.
struct PlannedData {
  LoadedData look;  ///< the data, or the first point of what is drawn when it is wanted
  int64_t points = 0;
  std::function<std::shared_ptr<const LoadedData>()> load;
};
/// Of data that are there.
PlannedData planned(const std::shared_ptr<const LoadedData>& data);
/// Of the options' data: pictures of a generator's are drawn by `load` and not before. Throws as load_pixels.
PlannedData plan_pixels(CommonOptions& options);

/// The dense network, for these data.
AspertiOptions dense_network(const CommonOptions& options, const Dataset& data, int64_t members,
                             int64_t first_member = 0);

/// How the models of an ensemble are listed: by number, from `first` on, with their ELBO.
std::vector<SavedMember> members_of(const std::vector<DeepVaeMetrics>& metrics, int64_t first = 0);
/// Keeps the members in the unit's folder, as files that the other commands open, by the numbers of the list.
/// `network` made `vae`; the card is of its data.
void save_models(const AspertiOptions& network, const Vae& vae, const ModelCard& card,
                 const std::vector<SavedMember>& list, const UnitPlace& place,
                 const std::string& folder = "");

/// Why numbers say nothing of the paper's, whose networks were trained on all of MNIST at a lambda that gives
/// its Table 1 as near as any; empty: they do.
std::string unlike_paper(const CommonOptions& options, const Dataset& data);

/// Numbers that all networks handle in a training: a measure of what it costs.
double training_cost(const Vae& vae, int64_t points, int64_t epochs);
/// Seconds that so many steps on such data take here; a phase of the training takes them.
double seconds_of(Vae& vae, const Loss& loss, const Tensor& x, int64_t batch, int64_t steps);
/// As many numbers as a training of the models on so many points meets in a while, for `seconds_of`, which do
/// not have to be the data's.
Tensor stand_in(const Vae& vae, int64_t points, int64_t batch);

}  // namespace elbo::asperti
