// elbo stochastic-elbo: Lucas et al. 2019, Fig 3. The same linear VAE trained by the gradient of the analytic
// ELBO and by that of its one-sample estimate, over a grid of learning rates.
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/lucas/tables.h"
#include "apps/support/arguments.h"
#include "apps/support/best.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/progress.h"
#include "apps/training/model_card.h"
#include "apps/training/model_folder.h"
#include "vae/linear_training.h"
#include "vae/linear_vae_file.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  int64_t latent = 200;
  int64_t steps = 12000;
  std::vector<double> rates{1e-4, 3e-4, 1e-3, 3e-3};
};

struct Curve {
  ElboGradient gradient;
  double rate;
  std::vector<double> step, elbo;
  double last() const { return elbo.back(); }
};

const Curve& best_of(const std::vector<Curve>& curves, ElboGradient gradient) {
  const Curve* best = nullptr;
  for (const Curve& curve : curves)
    if (curve.gradient == gradient && (!best || beats(curve.last(), best->last()))) best = &curve;
  return *best;
}

void stochastic_elbo(Options o, const Arguments& arguments) {
  apply(o.run);
  quicken(arguments, o.quick, "--latent", o.latent, 50);
  quicken(arguments, o.quick, "--steps", o.steps, 3000);
  quicken(arguments, o.quick, "--lr", o.rates, std::vector<double>{1e-3, 3e-3});
  const LoadedData data = load_data(o.data, o.run.seed);
  const auto n = static_cast<double>(data.dataset.points()),
             d = static_cast<double>(data.dataset.dimensions());
  const auto k = static_cast<double>(o.latent), count = static_cast<double>(o.rates.size());
  const double analytic_cost = std::min(10 * n * d * k, 4 * d * d * k + 8 * d * k * k),
               stochastic_cost = 10 * n * d * k;
  const double total = count * static_cast<double>(o.steps) * (analytic_cost + stochastic_cost);
  if (o.dry_run) {
    fmt::print(
        "Trains {} learning rates x 2 gradients for {} full-batch steps: {:.1f} Tflop, about {} min at 100 "
        "Gflop/s.\n",
        o.rates.size(), o.steps, total * 1e-12, std::lround(total / 1e11 / 60) + 1);
    return;
  }
  const DataMoments moments = data_moments(data.all());
  const Eigen eigen = principal_components(moments);
  const double maximum = ppca_max_log_likelihood(eigen.values, o.latent);

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory run("stochastic-elbo", o.run.out);
  Json config = to_json(o.data, o.run);
  config.update({{"latent", o.latent}, {"steps", o.steps}, {"lr", o.rates}});
  run.write_config(config);
  Result result("stochastic-elbo", config, provenance_of(o.run, data));

  // All learning rates of a gradient are the members of one ensemble.
  const Tensor x = centred(data.all(), moments.mean, DType::f32);
  const auto members = static_cast<int64_t>(o.rates.size());
  std::vector<Curve> curves;
  std::vector<SavedMember> saved;
  Progress progress(static_cast<int64_t>(total / 1e9), "stochastic-elbo", {.quiet = o.run.json});
  double done = 0;
  for (ElboGradient gradient : {ElboGradient::analytic, ElboGradient::stochastic}) {
    LinearVae vae({.dimensions = data.dataset.dimensions(),
                   .latent = o.latent,
                   .device = device_of(o.run),
                   .members = members},
                  o.run.seed);
    vae.set_mean(moments.mean);
    FullBatchOptions training;
    training.gradient = gradient;
    training.steps = o.steps;
    training.rates = o.rates;
    training.schedule = {.base = 1};
    training.seed = o.run.seed;
    training.evaluate_every = std::max<int64_t>(o.steps / 60, 1);
    const double cost = count * (gradient == ElboGradient::analytic ? analytic_cost : stochastic_cost) / 1e9;
    const ElboTrace trace =
        train_full_batch(vae, x, moments, training, [&](int64_t step, const std::vector<double>& elbo) {
          progress.update(static_cast<int64_t>(done + cost * static_cast<double>(step)), [&] {
            return fmt::format("{}: best {:.2f} nats of {:.2f}", name(gradient),
                               *std::max_element(elbo.begin(), elbo.end()), maximum);
          });
          return !interrupted();
        });
    done += cost * static_cast<double>(o.steps);
    for (size_t m = 0; m < o.rates.size(); ++m) {
      Curve curve{gradient, o.rates[m], {}, {}};
      for (size_t i = 0; i < trace.step.size(); ++i) {
        curve.step.push_back(static_cast<double>(trace.step[i]));
        curve.elbo.push_back(trace.elbo[i][m]);
      }
      curves.push_back(curve);
      saved.push_back({static_cast<int64_t>(saved.size()),
                       fmt::format("{} gradient, lr {:g}", name(gradient), curve.rate), curve.last()});
      save_linear_vae(run.file(model_name(false, saved.back().member)), vae, static_cast<int64_t>(m),
                      metadata_of(card_of(o.data, data, saved.back().member)));
    }
  }
  progress.finish();
  write_member_list(run, "", saved);
  const bool complete = !interrupted();

  CsvFile csv = run.csv("metrics.csv", {"gradient", "lr", "step", "elbo"});
  for (const Curve& curve : curves)
    for (size_t i = 0; i < curve.step.size(); ++i)
      csv.row({name(curve.gradient), curve.rate, curve.step[i], curve.elbo[i]});
  csv.save();

  const Curve& analytic = best_of(curves, ElboGradient::analytic);
  const Curve& stochastic = best_of(curves, ElboGradient::stochastic);
  Figure figure{.name = "elbo",
                .title = "Analytic against stochastic gradient of the ELBO",
                .x = {"full-batch Adam step"},
                .y = {.label = "exact ELBO (nats per data point)",
                      .low = std::max(analytic.elbo.front(), maximum - 400),
                      .high = maximum + 20}};
  for (const Curve& curve : curves) {
    const auto rate = std::find(o.rates.begin(), o.rates.end(), curve.rate) - o.rates.begin();
    figure.series.push_back({.name = fmt::format("{}, lr {:g}", name(curve.gradient), curve.rate),
                             .x = curve.step,
                             .y = curve.elbo,
                             .style = curve.gradient == ElboGradient::analytic ? Style::line : Style::dashed,
                             .colour = static_cast<int>(rate)});
  }
  figure.lines.push_back({.at = maximum, .label = "pPCA maximum"});
  const Drawing drawing = draw(figure, run.figures());

  Table table({"gradient", Table::number("learning rate"), Table::number("final ELBO"),
               Table::number("below pPCA maximum")});
  Json rows = Json::array();
  for (const Curve& curve : curves) {
    table.row({name(curve.gradient), fmt::format("{:g}", curve.rate), fmt::format("{:.3f}", curve.last()),
               fmt::format("{:.3f}", maximum - curve.last())});
    rows.push_back({{"gradient", name(curve.gradient)}, {"lr", curve.rate}, {"elbo", curve.last()}});
  }
  // The paper's numbers stand beside its own data and latent dimension only.
  const bool beside = is_lucas_subset(data.dataset, data.preprocessing) && o.latent == 200;
  Table summary(beside ? std::vector<Table::Column>{"", Table::number("here"), Table::number("Lucas et al.")}
                       : std::vector<Table::Column>{"", Table::number("nats per data point")});
  const auto row = [&](const char* what, double here, const char* there) {
    std::vector<std::string> cells{what, fmt::format("{:.1f}", here)};
    if (beside) cells.push_back(there);
    summary.row(cells);
  };
  row("analytic gradient, best learning rate", analytic.last(), "950.7");
  row("stochastic gradient, best learning rate", stochastic.last(), "939.3");
  row("difference", analytic.last() - stochastic.last(), "11.4");
  row("pPCA maximum on these data", maximum, "not given");

  result.set("rows", rows, kNatsPerPoint);
  result.set("ppca_maximum", maximum, kNatsPerPoint);
  result.set("analytic", analytic.last(), kNatsPerPoint);
  result.set("stochastic", stochastic.last(), kNatsPerPoint);
  result.set("difference", analytic.last() - stochastic.last(), kNatsPerPoint);
  result.set("complete", complete);

  Report report(
      "What the noise of the ELBO's estimate costs",
      fmt::format(
          "Lucas et al. 2019, Fig 3, on {} points of {}, k = {}, {} full-batch Adam steps. The analytic "
          "gradient ends "
          "{:.2f} nats below pPCA's maximum, the one-sample stochastic gradient {:.2f} nats below it.{}",
          data.dataset.points(), data.dataset.name, o.latent, o.steps, maximum - analytic.last(),
          maximum - stochastic.last(),
          beside ? " A random subset of 1000 images moves the maximum itself by about 10 nats, so compare "
                   "differences with the paper, not levels."
                 : ""));
  report.section(beside ? "Beside the paper" : "Result");
  report.table(summary, "Nats per data point.");
  report.section("Training");
  report.figure(
      drawing,
      "The exact ELBO in f64, whichever gradient drove the training. Solid: analytic; dashed: stochastic.");
  report.table(table, "Every learning rate of the grid.");
  conclude(run, result, report, config, o.run, table.text() + "\n" + summary.text());
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "k = 50, two learning rates, fewer steps");
  arguments.add_number("--latent", o->latent, "Latent dimension", kCount).show_default();
  arguments.add_number("--steps", o->steps, "Full-batch Adam steps", kCount).show_default();
  arguments.add_number("--lr", o->rates, "Learning rates, R[,R...]", kPositive).show_default();
  arguments.run([o, &arguments] { stochastic_elbo(*o, arguments); });
}

}  // namespace

const Command stochastic_elbo_command{"stochastic-elbo", "Analytic against stochastic gradients of the ELBO",
                                      "Fig 3", "12 min (--quick: 1 min)", add_options};

}  // namespace elbo
