// elbo asperti-noise: Asperti 2019, section 5 and Fig 7. Growing noise on one active unit of a trained VAE
// until the unit is worth less than its KL, its collapse, and its return once the noise is gone; for each
// active unit of several models.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/asperti/ensemble.h"
#include "apps/asperti/noise_report.h"
#include "apps/asperti/watched.h"
#include "apps/command.h"
#include "apps/support/interrupt.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

using namespace asperti;

constexpr int64_t kProbed = 1000;  // points that gains are found on

struct Options : CommonOptions {
  int64_t base_epochs = 30, epochs = 80, seeds = 3, units = 8, settle = 3, patience = 25;
  double increment = 0.25;
  template <class F>
  void each(F f) {
    each_common(f);
    f("base_epochs", base_epochs);
    f("epochs", epochs);
    f("seeds", seeds);
    f("units", units);
    f("settle", settle);
    f("patience", patience);
    f("increment", increment);
  }
  NoiseRule rule() const { return {.increment = increment, .settle = settle, .patience = patience}; }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--limit", o.data.limit, 10000);
  quicken(arguments, o.quick, "--base-epochs", o.base_epochs, 20);
  quicken(arguments, o.quick, "--epochs", o.epochs, 60);
  quicken(arguments, o.quick, "--seeds", o.seeds, 1);
  quicken(arguments, o.quick, "--units", o.units, 3);
}

std::string key_of(int64_t seed) { return fmt::format("seed-{}", seed); }

/// Trains the model that the noise will disturb. False where the run was interrupted.
bool train_base(const Options& o, Vae& vae, const Tensor& x, const UnitPlace& place, double share) {
  const BatchSource batches = shuffled_batches(x, o.batch, o.run.seed);
  const int64_t steps = o.base_epochs * batches.per_epoch;
  Training training(vae.parameters(), {{.loss = asperti_loss(vae), .steps = steps, .rates = {o.rate}}},
                    batches, {.seed = o.run.seed});
  return train_watched(training, steps, {}, place, "base/", 0, share).has_value();
}

struct Targets {
  std::vector<int64_t> units;  // the active ones, the largest KL first, as many as were asked for
  std::vector<bool> active;    // of every unit
};

Targets targets_of(const Options& o, const DeepVaeMetrics& metrics) {
  Targets targets;
  for (size_t i = 0; i < metrics.kl_per_dim.size(); ++i) {
    const double variance = metrics.variance_of_mean[i];
    targets.active.push_back(is_in_use(variance, metrics.variance_law[i] - variance));
    if (targets.active[i]) targets.units.push_back(static_cast<int64_t>(i));
  }
  std::stable_sort(targets.units.begin(), targets.units.end(), [&](int64_t a, int64_t b) {
    return metrics.kl_per_dim[static_cast<size_t>(a)] > metrics.kl_per_dim[static_cast<size_t>(b)];
  });
  if (static_cast<int64_t>(targets.units.size()) > o.units)
    targets.units.resize(static_cast<size_t>(o.units));
  return targets;
}

Json to_json(int64_t epoch, const std::vector<double>& deviations, const std::vector<NoisyUnit>& found) {
  Json look = {{"epoch", epoch}, {"deviation", rounded(deviations)}};
  const auto set = [&](const char* name, double NoisyUnit::*value) {
    std::vector<double> values;
    for (const NoisyUnit& unit : found) values.push_back(unit.*value);
    look[name] = rounded(values);
  };
  set("gain", &NoisyUnit::gain);
  set("kl", &NoisyUnit::kl);
  set("variance", &NoisyUnit::variance_of_mean);
  set("sigma2", &NoisyUnit::mean_variance);
  set("loss", &NoisyUnit::loss);
  set("loss_kl", &NoisyUnit::loss_kl);
  return look;
}

/// Copies of the model, each with noise on a unit of its own. Nothing where the run was interrupted.
std::optional<std::vector<Json>> disturb(const Options& o, const Vae& base, const Targets& targets,
                                         Vae& copies, const Tensor& x, const UnitPlace& place, double share) {
  for (const Parameter& parameter : base.parameters().all())
    for (int64_t m = 0; m < copies.models(); ++m)
      copies.parameters().at(parameter.name).value.slice(m).copy_from(parameter.value);
  const size_t models = targets.units.size();
  const UnitNoise noise = unit_noise(copies, targets.units, std::vector(models, targets.active));
  const BatchSource batches = shuffled_batches(x, o.batch, o.run.seed + 1);
  const int64_t steps = o.epochs * batches.per_epoch;
  Training training(copies.parameters(),
                    {{.loss = noisy_loss(copies, noise), .steps = steps, .rates = {o.rate}}}, batches,
                    {.seed = o.run.seed + 1});
  const Tensor probed = x.slice(0, std::min(kProbed, x.size(0)));
  std::vector<NoiseCourse> courses(models, NoiseCourse(o.rule()));
  const Watch watch{
      .look = [&](int64_t step) -> Json {
        if (step % batches.per_epoch != 0) return {};
        const int64_t epoch = step / batches.per_epoch;
        return to_json(
            epoch, *noise.deviations,
            measure_noisy(copies, noise, probed,
                          {.seed = o.run.seed, .stream = kEvaluation, .step = static_cast<uint64_t>(epoch)}));
      },
      .taken =
          [&](const Json& look) {
            for (size_t m = 0; m < models; ++m) {
              courses[m].take(look.at("epoch"), noisy_unit_from(look, m));
              (*noise.deviations)[m] = courses[m].deviation();
            }
          },
      .text = [&] { return fmt::format("noise, epoch {}", training.steps() / batches.per_epoch + 1); }};
  return train_watched(training, steps, watch, place, "", share, 1);
}

