// elbo collapse: Lucas et al. 2019, Tables 1-5 and Figs 5-12. Deep VAEs with sigma^2 fixed or learned
// from ten starts, with annealing or without, all trained together as one ensemble.
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/lucas/collapse_report.h"
#include "apps/support/interrupt.h"
#include "apps/support/text.h"
#include "apps/training/resume.h"
#include "apps/training/trained_models.h"

namespace elbo {
namespace {

struct Options {
  DataOptions data;
  RunOptions run;
  TrainingOptions training;
  bool quick = false, dry_run = false, annealed = false;
  std::string resume;

  Options() {
    training.sigma2 = {30, 10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001};
    training.rates = {1e-4, 3e-4, 1e-3, 3e-3};
    training.epochs = 1000;
    training.trials = 5;
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

Json to_json(const Options& o) {
  Json config = to_json(o.data, o.run);
  config.update({{"quick", o.quick}, {"annealed", o.annealed}});
  config.update(to_json(o.training));
  return config;
}

void restore(Options& o, const Json& config) {
  restore(o.data, o.run, config);
  config.at("quick").get_to(o.quick);
  config.at("annealed").get_to(o.annealed);
  restore(o.training, config);
}

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

void say_plan(const Options& o, const std::vector<Member>& members, const LoadedData& data) {
  const auto count = static_cast<double>(members.size());
  const DeepVaeOptions network = network_of(o.training, {members[0]}, data.dataset);
  const auto each = static_cast<double>(DeepVae(network, 0).parameters().count());
  const double points = static_cast<double>(data.dataset.points()) * static_cast<double>(o.training.epochs);
  const double flops = training_flops(network) * points * count;
  // Values, gradients and two moments in f32.
  fmt::print(
      "Trains {} models of {:.2f} million parameters together: {} settings x {} learning rates x {} trials, "
      "{} epochs "
      "of {} points.\nMemory for parameters and optimiser: {:.1f} GB. {:.0f} Tflop: about {} at 150 "
      "Gflop/s.\n",
      members.size(), each * 1e-6,
      members.size() / (o.training.rates.size() * static_cast<size_t>(o.training.trials)),
      o.training.rates.size(), o.training.trials, o.training.epochs, data.dataset.points(),
      16 * each * count * 1e-9, flops * 1e-12, format_duration(flops / 150e9));
}

std::string text_of(const CollapseFindings& findings) {
  const std::string note = contradiction_note(findings);
  return collapse_table(findings).text() + (note.empty() ? "" : "\n" + note + "\n");
}

void collapse(Options o, const Arguments& arguments) {
  const bool resuming = !o.resume.empty();
  if (resuming) {
    const Options asked = o;
    const Json config = begin_resume(o.run, o.resume, "collapse");
    restore(o, config);
    keep_changeable(o.run, o.training, asked.run, asked.training, arguments, config);
    check_given(o.data, arguments, to_json(asked), to_json(o), o.resume);
  } else {
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
  apply(o.run);
  const std::vector<Member> members = grid(o);
  const LoadedData data = load_data(o.data, o.run.seed);
  o.data.preprocess = name(data.preprocessing.kind);
  if (parse_likelihood(o.training.likelihood) != Likelihood::gaussian)
    fail("[--likelihood] this experiment is about sigma^2, which only the gaussian likelihood has");
  check_training(o.training, members, data);
  if (resuming) check_same_data(data, o.resume);
  if (o.dry_run) return say_plan(o, members, data);

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory directory("collapse", o.run.out,
                         resuming ? RunDirectory::Existing::resume : RunDirectory::Existing::refuse);
  if (!resuming) directory.write_config(to_json(o), data_record(data));
  Result result("collapse", to_json(o), provenance_of(o.run, data));
  const DeepRun run = run_deep(o.training, members, data, directory,
                               {.seed = o.run.seed,
                                .device = device_of(o.run),
                                .quiet = o.run.json,
                                .resume = resuming,
                                .name = "collapse"});
  if (!run.finished()) return say_interrupted(run, "collapse", directory.path());

  save_models(run, card_of(o.data, data), directory);
  const CollapseFindings findings = collapse_findings(run, data);
  set_metrics(result, findings);
  Report report = collapse_report(findings, run, data, o.training, directory);
  conclude(directory, result, report, to_json(o), o.run, text_of(findings));
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments.begin_group("Model");
  arguments.add_text("--model", o->training.model, "mlp, or conv for images")
      .one_of({"mlp", "conv"})
      .show_default();
  add_data_options(arguments, o->data);
  add_run_options(arguments, o->run, true);
  add_optimisation_options(arguments, o->training);
  add_network_options(arguments, o->training);
  arguments.begin_group("Experiment");
  arguments.add_flag("--annealed", o->annealed,
                     "Also train every setting with the KL annealed (Figs 7 and 8)");
  arguments.add_flag(
      "--quick", o->quick,
      "5000 images, hidden layers of 256 and 128, 100 units, 400 epochs, one learning rate and trial");
  arguments.add_flag("--dry-run", o->dry_run, "Say what would be done and what it costs");
  arguments.begin_group("Run");
  arguments.add_text("--resume", o->resume, "Continue the interrupted run in this directory");
  arguments.run([o, &arguments] { collapse(*o, arguments); });
}

}  // namespace

const Command collapse_command{"collapse", "Posterior collapse of deep VAEs over fixed and learned sigma^2",
                               "Tables 1-5, Figs 5-12", "weeks (--quick: 15 min)", add_options};

}  // namespace elbo
