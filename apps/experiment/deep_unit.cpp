#include "apps/experiment/deep_unit.h"

#include <nlohmann/json.hpp>

#include "apps/experiment/training_unit.h"
#include "apps/training/trained_models.h"
#include "datasets/batch_loader.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

/// Plain steps, on a GPU too: an upper bound of what captured ones take there.
double seconds_for(const DeepUnit& deep, const LoadedData& data, const RunOptions& run) {
  DeepVaeOptions network = network_of(deep.training, deep.members, data.dataset);
  network.device = device_of(run);
  DeepVae vae(network, run.seed);
  const BatchLoader::Options batches{.batch = deep.training.batch, .seed = run.seed};
  BatchLoader loader(data.dataset, data.preprocessing, batches);
  const int64_t steps = deep.training.epochs * batches_per_epoch(data.dataset, data.preprocessing, batches);
  Training training(
      vae.parameters(),
      {{.loss = elbo_loss(vae, objective_of(deep.training, deep.members), deep.training.samples),
        .steps = steps + 1,
        .clip = deep.training.clip}},
      {1, [&](int64_t) { return loader.next().x.to(network.device); }}, {.seed = run.seed});
  return seconds_of(training, steps);
}

}  // namespace

Unit unit_of(const DeepUnit& deep, std::shared_ptr<const LoadedData> data, const DataOptions& named,
             const RunOptions& run) {
  const DeepVaeOptions network = network_of(deep.training, deep.members, data->dataset);
  const double points =
      static_cast<double>(data->dataset.points()) * static_cast<double>(deep.training.epochs);
  return {.key = deep.key,
          .title = deep.title,
          .cost = training_flops(network, deep.training.samples) * points *
                  static_cast<double>(deep.members.size()),
          .measure = [deep, data, run] { return seconds_for(deep, *data, run); },
          .run =
              [deep, data, named, run](const UnitPlace& place) {
                const DeepRun trained = run_deep(deep.training, deep.members, *data, place.directory,
                                                 {.seed = run.seed,
                                                  .device = device_of(run),
                                                  .resume = place.resuming,
                                                  .folder = place.folder,
                                                  .progress = place.progress,
                                                  .may_break = true});
                if (!trained.finished()) return Json();
                save_models(trained, card_of(named, *data), place.directory, place.folder);
                return to_json(trained);
              }};
}

}  // namespace elbo
