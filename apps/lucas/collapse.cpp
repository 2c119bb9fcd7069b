// elbo collapse: Lucas et al. 2019, Tables 1-5 and Figs 5-12. Deep VAEs with sigma^2 fixed or learned
// from ten starts, with annealing or without, all trained together as one ensemble.
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "apps/experiment/deep_unit.h"
#include "apps/experiment/experiment.h"
#include "apps/lucas/collapse_report.h"
#include "apps/training/model_folder.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  TrainingOptions training;
  bool annealed = false;

  Options() {
    data.subset = 0;
    training.sigma2 = {30, 10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001};
    training.rates = {1e-4, 3e-4, 1e-3, 3e-3};
    training.epochs = 1000;
    training.trials = 5;
  }
  template <class F>
  void each(F f) {
    f("annealed", annealed);
    each_training_option(training, f);
  }
};

/// Lucas et al. 2019, section 6.2, for CelebA: k = 500, all else as for MNIST.
void set_conv_defaults(TrainingOptions& training, const Arguments& arguments) {
  TrainingOptions of_model = training;
  set_model_defaults(of_model, arguments);
  if (training.model != "conv") return;
  if (!arguments.given("--latent")) of_model.latent = 500;
  of_model.batch = training.batch;
  of_model.rates = training.rates;
  training = of_model;
}

/// What --quick changes where the user chose nothing: smaller data, narrower networks, fewer epochs, one
/// trial.
struct QuickPreset {
  TrainingOptions training;
  int64_t limit = 5000;
  explicit QuickPreset(bool conv) {
    training.hidden = "256,128";
    training.latent = 100;
    training.epochs = 400;
    training.trials = 1;
    training.rates = {1e-3};
    training.annealing_epochs = 25;
    if (!conv) return;
    limit = 2000;
    training.channels = 8;
    training.epochs = 60;
    training.annealing_epochs = 10;
  }
};

/// Every sigma^2, fixed and learned, with annealing too when asked for; times learning rates; times trials.
std::vector<Member> grid(const Options& o) {
  const TrainingOptions& t = o.training;
  std::vector<Member> members;
  for (int64_t trial = 0; trial < t.trials; ++trial)
    for (double rate : t.rates)
      for (bool annealed : {false, true})
        for (bool learned : {false, true})
          for (double sigma2 : t.sigma2) {
            if (annealed && !o.annealed) continue;
            members.push_back(
                {.index = static_cast<int64_t>(members.size()),
                 .sigma2 = sigma2,
                 .learn_sigma2 = learned,
                 .rate = rate,
                 .weight = {.annealing = annealed ? KlWeight::Annealing::linear : KlWeight::Annealing::none,
                            .epochs = t.annealing_epochs},
                 .trial = trial});
          }
  return members;
}

std::string description(const Options& o, const LoadedData& data) {
  const std::vector<Member> members = grid(o);
  const DeepVaeOptions network = network_of(o.training, {members[0]}, data.dataset);
  const auto each = static_cast<double>(DeepVae(network, 0).parameters().count());
  const size_t together = o.training.rates.size() * static_cast<size_t>(o.training.trials),
               settings = members.size() / together;
  // Values, gradients and two moments in f32.
  return fmt::format(
      "Trains {} models of {:.2f} million parameters: {} settings, which train together in {:.1f} GB, x {} "
      "learning rates x {} trials, {} epochs of {} points.",
      members.size(), each * 1e-6, settings, 16 * each * static_cast<double>(settings) * 1e-9,
      o.training.rates.size(), o.training.trials, o.training.epochs, data.dataset.points());
}

/// A unit for each learning rate and trial: what trains together fits into memory.
std::vector<DeepUnit> units_of(const Options& o) {
  std::vector<DeepUnit> units;
  for (const Member& member : grid(o)) {
    const std::string key = fmt::format("lr-{:g}-trial-{}", member.rate, member.trial);
    if (units.empty() || units.back().key != key)
      units.push_back(
          {key, fmt::format("learning rate {:g}, trial {}", member.rate, member.trial), o.training, {}});
    units.back().members.push_back(member);
  }
  return units;
}