Json run_seed(const Options& o, int64_t seed, const LoadedData& data, const UnitPlace& place) {
  const Tensor x = data.all().to(DType::f32).to(device_of(o.run));
  const AspertiOptions one = dense_network(o, data.dataset, 0, seed);
  const auto base = asperti_vae(one, o.run.seed);
  const double share =
      static_cast<double>(o.base_epochs) / static_cast<double>(o.base_epochs + o.units * o.epochs);
  if (!train_base(o, *base, x, place, share)) return {};
  const auto measured = [&](const Vae& vae) {
    return evaluate_deep_vae(
        vae, x, {.seed = o.run.seed, .progress = [](int64_t, int64_t) { return !interrupted(); }});
  };
  const std::vector<DeepVaeMetrics> metrics = measured(*base);
  if (metrics.empty()) return {};
  const Targets targets = targets_of(o, metrics[0]);
  const ModelCard card = card_of(o.data, data);
  save_models(one, *base, card, members_of(metrics), place, "base/");
  if (targets.units.empty()) return {{"units", targets.units}, {"looks", Json::array()}};
  // The copies draw noise of their own, whatever the other seeds' do.
  const AspertiOptions several =
      dense_network(o, data.dataset, static_cast<int64_t>(targets.units.size()), 1000 + seed * o.latent);
  const auto copies = asperti_vae(several, o.run.seed);
  const auto looks = disturb(o, *base, targets, *copies, x, place, share);
  if (!looks) return {};
  const std::vector<DeepVaeMetrics> after = measured(*copies);
  if (after.empty()) return {};
  std::vector<SavedMember> list = members_of(after);
  for (SavedMember& own : list)
    own.setting = fmt::format("noise on unit {}", targets.units[static_cast<size_t>(own.member)]);
  save_models(several, *copies, card, list, place);
  return {{"units", targets.units}, {"looks", *looks}};
}

ExperimentPlan plan(Options& o) {
  const std::shared_ptr<const LoadedData> data = load_pixels(o);
  ExperimentPlan plan{
      .what = fmt::format(
          "Trains {} dense networks for {} epochs, and copies of each for {} with noise on a unit.", o.seeds,
          o.base_epochs, o.epochs),
      .data = data};
  const auto cost = training_cost(*asperti_vae(dense_network(o, data->dataset, 0), 0), data->dataset.points(),
                                  o.base_epochs + o.units * o.epochs);
  for (int64_t seed = 0; seed < o.seeds; ++seed)
    plan.units.push_back(
        {.key = key_of(seed),
         .title = fmt::format("model {}", seed + 1),
         .cost = cost,
         .measure =
             [o, data] {
               const auto vae = asperti_vae(dense_network(o, data->dataset, o.units), o.run.seed);
               const Tensor x = data->all().to(DType::f32).to(device_of(o.run));
               const int64_t per_epoch = (x.size(0) + o.batch - 1) / o.batch;
               return seconds_of(*vae, asperti_loss(*vae), x, o.batch,
                                 per_epoch * (o.epochs + o.base_epochs / o.units));
             },
         .run = [o, seed, data](const UnitPlace& place) { return run_seed(o, seed, *data, place); }});
  const std::string unlike = unlike_paper(o, data->dataset);
  plan.present = [o, unlike](const Outcomes& outcomes, Presentation& p) {
    NoiseFindings found{.runs = {}, .unlike = unlike, .epochs = o.epochs};
    for (int64_t seed = 0; seed < o.seeds; ++seed)
      if (outcomes.has(key_of(seed))) add_runs(found, seed, outcomes.at(key_of(seed)), o.rule());
    present_noise(found, p);
  };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "10 000 images, one model, three of its units, 60 epochs");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_common_options(arguments, *o);
  number("--base-epochs", o->base_epochs, kCount, "Passes over the data before there is noise");
  number("--epochs", o->epochs, kCount, "Passes over the data with noise and after it");
  arguments.begin_group("Noise");
  number("--increment", o->increment, kPositive, "Growth of its standard deviation after each epoch");
  number("--settle", o->settle, kCountOrNone, "Epochs that it stays once the unit has collapsed");
  number("--patience", o->patience, kCount, "The most epochs that noise lasts once the gain is below the KL");
  arguments.begin_group("Ensemble");
  number("--seeds,--members", o->seeds, kCount, "Models");
  number("--units", o->units, kCount, "Active units of each that get noise, the largest KL first");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"asperti-noise", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command asperti_noise_command{"asperti-noise",
                                    "Noise on a unit until it collapses, and its return without it",
                                    "Section 5, Fig 7", "90 min (--quick: 2 min)", add_options};

}  // namespace elbo
