// elbo encoders: Lucas et al. 2019, Fig 4. A linear decoder with four encoders, from linear to deep, beside
// the closed form of probabilistic PCA, which no encoder can exceed: the ELBO is at most ln p(x), and the
// decoder is pPCA's.
#include <algorithm>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/lucas/tables.h"
#include "apps/reports/deep_report.h"
#include "apps/support/interrupt.h"
#include "apps/training/deep_metrics_json.h"
#include "apps/training/resume.h"
#include "apps/training/trained_models.h"
#include "vae/ppca.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  TrainingOptions training;
  std::string resume;
  Options() {
    data.subset = 0;
    training.decoder_hidden = "none";
    training.schedule = "cosine";
    training.rates = {3e-4, 1e-3};
  }
};

struct Encoder {
  const char* name;
  const char* folder;
  const char* hidden;
  const char* activation;
};
constexpr Encoder kEncoders[] = {{"linear", "linear/", "none", "none"},
                                 {"deep linear, 1024-512", "deep-linear/", "1024,512", "none"},
                                 {"one hidden layer, 1024 ReLU", "one-hidden/", "1024", "relu"},
                                 {"two hidden layers, 1024-512 ReLU", "two-hidden/", "1024,512", "relu"}};
/// Final ELBOs that the paper gives, in its units; it does not say which encoder is which but for the first.
constexpr const char* kPaper = "-1098.2 (linear), -1108.7, -1112.1, -1119.6";

Json to_json(const Options& o) {
  Json config = to_json(o.data, o.run);
  config.update({{"quick", o.quick}});
  config.update(to_json(o.training));
  return config;
}

