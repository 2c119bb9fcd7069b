// elbo yacoby-table1: Yacoby et al., Table 1. Five ways to train VAEs on data whose model is known, each with
// the best of its settings: how likely test data are, and whether samples look like the data.
#include <algorithm>
#include <chrono>
#include <utility>

#include "apps/command.h"
#include "apps/experiment/training_unit.h"
#include "apps/training/model_card.h"
#include "apps/training/model_folder.h"
#include "apps/yacoby/table1.h"
#include "nn/parameter_file.h"
#include "nn/safetensors.h"
#include "vae/deep_metrics.h"
#include "vae/yacoby_file.h"

namespace elbo {
namespace {

using namespace yacoby;

using Options = Table1Options;

void prepare(Options& o, const Arguments& arguments) {
  const auto list = [&](const char* option, std::vector<std::string>& values,
                        std::vector<std::string> quick) {
    if (o.quick && !arguments.given(option)) values = std::move(quick);
  };
  list("--data-sets", o.kinds, {"linear-jtex"});
  list("--methods", o.methods, {"vae", "libi"});
  list("--settings", o.settings, {"vae", "libi-1-0.5-0.5-1"});
  quicken(arguments, o.quick, "--sets", o.sets, 1);
  quicken(arguments, o.quick, "--epochs", o.epochs, 10000);
}

/// Of each data set the chosen restart, as a model that knows its data.
void save_chosen(const Options& o, const Cell& cell, const Restarts& restarts, const Vae& vae,
                 const Findings& found, const UnitPlace& place) {
  std::vector<int64_t> members;
  for (const Chosen& own : found.chosen) members.push_back(own.member);
  const std::vector<DeepVaeMetrics> metrics = evaluate_deep_vae(
      *alone(restarts, vae, members), restarts.sets().validation, {.seed = o.run.seed, .progress = {}});
  std::vector<SavedMember> list;
  for (size_t s = 0; s < found.chosen.size(); ++s) {
    const int64_t member = found.chosen[s].member, set = static_cast<int64_t>(s);
    if (member < 0) continue;
    ModelCard card = card_of_toy(cell.kind->key, set, o.points, o.run.seed);
    card.member = member;
    save_yacoby_vae(place.directory.file(place.folder + model_name(false, member)), cell.kind->model,
                    restarts.sets().toys[s].truth, vae, member, metadata_of(card));
    list.push_back(
        {member, fmt::format("data set {}, restart {}", set, member % o.restarts), metrics[s].elbo});
  }
  write_member_list(place.directory, place.folder, list);
}

/// Members of a unit's ensemble, and their training.
struct Running {
  Restarts restarts;
  std::unique_ptr<Vae> vae;
  Training training;

  Running(const Options& o, const Cell& cell, const MemberRange& some)
      : restarts(*cell.kind, o, some),
        vae(restarts.model(device_of(o.run), some.count, some.first)),
        training(vae->parameters(),
                 phases_of(cell.setting, *vae, o.epochs, o.rate, restarts.validation().to(vae->device())),
                 whole_set(restarts.train().to(vae->device())), {.seed = o.run.seed}) {}

