// elbo asperti-two-stage: Dai and Wipf's second VAE, which Asperti 2019 (sections 6 and 7) names as the cure
// where a VAE reconstructs well and its q(z) is not the prior. It learns z of the first; how far z, u and
// pictures are from what they should be is measured with one stage and with two.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/asperti/two_stage_report.h"
#include "apps/asperti/watched.h"
#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "apps/support/interrupt.h"
#include "apps/training/model_folder.h"
#include "apps/training/validation.h"
#include "vae/deep_vae_file.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

using namespace asperti;

constexpr const char* kKey = "models";
constexpr int64_t kLooks = 60;  // at gamma
constexpr int64_t kShown = 36;  // pictures of each kind
// Where the judges' and the second stages' own random numbers begin: no ensemble has as many members.
constexpr int64_t kJudges = 100000, kSeconds = 200000;

struct Options : CommonOptions {
  int64_t epochs = 30, second_epochs = 30, members = 5, points = 1000, pictures = 5000, repetitions = 100;
  std::string second_hidden = "1024,1024,1024";
  double second_rate = 3e-4, judge_lambda = 0.1;
  template <class F>
  void each(F f) {
    each_common(f);
    f("epochs", epochs);
    f("second_epochs", second_epochs);
    f("second_hidden", second_hidden);
    f("second_lr", second_rate);
    f("judge_lambda", judge_lambda);
    f("members", members);
    f("points", points);
    f("pictures", pictures);
    f("knn_repetitions", repetitions);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--limit", o.data.limit, 10000);
  quicken(arguments, o.quick, "--epochs", o.epochs, 15);
  quicken(arguments, o.quick, "--second-epochs", o.second_epochs, 10);
  quicken(arguments, o.quick, "--second-hidden", o.second_hidden, std::string("256,256,256"));
  quicken(arguments, o.quick, "--members", o.members, 3);
  quicken(arguments, o.quick, "--pictures", o.pictures, 2000);
  quicken(arguments, o.quick, "--knn-repetitions", o.repetitions, 20);
}

AspertiOptions judge_network(const Options& o, const Dataset& data) {
  AspertiOptions network = dense_network(o, data, o.members, kJudges);
  network.lambda = o.judge_lambda;
  return network;
}

TwoStageModels models_of(const Options& o, const Dataset& data) {
  TwoStageModels models{asperti_vae(judge_network(o, data), o.run.seed),
                        asperti_vae(dense_network(o, data, o.members), o.run.seed),
                        {}};
  models.second = std::make_unique<DeepVae>(
      second_stage(*models.first, {.hidden = parse_widths(o.second_hidden)}, kSeconds), o.run.seed);
  return models;
}

/// One of the three trainings, in a folder of the unit's, with its share of the unit's progress.
struct Stage {
  const char *folder, *name;
  int64_t epochs = 0;
  double rate = 0;
  Schedule::Kind schedule = Schedule::Kind::constant;
  double begin = 0, end = 1;
};

std::vector<Stage> stages_of(const Options& o, const TwoStageModels& models) {
  std::vector<Stage> stages{
      {"judge/", "judge", o.epochs, o.rate},
      {"first/", "first stage", o.epochs, o.rate},
      {"second/", "second stage", o.second_epochs, o.second_rate, Schedule::Kind::cosine}};
  const double one = static_cast<double>(models.first->parameters().count() * o.epochs),
               two = static_cast<double>(models.second->parameters().count() * o.second_epochs),
               all = 2 * one + two;
  stages[0].end = stages[1].begin = one / all;
  stages[1].end = stages[2].begin = 2 * one / all;
  return stages;
}

/// What `look` finds along the training; `broken` is set for members that were stopped. Nothing where the run
/// was interrupted.
std::optional<std::vector<Json>> train(const Options& o, Vae& vae, const Stage& stage,
                                       const BatchSource& batches, const UnitPlace& place,
                                       std::vector<bool>& broken, const std::function<Json(int64_t)>& look) {
  const int64_t steps = stage.epochs * batches.per_epoch;
  Training training(vae.parameters(),
                    {{.loss = elbo_loss(vae),
                      .steps = steps,
                      .rates = {stage.rate},
                      .schedule = {.kind = stage.schedule, .base = 1, .total_steps = steps}}},
                    batches, {.seed = o.run.seed});
  const Watch watch{.look = look, .text = [&] {
                      return fmt::format("{}, epoch {}, ELBO {:.2f} nats", stage.name,
                                         training.steps() / batches.per_epoch + 1, elbo_in(training.terms()));
                    }};
  const auto looks = train_watched(training, steps, watch, place, stage.folder, stage.begin, stage.end);
  for (size_t m = 0; m < broken.size(); ++m)
    if (training.stopped(static_cast<int64_t>(m)) >= 0) broken[m] = true;
  return looks;
}

/// The card of a second stage, whose data are z of the first.
ModelCard card_of_second(const Options& o, const Codes& codes, int64_t member) {
  const Tensor z = codes.mean.slice(member);
  LoadedData data;
  data.dataset.x = z;
  data.dataset.fingerprint = fingerprint(z.to(Device::cpu));
  data.preprocessing.kind = Preprocessing::Kind::none;
  data.seed = o.run.seed;
  return card_of({.data = "z of first/" + model_name(false, member)}, data, kSeconds + member);
}

/// `found` are the measures of the models, `of_first` those of the first stages.
void save(const Options& o, const TwoStageModels& models, const LoadedData& data, const Tensor& x,
          const Codes& codes, const std::vector<DeepVaeMetrics>& of_first, const Json& found,
          const UnitPlace& place) {
  const ModelCard card = card_of(o.data, data);
  save_models(judge_network(o, data.dataset), *models.judge, card,
              members_of(evaluate_deep_vae(*models.judge, x, {.seed = o.run.seed, .progress = {}})), place,
              "judge/");
  save_models(dense_network(o, data.dataset, o.members), *models.first, card, members_of(of_first), place,
              "first/");
  std::vector<SavedMember> seconds = members_of(of_first);
  for (SavedMember& second : seconds) {
    second.elbo = number_or_nan(found.at("members").at(static_cast<size_t>(second.member)).at("second_elbo"));
    save_deep_vae(place.directory.file(place.folder + "second/" + model_name(false, second.member)),
                  *models.second, second.member, metadata_of(card_of_second(o, codes, second.member)));
  }
  write_member_list(place.directory, place.folder + "second/", seconds);
}

Json trained(const Options& o, const LoadedData& data, const LoadedData& held, const UnitPlace& place) {
  const TwoStageModels models = models_of(o, data.dataset);
  const Tensor x = data.all().to(DType::f32).to(device_of(o.run));
  const std::vector<Stage> stages = stages_of(o, models);
  std::vector<bool> broken(static_cast<size_t>(o.members));
  const auto of_pictures = [&](Vae& vae, const Stage& stage) {
    return train(o, vae, stage, shuffled_batches(x, o.batch, o.run.seed), place, broken, {}).has_value();
  };
  if (!of_pictures(*models.judge, stages[0]) || !of_pictures(*models.first, stages[1])) return {};
  const Codes codes = encode_all(*models.first, x);
  const BatchSource batches = code_batches(*models.first, codes, o.batch, o.run.seed);
  const std::vector<int64_t> listed = looking_steps(o.second_epochs * batches.per_epoch, kLooks);
  const std::set<int64_t> at(listed.begin(), listed.end());
  const auto gammas = [&](int64_t step) -> Json {
    if (!at.contains(step)) return {};
    std::vector<double> gamma;
    for (int64_t m = 0; m < o.members; ++m) gamma.push_back(std::sqrt(models.second->sigma2(m)));
    return {{"step", step}, {"gamma", rounded(gamma)}};
  };
  const auto looks = train(o, *models.second, stages[2], batches, place, broken, gammas);
  if (!looks) return {};
  const std::vector<DeepVaeMetrics> of_first = evaluate_deep_vae(
      *models.first, x, {.seed = o.run.seed, .progress = [](int64_t, int64_t) { return !interrupted(); }});
  if (of_first.empty()) return {};
  Json found = measure_two_stages(models, codes, of_first, held.all().to(DType::f32).to(device_of(o.run)),
                                  held.dataset.labels, broken,
                                  {.points = o.points,
                                   .pictures = o.pictures,
                                   .shown = kShown,
                                   .seed = o.run.seed,
                                   .distances = {.knn = {.repetitions = o.repetitions}}});
  if (found.is_null()) return {};
  found["looks"] = *looks;
  save(o, models, data, x, codes, of_first, found, place);
  return found;
}

/// Seconds for all three trainings; measuring takes both stages forward once more.
double seconds_of_all(const Options& o, const LoadedData& data) {
  const TwoStageModels models = models_of(o, data.dataset);
  const Tensor x = data.all().to(DType::f32).to(device_of(o.run));
  const int64_t per_epoch = (x.size(0) + o.batch - 1) / o.batch;
  const Tensor z = normal({std::min(x.size(0), 16 * o.batch), o.latent}, DType::f32, {}, 1, device_of(o.run));
  return seconds_of(*models.first, elbo_loss(*models.first), x, o.batch, 2 * o.epochs * per_epoch) +
         seconds_of(*models.second, elbo_loss(*models.second), z, o.batch, (o.second_epochs + 1) * per_epoch);
}

ExperimentPlan plan(Options& o) {
  const std::shared_ptr<const LoadedData> data = load_pixels(o);
  const auto held = std::make_shared<const LoadedData>(load_held_out(o.data, *data, Split::test));
  const int64_t half = held->dataset.points() / 2;
  if (std::min({half, o.points, o.pictures}) <= o.latent)
    fail(
        "[--points] of {} held-out points two halves are compared, {} and {} of each; there must be more "
        "than the {} dimensions of z",
        held->dataset.points(), std::min(half, o.points), std::min(half, o.pictures), o.latent);
  if (o.members >= kJudges) fail("[--members] at most {} models are trained at once", kJudges - 1);
  const TwoStageModels models = models_of(o, data->dataset);
  ExperimentPlan plan{.what = fmt::format("Trains {} dense networks, as many that judge pictures, for {} "
                                          "epochs of {} points, and on z of each a second VAE for {}.",
                                          o.members, o.epochs, data->dataset.points(), o.second_epochs),
                      .data = data};
  plan.units.push_back(
      {.key = kKey,
       .title = "two stages",
       .cost = 2 * training_cost(*models.first, data->dataset.points(), o.epochs) +
               training_cost(*models.second, data->dataset.points(), o.second_epochs),
       .measure = [o, data] { return seconds_of_all(o, *data); },
       .run = [o, data, held](const UnitPlace& place) { return trained(o, *data, *held, place); }});
  plan.present = [o, data](const Outcomes& outcomes, Presentation& p) {
    const Dataset& set = data->dataset;
    TwoStageFindings found = two_stage_findings_from(outcomes.at(kKey));
    found.image = has_pictures(set) ? ImageSize{set.height, set.width, set.channels} : ImageSize{};
    found.setting =
        fmt::format("{} images of {}, {} and {} epochs", set.points(), set.name, o.epochs, o.second_epochs);
    present_two_stages(found, p);
  };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(
      arguments, *o, "10 000 images, three models, 15 epochs, and 10 of a second stage of 256 wide layers");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_common_options(arguments, *o);
  number("--epochs", o->epochs, kCount, "Passes over the data");
  arguments.begin_group("Second stage");
  arguments
      .add_widths("--second-hidden", o->second_hidden, "Widths of its encoder's and its decoder's layers")
      .show_default();
  number("--second-epochs", o->second_epochs, kCount, "Passes over z");
  number("--second-lr", o->second_rate, kPositive, "Adam's learning rate, which falls by a cosine");
  arguments.begin_group("Ensemble");
  number("--members,--seeds", o->members, kCount, "Models, each of two stages, with a judge of its own");
  arguments.begin_group("Distances");
  number("--points", o->points, {2, 10000}, "Held-out points whose z are compared, of each side");
  number("--pictures", o->pictures, {2, 100000}, "Pictures that are compared, of each side");
  number("--knn-repetitions", o->repetitions, {1, 20000},
         "Draws of 100 points that a smooth k-NN is the mean over");
  number("--judge-lambda", o->judge_lambda, kPositive,
         "Weight of the KL of the encoders in whose features pictures are compared");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"asperti-two-stage", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command asperti_two_stage_command{"asperti-two-stage",
                                        "A second VAE on z of the first, and what it mends",
                                        "Sections 6 and 7", "2 h (--quick: 2 min)", add_options};

}  // namespace elbo