void encoders(Options o, const Arguments& arguments) {
  const bool resuming = !o.resume.empty();
  if (resuming) {
    const Options asked = o;
    const Json config = begin_resume(o.run, o.resume, "encoders");
    restore(o.data, o.run, config);
    restore(o.training, config);
    config.at("quick").get_to(o.quick);
    keep_changeable(o.run, o.training, asked.run, asked.training, arguments, config);
    check_given(o.data, arguments, to_json(asked), to_json(o), o.resume);
  } else {
    if (!arguments.given("--preprocess")) set_default_preprocess(o.data, o.training);
    if (!arguments.given("--subset")) quicken(arguments, o.quick, "--limit", o.data.limit, 5000);
    quicken(arguments, o.quick, "--latent", o.training.latent, 50);
    quicken(arguments, o.quick, "--epochs", o.training.epochs, 60);
  }
  apply(o.run);
  const LoadedData data = load_data(o.data, o.run.seed);
  o.data.preprocess = name(data.preprocessing.kind);
  check_training(o.training, members_of(o.training), data);
  if (resuming) check_same_data(data, o.resume);
  if (o.dry_run) {
    const auto points = static_cast<double>(data.dataset.points()) * static_cast<double>(o.training.epochs);
    fmt::print("Trains {} encoders for {} epochs of {} points: about {:.0f} min at 20000 points a second.\n",
               std::size(kEncoders), o.training.epochs, data.dataset.points(), 1 + 4 * points / 20000 / 60);
    return;
  }
  const double to_paper = paper_units_constant(data.dataset, data.preprocessing);
  const Eigen eigen = principal_components(data_moments(data.all()));
  const double maximum = ppca_max_log_likelihood(eigen.values, o.training.latent);

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory directory("encoders", o.run.out,
                         resuming ? RunDirectory::Existing::resume : RunDirectory::Existing::refuse);
  if (!resuming) directory.write_config(to_json(o), data_record(data));
  Result result("encoders", to_json(o), provenance_of(o.run, data));
  Table table({"encoder", Table::number("lr"), Table::number("ELBO"), Table::number("±"),
               Table::number("papers' units"), Table::number("below pPCA"), Table::number("σ²"),
               Table::number("KL"), Table::number("active")});
  Figure figure{.name = "elbo",
                .title = "A linear decoder with four encoders",
                .x = {"epoch"},
                .y = {"nats per data point"}};
  Json rows = Json::array();
  for (const Encoder& encoder : kEncoders) {
    TrainingOptions training = o.training;
    training.encoder_hidden = encoder.hidden;
    training.encoder_activation = encoder.activation;
    const DeepRun run = run_deep(training, members_of(training), data, directory,
                                 {.seed = o.run.seed,
                                  .device = device_of(o.run),
                                  .quiet = o.run.json,
                                  .resume = resuming,
                                  .name = encoder.name,
                                  .folder = encoder.folder});
    if (!run.finished()) return say_interrupted(run, "encoders", directory.path());
    save_models(run, card_of(o.data, data), directory, encoder.folder);
    const size_t best = best_of(run);
    const DeepVaeMetrics& m = run.metrics[best];
    table.row({encoder.name, fmt::format("{:g}", run.members[best].rate), fmt::format("{:.2f}", m.elbo),
               fmt::format("{:.2f}", m.elbo_standard_error), fmt::format("{:.2f}", m.elbo + to_paper),
               fmt::format("{:.2f}", maximum - m.elbo), fmt::format("{:.4f}", m.sigma2),
               fmt::format("{:.2f}", m.kl), fmt::format("{} of {}", m.active_units, m.kl_per_dim.size())});
    Json row = to_json(m);
    row["encoder"] = encoder.name;
    row["lr"] = run.members[best].rate;
    row["elbo_paper_units"] = m.elbo + to_paper;
    row["below_ppca"] = maximum - m.elbo;
    rows.push_back(row);
    figure.series.push_back(
        {.name = encoder.name, .x = run.history[best].epoch, .y = run.history[best].elbo});
  }
  table.row({"pPCA, closed form", "", fmt::format("{:.2f}", maximum), "",
             fmt::format("{:.2f}", maximum + to_paper), "0",
             fmt::format("{:.4f}", ppca_mle_sigma2(eigen.values, o.training.latent)), "", ""});
  // The first epochs reach far below.
  double lowest = maximum - 1;
  for (const Series& series : figure.series) lowest = std::min(lowest, series.y.back());
  figure.y.low = maximum - 1.5 * (maximum - lowest);
  figure.y.high = maximum + 0.1 * (maximum - lowest);
  figure.lines.push_back({.at = maximum, .label = "pPCA maximum"});
  result.set("encoders", rows, kNatsPerPoint);
  result.set("ppca_maximum", maximum, kNatsPerPoint);
  result.set("ppca_maximum_paper_units", maximum + to_paper, kNatsPerPoint);
  Report report(
      "Four encoders for a linear decoder",
      fmt::format("A linear decoder with {} latent dimensions, trained for {} epochs on {} points of {} with "
                  "each of four encoders. Probabilistic PCA says how far any of them can get.",
                  o.training.latent, o.training.epochs, data.dataset.points(), data.dataset.name));
  report.section("Result");
  report.table(
      table,
      fmt::format("Nats per data point on the training data. {}{}", precision_note(1),
                  lucas_table_for(data.dataset, data.preprocessing) == &lucas_tables()[0]
                      ? fmt::format(" The paper's final values, in its units, for k = 200 and 60 000 images: "
                                    "{}.",
                                    kPaper)
                      : ""));
  report.figure(
      draw(figure, directory.figures()),
      "ELBO averaged over each epoch's batches. The dequantisation noise is drawn anew each epoch.");
  conclude(directory, result, report, to_json(o), o.run, table.text());
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "5000 images, 50 units, 60 epochs");
  add_optimisation_options(arguments, o->training);
  add_member_options(arguments, o->training);
  arguments.begin_group("Run");
  arguments.add_text("--resume", o->resume, "Continue the interrupted run in this directory");
  arguments.run([o, &arguments] { encoders(*o, arguments); });
}

}  // namespace

const Command encoders_command{"encoders", "A linear decoder with encoders from linear to deep, beside pPCA",
                               "Fig 4", "45 min (--quick: 3 min)", add_options};

}  // namespace elbo
