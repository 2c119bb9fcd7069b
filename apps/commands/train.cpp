// elbo train: trains VAEs on minibatches and writes a run directory. The main job.
#include "apps/commands/train.h"

#include "apps/command.h"
#include "apps/support/arguments.h"
#include "apps/training/resume.h"
#include "apps/training/training_method.h"

namespace elbo {
namespace {

/// What a linear VAE has of the options; the others would be ignored, so naming them is an error.
constexpr const char* kLinear[] = {"--latent", "--sigma2", "--learn-sigma2", "--epochs", "--batch",
                                   "--lr",     "--clip",   "--schedule",     "--init"};

/// The defaults that a linear VAE has instead of a deep one's.
struct LinearDefaults {
  TrainingOptions options;
  LinearDefaults() {
    options.latent = 50;
    options.epochs = 30;
    options.batch = 1000;
    options.rates = {3e-3};
    options.schedule = "cosine";
    options.initializer = "normal:0.001";
  }
};

}  // namespace

void fill_in_defaults(TrainOptions& o, const Arguments& arguments, const std::vector<Argument>& training) {
  const std::string& model = o.training.model;
  if (model != "linear" && model != "mlp" && model != "conv")
    fail("[--model] unknown model '{}'; there are linear, mlp, conv", model);
  if (model != "linear") {
    if (arguments.given("--gradient"))
      fail("[--gradient] is for --model linear; a deep VAE has no analytic ELBO");
    set_model_defaults(o.training, arguments);
    check_method_options(o.training, arguments);
    check_used(o.training, arguments);
    if (!arguments.given("--preprocess")) set_default_preprocess(o.data, o.training);
    return;
  }
  const LinearDefaults linear;
  const auto take_unless_given = [&](const char* option, auto TrainingOptions::*field) {
    if (!arguments.given(option)) o.training.*field = linear.options.*field;
  };
  take_unless_given("--latent", &TrainingOptions::latent);
  take_unless_given("--epochs", &TrainingOptions::epochs);
  take_unless_given("--batch", &TrainingOptions::batch);
  take_unless_given("--lr", &TrainingOptions::rates);
  take_unless_given("--schedule", &TrainingOptions::schedule);
  take_unless_given("--init", &TrainingOptions::initializer);
  for (const Argument& argument : training) {
    const std::string name = argument.name();
    if (argument.given() && std::find(std::begin(kLinear), std::end(kLinear), name) == std::end(kLinear))
      fail("[{}] is for deep VAEs; a linear one does not have it", name);
  }
  if (o.training.sigma2.size() != 1 || o.training.rates.size() != 1)
    fail("[train] a list of --sigma2 or --lr makes an ensemble, which is for deep VAEs");
}

LinearVaeOptions linear_vae_of(const TrainOptions& o, int64_t dimensions) {
  return {.dimensions = dimensions,
          .latent = o.training.latent,
          .sigma2 = o.training.sigma2.at(0),
          .learn_sigma2 = o.training.learn_sigma2,
          .weights = parse_initializer(o.training.initializer),
          .device = device_of(o.run)};
}

Json to_json(const TrainOptions& o) {
  Json config = to_json(o.data, o.run);
  config["gradient"] = o.gradient;
  config["polish"] = o.polish;
  if (o.training.model == "linear" && o.warmup >= 0) config["warmup"] = o.warmup;
  config.update(to_json(o.training));
  add_to_config(config, o.calibration);
  return config;
}

/// The options a run was started with; only how far it goes may change when it is resumed.
void restore(TrainOptions& o, const Json& config) {
  restore(o.data, o.run, config);
  config.at("gradient").get_to(o.gradient);
  o.polish = config.value("polish", int64_t{0});  // runs of an earlier version have none
  o.warmup = config.value("warmup", int64_t{-1});
  restore(o.training, config);
  restore(o.calibration, config);
}

namespace {

/// The options as they were given, with defaults; or those of the run that is resumed.
TrainOptions prepared(TrainOptions o, const Arguments& arguments, const std::vector<Argument>& training) {
  if (o.resume.empty()) {
    fill_in_defaults(o, arguments, training);
    if (o.training.model != "linear") set_calibrated(o.training, o.calibration, arguments);
  } else {
    const TrainOptions asked = o;
    const Json config = begin_resume(o.run, o.resume, "train");
    restore_from(config, arguments, to_json(asked), o.resume, [&] { restore(o, config); });
    keep_changeable(o.run, o.training, asked.run, asked.training, arguments, config);
    if (arguments.given("--epochs") && asked.training.epochs != o.training.epochs) {
      const auto& annealings = o.training.annealings;
      if (!has_one_phase(o.training))
        fail("[--epochs] the phases of this run depend on its {} epochs, which cannot change",
             o.training.epochs);
      if (o.training.schedule != "constant" ||
          std::find(annealings.begin(), annealings.end(), "cyclical") != annealings.end())
        fail(
            "[--epochs] a schedule or an annealing of this run depends on its {} epochs, which cannot change",
            o.training.epochs);
      o.training.epochs = asked.training.epochs;
    }
    if (arguments.given("--polish")) o.polish = asked.polish;
    check_given(o.data, arguments, to_json(asked), to_json(o), o.resume);
  }
  if (o.training.model != "linear" && arguments.given("--polish"))
    fail("[--polish] is for --model linear; a deep VAE has no closed forms");
  return o;
}

void train(const TrainOptions& o, const Arguments& arguments, const std::vector<Argument>& training) {
  if (launched().count > 1)
    return train_at_ranks(
        o, [&](TrainOptions given) { return prepared(std::move(given), arguments, training); });
  const TrainOptions all = prepared(o, arguments, training);
  apply(all.run);
  all.training.model == "linear" ? train_linear(all) : train_deep(all);
}

}  // namespace

std::vector<Argument> add_train_options(Arguments& arguments, TrainOptions& o) {
  arguments.begin_group("Model");
  arguments.add_text("--model", o.training.model, "linear, mlp for hidden layers, or conv for images")
      .show_default();
  add_data_options(arguments, o.data);
  o.data.preprocess_argument->show_default("logit (linear VAE, Bernoulli: scale)");
  add_run_options(arguments, o.run, true);
  const size_t before = arguments.all().size();
  add_optimisation_options(arguments, o.training);
  add_member_options(arguments, o.training);
  add_method_options(arguments, o.training);
  add_network_options(arguments, o.training);
  const auto all = arguments.all();
  arguments.begin_group("Optimisation");
  arguments.add_text("--gradient", o.gradient, "linear: stochastic (reparameterised) or analytic")
      .show_default();
  return {all.begin() + static_cast<std::ptrdiff_t>(before), all.end()};
}

namespace {

void add_options(Arguments& arguments) {
  auto o = std::make_shared<TrainOptions>();
  std::vector<Argument> training = add_train_options(arguments, *o);
  const size_t before = arguments.all().size();
  add_calibration_options(arguments, o->calibration);
  const auto all = arguments.all();
  training.insert(training.end(), all.begin() + static_cast<std::ptrdiff_t>(before), all.end());
  add_validation_options(arguments, o->training.validation);
  arguments.begin_group("Optimisation");
  arguments
      .add_number(
          "--polish", o->polish,
          "linear: after the epochs, sweeps of closed-form steps on the moments of all data, which turn "
          "the decoder's columns into the principal directions; 100 suffice as a rule",
          kCountOrNone)
      .show_default();
  arguments.begin_group("Run");
  arguments.add_text("--resume", o->resume, "Continue the interrupted run in this directory");
  arguments.footer(
      "The defaults shown are those of --model mlp. A linear VAE has --latent 50, --epochs 30, --batch "
      "1000,\n"
      "--lr 0.003, --schedule cosine and --init normal:0.001; a convolutional one --latent 32, --batch 64,\n"
      "--lr 0.0001 and --init kaiming_normal.\n"
      "mpirun -n N elbo train ... trains one model in N processes, which share each batch\n"
      "(docs/many-processors.md).");
  arguments.run([o, &arguments, training] { train(*o, arguments, training); });
}

}  // namespace

const Command train_command{"train", "Train a VAE, or an ensemble, and write a run directory", "",
                            "2 min on MNIST", add_options};

}  // namespace elbo