void present(const Options& o, const LoadedData& data, const Outcomes& outcomes, Presentation& p) {
  CollapseRuns runs;
  for (const DeepUnit& unit : units_of(o)) {
    if (!outcomes.has(unit.key)) continue;
    for (const Member& member : unit.members)
      runs.models.push_back(p.directory.file(
          fmt::format("{}/{}", unit.key, model_name(unit.members.size() == 1, member.index))));
    append(runs.record, deep_record_from(outcomes.at(unit.key), unit.members));
  }
  best_of(runs.record);  // throws where there is nothing to say
  const CollapseFindings findings = collapse_findings(runs.record, data);
  set_metrics(p.result, findings);
  p.report = collapse_report(findings, runs, data, o.training, p.directory);
  const std::string note = contradiction_note(findings);
  p.text = collapse_table(findings).text() + (note.empty() ? "" : "\n" + note + "\n");
}

void prepare(Options& o, const Arguments& arguments) {
  if (!arguments.given("--preprocess")) set_default_preprocess(o.data, o.training);
  set_conv_defaults(o.training, arguments);
  const QuickPreset quick(o.training.model == "conv");
  const auto preset = [&](const char* option, auto& value, const auto& instead) {
    quicken(arguments, o.quick, option, value, instead);
  };
  if (!arguments.given("--subset")) preset("--limit", o.data.limit, quick.limit);
  preset("--hidden", o.training.hidden, quick.training.hidden);
  preset("--channels", o.training.channels, quick.training.channels);
  preset("--latent", o.training.latent, quick.training.latent);
  preset("--epochs", o.training.epochs, quick.training.epochs);
  preset("--members", o.training.trials, quick.training.trials);
  preset("--lr", o.training.rates, quick.training.rates);
  preset("--annealing-epochs", o.training.annealing_epochs, quick.training.annealing_epochs);
  // The paper looks at epoch 80 of an annealing over 100.
  if (o.annealed && o.training.evaluate_at.empty())
    o.training.evaluate_at = {std::llround(
        std::clamp<double>(0.8 * o.training.annealing_epochs, 1, static_cast<double>(o.training.epochs)))};
}

ExperimentPlan plan(Options& o) {
  const auto data = std::make_shared<const LoadedData>(load_data(o.data, o.run.seed));
  o.data.preprocess = name(data->preprocessing.kind);
  if (parse_likelihood(o.training.likelihood) != Likelihood::gaussian)
    fail("[--likelihood] this experiment is about sigma^2, which only the gaussian likelihood has");
  check_training(o.training, grid(o), *data);
  ExperimentPlan plan{.what = description(o, *data), .data = data};
  for (const DeepUnit& unit : units_of(o)) plan.units.push_back(unit_of(unit, data, o.data, o.run));
  plan.present = [o, data](const Outcomes& outcomes, Presentation& p) { present(o, *data, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments.begin_group("Model");
  arguments.add_text("--model", o->training.model, "mlp, or conv for images")
      .one_of({"mlp", "conv"})
      .show_default();
  add_experiment_options(
      arguments, *o,
      "5000 images, hidden layers of 256 and 128, 100 units, 400 epochs, one learning rate and trial");
  o->data.preprocess_argument->show_default("logit");
  arguments.add_flag("--annealed", o->annealed,
                     "Also train every setting with the KL annealed (Figs 7 and 8)");
  add_optimisation_options(arguments, o->training);
  add_network_options(arguments, o->training);
  arguments.run([o, &arguments] { run_experiment<Options>({"collapse", prepare, plan}, *o, arguments); });
}

}  // namespace

const Command collapse_command{"collapse", "Posterior collapse of deep VAEs over fixed and learned sigma^2",
                               "Tables 1-5, Figs 5-12", "weeks (--quick: 15 min)", add_options};

}  // namespace elbo
