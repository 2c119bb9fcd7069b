// elbo luecke-entropies: Lücke et al., Fig 1. While VAEs of three kinds train, their bound beside the sum of
// their entropies: (a) linear on PCA data, (b) VAE-1 on MNIST, (c) VAE-3 on a ring. At the end they are
// equal, where sigma is learned.
#include "apps/command.h"
#include "apps/luecke/setting.h"
#include "apps/reports/pictures.h"
#include "apps/support/figure_parts.h"
#include "apps/support/statistics.h"

namespace elbo {
namespace {

using namespace luecke;

struct Options : ExperimentOptions {
  int64_t runs = 10, ring_runs = 100, points = 10000, samples = 100, batch = 2000;
  int64_t linear_epochs = 2000, image_epochs = 500, ring_epochs = 1000, latent = 10;
  double rate = 1e-3, fixed_sigma = 0.2;
  Options() { data.subset = 0; }
  template <class F>
  void each(F f) {
    f("runs", runs);
    f("ring_runs", ring_runs);
    f("points", points);
    f("samples", samples);
    f("batch", batch);
    f("linear_epochs", linear_epochs);
    f("image_epochs", image_epochs);
    f("ring_epochs", ring_epochs);
    f("latent", latent);
    f("lr", rate);
    f("fixed_sigma", fixed_sigma);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--runs", o.runs, 3);
  quicken(arguments, o.quick, "--ring-runs", o.ring_runs, 5);
  quicken(arguments, o.quick, "--points", o.points, 1000);
  quicken(arguments, o.quick, "--batch", o.batch, 200);
  quicken(arguments, o.quick, "--samples", o.samples, 10);
  quicken(arguments, o.quick, "--image-epochs", o.image_epochs, 400);
  quicken(arguments, o.quick, "--ring-epochs", o.ring_epochs, 800);
  if (!arguments.given("--subset")) quicken(arguments, o.quick, "--limit", o.data.limit, 1000);
}

RecordedTraining training_of(const Options& o, int64_t epochs) {
  return {.epochs = epochs, .batch = o.batch, .samples = o.samples, .rate = o.rate, .seed = o.run.seed};
}

ToyRuns linear_of(const Options& o) {
  return {.key = "linear",
          .title = "linear VAE on PCA data",
          .model = LueckeModel::linear,
          .toys = pca_toys(),
          .runs = o.runs,
          .points = o.points,
          .training = training_of(o, o.linear_epochs),
          .looks = 400};
}

ToyRuns fixed_of(const Options& o) {
  ToyRuns runs = linear_of(o);
  runs.key = "linear-fixed";
  runs.title = "linear VAE, σ fixed";
  runs.runs = 1;
  runs.looks = 0;
  runs.fixed_sigma = o.fixed_sigma;
  return runs;
}

ToyRuns ring_of(const Options& o) {
  return {.key = "ring",
          .title = "VAE-3 on rings",
          .model = LueckeModel::vae3,
          .toys = ring_toys(),
          .runs = o.ring_runs,
          .points = o.points,
          .training = training_of(o, o.ring_epochs)};
}

/// (b): runs of VAE-1 on the same images, which differ in where they start and in their noise.
Unit image_unit(const Options& o, std::shared_ptr<const LoadedData> data) {
  const auto model = [o, data] {
    return luecke_vae(LueckeModel::vae1,
                      {.dimensions = data->dataset.dimensions(),
                       .latent = o.latent,
                       .device = device_of(o.run),
                       .members = o.runs},
                      o.run.seed);
  };
  const auto x = [o, data] { return data->all().to(DType::f32).to(device_of(o.run)); };
  const RecordedTraining how = training_of(o, o.image_epochs);
  return {.key = "images",
          .title = "VAE-1 on " + data->dataset.name,
          .cost = static_cast<double>(how.epochs * o.runs * data->dataset.points() * how.samples) * 40,
          .measure = [=] { return seconds_of_training(*model(), x(), how); },
          .run = [=](const UnitPlace& place) { return train_recorded(*model(), x(), how, place); }};
}

/// (a), top: the bound beside everything that is known of run 0.
Figure linear_figure(const Recorded& run, const Truth& truth, const Recorded& fixed) {
  Figure figure = bound_figure("linear VAE, PCA data", run, 0);
  Series exact{.name = "exact log-likelihood"}, held_out{.name = "on held-out data"};
  for (const Json& look : run.looks) {
    exact.x.push_back(number_or_nan(look.at("epoch")));
    exact.y.push_back(number_or_nan(look.at("log_likelihood")));
    held_out.y.push_back(number_or_nan(look.at("held_out")));
  }
  held_out.x = exact.x;
  figure.series.push_back(exact);
  figure.series.push_back(held_out);
  if (fixed.epochs() > 0) {
    const std::vector<double> epochs = epochs_of(fixed);
    figure.series.push_back({.name = "σ fixed: lower bound", .x = epochs, .y = fixed.bound[0]});
    figure.series.push_back(
        {.name = "σ fixed: three entropies", .x = epochs, .y = fixed.entropies[0], .style = Style::dashed});
    const double low = std::min(fixed.bound[0].back(), fixed.entropies[0].back());
    figure.y.low = std::min(figure.y.low, low - 0.2 * std::abs(truth.train - low));
    figure.y.high = std::max(figure.y.high, fixed.entropies[0].back() + 0.5);
  }
  figure.lines.push_back({.at = truth.train, .label = "ground truth"});
  return figure;
}

std::string percent(double value) { return fmt::format("{:.3f} %", value); }

/// Whether noise is as small as in the paper.
bool as_published(const Options& o) { return o.samples >= 100 && o.batch >= 2000; }

Claim covers(const Options& o, const std::string& what, const Recorded& runs, const std::string& paper) {
  const double error = final_error(runs);
  return {.claim = fmt::format("{}: |bound - entropies| / |final bound| at the end, median", what),
          .paper = paper,
          .here = fmt::format("{} over {} runs", percent(error), runs.bound.size()),
          .holds = as_published(o) ? std::optional(error < 0.5) : std::nullopt,
          .note = as_published(o) ? "" : "noisier batches than the paper's"};
}

/// What the paper says of the linear VAE.
void add_linear_claims(const Options& o, const Recorded& linear, const Recorded& fixed, const Truth& truth,
                       Presentation& p) {
  p.claims.push_back(covers(o, "linear VAE", linear, "approaches 0"));
  if (!linear.looks.empty()) {
    const double likelihood = number_or_nan(linear.looks.back().at("log_likelihood")),
                 held_out = number_or_nan(linear.looks.back().at("held_out"));
    const double bound = linear.bound[0].back();
    p.claims.push_back({.claim = "linear VAE: bound and entropies end at the log-likelihood",
                        .paper = "converge tight to it",
                        .here = fmt::format("bound {:.3f}, entropies {:.3f}, exact {:.3f} nats", bound,
                                            linear.entropies[0].back(), likelihood),
                        .holds = std::abs(bound - likelihood) < 0.1 &&
                                 std::abs(linear.entropies[0].back() - likelihood) < 0.1});
    p.claims.push_back({.claim = "linear VAE: slight overfitting, training data end above the ground truth",
                        .paper = "a bit above",
                        .here = fmt::format("{:.4f} above, held-out data {:.4f} below theirs",
                                            likelihood - truth.train, truth.test - held_out),
                        .holds = likelihood > truth.train && held_out < truth.test});
  }
  if (fixed.epochs() == 0) return;
  const double gap = fixed.bound[0].back() - fixed.entropies[0].back();
  p.claims.push_back({.claim = "σ fixed to a suboptimal value: a finite gap remains",
                      .paper = "yes",
                      .here = fmt::format("{:.3f} nats", gap),
                      .holds = std::abs(gap) > 0.5});
}

Json summary_of(const Recorded& runs) {
  std::vector<double> errors, bounds;
  for (size_t m = 0; m < runs.bound.size(); ++m) {
    errors.push_back(final_error_of(runs, m));
    bounds.push_back(runs.bound[m].back());
  }
  const Statistics error = statistics_of(errors), bound = statistics_of(bounds);
  return {{"runs", runs.bound.size()},
          {"epochs", runs.epochs()},
          {"error_percent", final_error(runs)},
          {"error_percent_quartiles", {error.lower_quartile, error.upper_quartile}},
          {"bound", bound.mean},
          {"bound_standard_error", finite_or_null(bound.standard_error)}};
}

void present(const Options& o, const Outcomes& outcomes, Presentation& p) {
  const ToyRuns linear_runs = linear_of(o), ring_runs = ring_of(o);
  const Recorded linear = recorded(linear_runs, outcomes), fixed = recorded(fixed_of(o), outcomes),
                 ring = recorded(ring_runs, outcomes),
                 images = outcomes.has("images") ? recorded_from(outcomes.at("images")) : Recorded{};
  FigureGrid grid{.name = "entropies", .title = "Bound and entropies of three VAEs", .columns = 0};
  std::vector<Figure> below;
  Table table({"model", Table::number("runs"), Table::number("epochs"), Table::number("bound"),
               Table::number("entropies"), Table::number("median error (%)")});
  const auto add = [&](const char* name, const Recorded& runs, Figure top) {
    if (runs.epochs() == 0) return;
    grid.cells.push_back(std::move(top));
    below.push_back(error_figure("", runs));
    table.row({name, std::to_string(runs.bound.size()), std::to_string(runs.epochs()),
               fmt::format("{:.3f}", runs.bound[0].back()), fmt::format("{:.3f}", runs.entropies[0].back()),
               fmt::format("{:.3f}", final_error(runs))});
    p.result.set(name, summary_of(runs), "nats per data point; errors in percent of the final bound");
    ++grid.columns;
  };
  if (linear.epochs() > 0) {
    const Truth truth = truth_of(linear_runs);
    add("linear", linear, linear_figure(linear, truth, fixed));
    add_linear_claims(o, linear, fixed, truth, p);
  }
  if (images.epochs() > 0) {
    add("images", images, bound_figure("VAE-1, images", images, 0));
    p.claims.push_back(covers(o, "VAE-1 on images", images, "approaches 0"));
  }
  if (ring.epochs() > 0) {
    const Truth truth = truth_of(ring_runs);
    Figure figure = bound_figure("VAE-3, ring", ring, 0);
    figure.lines.push_back({.at = truth.train, .label = "ground truth"});
    add("ring", ring, std::move(figure));
    p.claims.push_back(covers(o, "VAE-3 on rings", ring, "< 0.5 %"));
    p.claims.push_back({.claim = "VAE-3: the bound stays below the data's own log-likelihood",
                        .paper = "no ground truth available",
                        .here = fmt::format("{:.3f} below", truth.train - ring.bound[0].back()),
                        .holds = ring.bound[0].back() < truth.train,
                        .note = "of the exact density; training data, run 0"});
  }
  grid.cells.insert(grid.cells.end(), below.begin(), below.end());
  Report& report = p.report.emplace("The bound is a sum of three entropies",
                                    "Lücke et al., Fig 1. Where the variances of a VAE are stationary its "
                                    "evidence lower bound is the entropy of "
                                    "the encoder minus those of prior and decoder. Three models, data drawn "
                                    "anew for each run but for images.");
  report.section("Training");
  report.figure(
      draw(grid, p.directory.figures()),
      "Above: bound and entropies of one run, averaged over each epoch's batches before their steps, "
      "beside what is known of the data. Below: median and quartiles over the runs of their relative "
      "difference.");
  report.table(table,
               "At the end; nats per data point of the first run, and the median over the runs of the "
               "relative difference, averaged over the last twentieth of the epochs.");
  p.text = table.text();
}

ExperimentPlan plan(Options& o) {
  const auto data = std::make_shared<const LoadedData>(load_data(o.data, o.run.seed));
  o.data.preprocess = name(data->preprocessing.kind);
  ExperimentPlan plan{.what = fmt::format("Trains {} linear VAEs, {} of VAE-1 and {} of VAE-3.", o.runs + 1,
                                          o.runs, o.ring_runs),
                      .data = data};
  for (const ToyRuns& runs : {linear_of(o), fixed_of(o), ring_of(o)})
    for (Unit& unit : units_of(runs, o.run)) plan.units.push_back(std::move(unit));
  plan.units.push_back(image_unit(o, data));
  plan.present = [o](const Outcomes& outcomes, Presentation& p) { present(o, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Fewer runs, points, samples and epochs");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--runs", o->runs, kCount, "Runs of the linear VAE and of VAE-1");
  number("--ring-runs", o->ring_runs, kCount, "Runs of VAE-3");
  number("--points", o->points, kCount, "Points of a toy data set, for training and for testing");
  arguments.begin_group("Model");
  number("--latent", o->latent, kCount, "Latent dimension of VAE-1");
  number("--fixed-sigma", o->fixed_sigma, kPositive, "Where sigma is fixed: its value");
  arguments.begin_group("Optimisation");
  number("--linear-epochs", o->linear_epochs, kCount, "Epochs of the linear VAE");
  number("--image-epochs", o->image_epochs, kCount, "Epochs of VAE-1");
  number("--ring-epochs", o->ring_epochs, kCount, "Epochs of VAE-3");
  number("--batch", o->batch, kCount, "Points in a minibatch");
  number("--samples", o->samples, kCount, "Draws of z for each point");
  number("--lr", o->rate, kPositive, "Adam's learning rate");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"luecke-entropies", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command luecke_entropies_command{"luecke-entropies",
                                       "The bound of three VAEs beside their three entropies", "Fig 1",
                                       "a day (--quick: 5 min)", add_options};

}  // namespace elbo
