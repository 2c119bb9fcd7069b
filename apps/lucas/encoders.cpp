// elbo encoders: Lucas et al. 2019, Fig 4. A linear decoder with four encoders, from linear to deep, beside
// the closed form of probabilistic PCA, which no encoder can exceed: the ELBO is at most ln p(x), and the
// decoder is pPCA's.
#include <algorithm>

#include "apps/command.h"
#include "apps/experiment/deep_unit.h"
#include "apps/experiment/experiment.h"
#include "apps/lucas/tables.h"
#include "apps/reports/deep_report.h"
#include "apps/training/deep_metrics_json.h"
#include "vae/ppca.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  TrainingOptions training;
  Options() {
    data.subset = 0;
    training.decoder_hidden = "none";
    training.schedule = "cosine";
    training.rates = {3e-4, 1e-3};
  }
  template <class F>
  void each(F f) {
    each_training_option(training, f);
  }
};

struct Encoder {
  const char* name;
  const char* key;
  const char* hidden;
  const char* activation;
};
constexpr Encoder kEncoders[] = {{"linear", "linear", "none", "none"},
                                 {"deep linear, 1024-512", "deep-linear", "1024,512", "none"},
                                 {"one hidden layer, 1024 ReLU", "one-hidden", "1024", "relu"},
                                 {"two hidden layers, 1024-512 ReLU", "two-hidden", "1024,512", "relu"}};
/// Final ELBOs that the paper gives, in its units; it does not say which encoder is which but for the first.
constexpr double kPaperLinear = -1098.2;
constexpr const char* kPaperOthers = "-1108.7, -1112.1, -1119.6";

void prepare(Options& o, const Arguments& arguments) {
  if (!arguments.given("--preprocess")) set_default_preprocess(o.data, o.training);
  if (!arguments.given("--subset")) quicken(arguments, o.quick, "--limit", o.data.limit, 5000);
  quicken(arguments, o.quick, "--latent", o.training.latent, 50);
  quicken(arguments, o.quick, "--epochs", o.training.epochs, 60);
}

/// pPCA, how far any encoder can get.
struct Limit {
  double log_likelihood, sigma2;
};
Limit limit_of(const Options& o, const LoadedData& data) {
  const Eigen eigen = principal_components(data_moments(data.all()));
  return {ppca_max_log_likelihood(eigen.values, o.training.latent),
          ppca_mle_sigma2(eigen.values, o.training.latent)};
}