  /// What their method judges them by; empty where the run was interrupted.
  std::vector<double> train(const Options& o, const Cell& cell, const UnitPlace& place) {
    const auto text = [&] { return fmt::format("{}, step {}", training.phase().name, training.steps()); };
    if (!run_training(training, o.epochs, place, text)) return {};
    return scores_of(cell.setting, *vae, training, restarts.validation().to(vae->device()), o.run.seed);
  }
};

MemberRange all_members(const Options& o) { return {0, o.sets * o.restarts}; }

/// The restarts that the scores prefer, measured and kept.
Json chosen(const Options& o, const Cell& cell, const Restarts& restarts, const Vae& vae,
            const std::vector<double>& scores, const UnitPlace& place) {
  const Findings found =
      find_out(*cell.kind, scores, restarts, vae, o, o.importance_samples, o.knn_repetitions);
  save_chosen(o, cell, restarts, vae, found, place);
  return to_json(found);
}

Json trained(const Options& o, const Cell& cell, const UnitPlace& place) {
  Running all(o, cell, all_members(o));
  const std::vector<double> scores = all.train(o, cell, place);
  if (scores.empty()) return {};
  return chosen(o, cell, all.restarts, *all.vae, scores, place);
}

/// Some of the restarts: which of a data set's is the best is found from all of them.
Json trained_part(const Options& o, const Cell& cell, const UnitPlace& place, const MemberRange& some) {
  Running part(o, cell, some);
  const std::vector<double> scores = part.train(o, cell, place);
  if (scores.empty()) return {};
  for (int64_t m = 0; m < some.count; ++m)
    save_parameters(place.directory.file(place.folder + model_name(false, some.first + m)),
                    part.vae->parameters(), m);
  return finite_or_null(scores);
}

Json joined(const Options& o, const Cell& cell, const UnitPlace& place,
            const std::vector<PartOutcome>& parts) {
  const Restarts restarts(*cell.kind, o);
  const auto vae = restarts.model(device_of(o.run), restarts.members());
  std::vector<double> scores;
  for (const PartOutcome& part : parts)
    for (const double score : numbers_or_nan(part.result)) {
      const auto member = static_cast<int64_t>(scores.size());
      load_parameters(
          read_safetensors(place.directory.path() + "/" + part.folder + model_name(false, member)),
          vae->parameters(), member);
      scores.push_back(score);
    }
  return chosen(o, cell, restarts, *vae, scores, place);
}

double seconds_for(const Options& o, const Cell& cell) {
  Running all(o, cell, all_members(o));
  return seconds_of(all.training, std::max<int64_t>(o.epochs - 1, 1));
}

/// A measure that units have in common, which tells those apart that take other steps.
double cost_of(const Options& o, const Cell& cell) {
  return static_cast<double>(o.epochs * o.sets * o.restarts * o.points) * cell.kind->cost *
         (cell.setting.method == Method::libi ? 1.5 : 1);
}

/// A repetition of the statistic takes as long as training so many points for one step does, about.
constexpr double kTruthCost = 2000;

/// What the same is of the truth: of every data set.
Json of_truth(const Options& o, const DataKind& kind) {
  const Restarts restarts(kind, o);
  return {{"log_likelihoods", restarts.sets().log_likelihoods(Split::test)},
          {"knn", knn_of_truth(restarts.sets(), o.knn_repetitions, o.run.seed)}};
}

double seconds_for_truth(Options o, const DataKind& kind) {
  const int64_t sets = std::exchange(o.sets, 1);
  const auto start = std::chrono::steady_clock::now();
  (void)of_truth(o, kind);
  const std::chrono::duration<double> of_one = std::chrono::steady_clock::now() - start;
  return of_one.count() * static_cast<double>(sets);
}

EnsembleParts parts_of(const Options& o, const Cell& cell) {
  return {.members = all_members(o).count,
          .run = [o, cell](const UnitPlace& place,
                           const MemberRange& some) { return trained_part(o, cell, place, some); },
          .join = [o, cell](const UnitPlace& place,
                            const std::vector<PartOutcome>& parts) { return joined(o, cell, place, parts); }};
}

ExperimentPlan plan(Options& o) {
  const std::vector<Cell> cells = cells_of(o);
  for (const Cell& cell : cells) check_length(cell.setting, o.epochs);
  ExperimentPlan plan{.what = fmt::format("Trains {} settings on {} data sets x {} restarts, {} steps each.",
                                          cells.size(), o.sets, o.restarts, o.epochs)};
  for (const Cell& cell : cells)
    plan.units.push_back({.key = cell.key(),
                          .title = fmt::format("{}, {}", cell.kind->title, title_of(cell.setting)),
                          .cost = cost_of(o, cell),
                          .measure = [o, cell] { return seconds_for(o, cell); },
                          .run = [o, cell](const UnitPlace& place) { return trained(o, cell, place); },
                          .ensemble = parts_of(o, cell)});
  for (const DataKind* kind : kinds_of(o))
    plan.units.push_back({.key = truth_key(*kind),
                          .title = fmt::format("{}, the truth", kind->title),
                          .cost = static_cast<double>(o.sets * o.knn_repetitions) * kTruthCost,
                          .measure = [o, kind] { return seconds_for_truth(o, *kind); },
                          .run = [o, kind](const UnitPlace&) { return of_truth(o, *kind); }});
  plan.present = [o](const Outcomes& outcomes, Presentation& p) { present_table1(o, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o,
                         "LinearJTEx, VAE and one setting of LiBI, one data set, 10 000 steps");
  arguments.add_texts("--data-sets", o->kinds, "linear-jtex, cubic-jtex, gaussian, mobius; by default all");
  arguments.add_texts("--methods", o->methods, "vae, beta, anneal, lagging, libi; by default all");
  arguments.add_texts("--settings", o->settings,
                      "Of their settings, by key, these only: beta-0.5,lagging-40");
  arguments.begin_group("Training");
  add_restart_options(arguments, *o);
  arguments.begin_group("Evaluation");
  arguments
      .add_number("--importance-samples", o->importance_samples,
                  "z for each test point where ln p(x) is not exact", kCount)
      .show_default();
  arguments
      .add_number("--knn-repetitions", o->knn_repetitions,
                  "Draws of 100 + 100 points that smooth k-NN is averaged over", kCount)
      .show_default();
  arguments.run([o, &arguments] {
    run_experiment<Options>({"yacoby-table1", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command yacoby_table1_command{"yacoby-table1",
                                    "VAE, β-VAE, annealing, lagging and LiBI where the truth is known",
                                    "Table 1", "a night (--quick: 1 min)", add_options};

}  // namespace elbo