void present(const Options& o, const LoadedData& data, const Limit& limit, const Outcomes& outcomes,
             Presentation& p) {
  const double to_paper = paper_units_constant(data.dataset, data.preprocessing);
  const double maximum = limit.log_likelihood;
  Table table({"encoder", Table::number("lr"), Table::number("ELBO"), Table::number("±"),
               Table::number("papers' units"), Table::number("below pPCA"), Table::number("σ²"),
               Table::number("KL"), Table::number("active")});
  Figure figure{.name = "elbo",
                .title = "A linear decoder with four encoders",
                .x = {"epoch"},
                .y = {"nats per data point"}};
  Json rows = Json::array();
  // The paper's setting: its data whole, k = 200.
  const bool published = lucas_table_for(data.dataset, data.preprocessing) == &lucas_tables()[0] &&
                         o.training.latent == 200 && data.dataset.points() == 60000;
  const bool whole =
      o.training.epochs >= 1000 && o.training.schedule == "constant" && o.training.rates.size() >= 4;
  for (const Encoder& encoder : kEncoders) {
    if (!outcomes.has(encoder.key)) continue;
    const DeepRecord run = deep_record_from(outcomes.at(encoder.key), members_of(o.training));
    const size_t best = best_of(run);
    const DeepVaeMetrics& m = run.metrics[best];
    const double rate = run.members[best].rate;
    if (published && &encoder == kEncoders)
      p.claims.push_back(claim_of(
          {.what = "linear encoder, final ELBO",
           .unit = "nats, papers' units",
           .paper = kPaperLinear,
           .here = m.elbo + to_paper,
           .tolerance = 5,
           .note = whole
                       ? fmt::format("the others: {}, not said which", kPaperOthers)
                       : "other epochs, schedule or rates than the paper's: 1000, constant, the best of four",
           .comparable = whole}));
    table.row({encoder.name, fmt::format("{:g}", rate), fmt::format("{:.2f}", m.elbo),
               fmt::format("{:.2f}", m.elbo_standard_error), fmt::format("{:.2f}", m.elbo + to_paper),
               fmt::format("{:.2f}", maximum - m.elbo), fmt::format("{:.4f}", m.sigma2),
               fmt::format("{:.2f}", m.kl), fmt::format("{} of {}", m.active_units, m.kl_per_dim.size())});
    Json row = to_json(m);
    row["encoder"] = encoder.name;
    row["lr"] = rate;
    row["elbo_paper_units"] = m.elbo + to_paper;
    row["below_ppca"] = maximum - m.elbo;
    rows.push_back(row);
    figure.series.push_back(
        {.name = encoder.name, .x = run.history[best].epoch, .y = run.history[best].elbo});
  }
  table.row({"pPCA, closed form", "", fmt::format("{:.2f}", maximum), "",
             fmt::format("{:.2f}", maximum + to_paper), "0", fmt::format("{:.4f}", limit.sigma2), "", ""});
  // The first epochs reach far below.
  double lowest = maximum - 1;
  for (const Series& series : figure.series) lowest = std::min(lowest, series.y.back());
  figure.y.low = maximum - 1.5 * (maximum - lowest);
  figure.y.high = maximum + 0.1 * (maximum - lowest);
  figure.lines.push_back({.at = maximum, .label = "pPCA maximum"});
  p.result.set("encoders", rows, kNatsPerPoint);
  p.result.set("ppca_maximum", maximum, kNatsPerPoint);
  p.result.set("ppca_maximum_paper_units", maximum + to_paper, kNatsPerPoint);
  Report& report = p.report.emplace(
      "Four encoders for a linear decoder",
      fmt::format("A linear decoder with {} latent dimensions, trained for {} epochs on {} points of {} with "
                  "each of four encoders. Probabilistic PCA says how far any of them can get.",
                  o.training.latent, o.training.epochs, data.dataset.points(), data.dataset.name));
  report.section("Result");
  report.table(table, fmt::format("Nats per data point on the training data. {}", precision_note(1)));
  report.figure(
      draw(figure, p.directory.figures()),
      "ELBO averaged over each epoch's batches. The dequantisation noise is drawn anew each epoch.");
  p.text = table.text();
}

ExperimentPlan plan(Options& o) {
  const auto data = std::make_shared<const LoadedData>(load_data(o.data, o.run.seed));
  o.data.preprocess = name(data->preprocessing.kind);
  check_training(o.training, members_of(o.training), *data);
  const Limit limit = limit_of(o, *data);
  ExperimentPlan plan{.what = fmt::format("Trains {} encoders for {} epochs of {} points.",
                                          std::size(kEncoders), o.training.epochs, data->dataset.points()),
                      .data = data};
  for (const Encoder& encoder : kEncoders) {
    DeepUnit unit{encoder.key, encoder.name, o.training, members_of(o.training)};
    unit.training.encoder_hidden = encoder.hidden;
    unit.training.encoder_activation = encoder.activation;
    plan.units.push_back(unit_of(unit, data, o.data, o.run));
  }
  plan.present = [o, data, limit](const Outcomes& outcomes, Presentation& p) {
    present(o, *data, limit, outcomes, p);
  };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "5000 images, 50 units, 60 epochs");
  o->data.preprocess_argument->show_default("logit");
  add_optimisation_options(arguments, o->training);
  add_member_options(arguments, o->training);
  arguments.run([o, &arguments] { run_experiment<Options>({"encoders", prepare, plan}, *o, arguments); });
}

}  // namespace

const Command encoders_command{"encoders", "A linear decoder with encoders from linear to deep, beside pPCA",
                               "Fig 4", "45 min (--quick: 3 min)", add_options};

}  // namespace elbo
