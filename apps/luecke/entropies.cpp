// elbo luecke-entropies: Lücke et al., Fig 1. While VAEs of three kinds train, their bound beside the sum of
// their entropies: (a) linear on PCA data, (b) VAE-1 on MNIST, (c) VAE-3 on a ring. At the end they are
// equal, where sigma is learned.
#include "apps/command.h"
#include "apps/experiment/parts.h"
#include "apps/luecke/setting.h"

#include "apps/support/statistics.h"

namespace elbo {
namespace {

using namespace luecke;

struct Options : ThreeModelOptions {
  int64_t runs = 10, ring_runs = 100, latent = 10;
  double fixed_sigma = 0.2;
  template <class F>
  void each(F f) {
    each_common(f);
    f("runs", runs);
    f("ring_runs", ring_runs);
    f("latent", latent);
    f("fixed_sigma", fixed_sigma);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken_common(o, arguments);
  quicken(arguments, o.quick, "--runs", o.runs, 3);
  quicken(arguments, o.quick, "--ring-runs", o.ring_runs, 5);
}

ToyRuns linear_of(const Options& o) {
  return {.key = "linear",
          .title = "linear VAE on PCA data",
          .model = LueckeModel::linear,
          .toys = pca_toys(),
          .runs = o.runs,
          .points = o.points,
          .training = o.training(o.linear_epochs),
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
          .training = o.training(o.ring_epochs)};
}

/// (b): runs of VAE-1 on the same images, which differ in where they start and in their noise.
LueckeOptions image_model(const Options& o, const LoadedData& data, const MemberRange& runs) {
  return {.dimensions = data.dataset.dimensions(),
          .latent = o.latent,
          .device = device_of(o.run),
          .members = runs.count,
          .first_member = runs.first};
}

Tensor images_in(const Options& o, const LoadedData& data) {
  return data.all().to(DType::f32).to(device_of(o.run));
}

Json trained_on_images(const Options& o, const LoadedData& data, const MemberRange& runs,
                       const UnitPlace& place) {
  RecordedTraining how = o.training(o.image_epochs);
  how.may_break = runs.count < o.runs;
  const LueckeOptions options = image_model(o, data, runs);
  const auto vae = luecke_vae(LueckeModel::vae1, options, o.run.seed);
  Json result = train_recorded(*vae, images_in(o, data), how, place);
  if (!result.is_null())
    save_members(LueckeModel::vae1, options, *vae, recorded_from(result), place,
                 [&](int64_t) { return card_of(o.data, data); });
  return result;
}

Unit image_unit(const Options& o, std::shared_ptr<const LoadedData> data) {
  const auto model = [o, data] {
    return luecke_vae(LueckeModel::vae1, image_model(o, *data, {0, o.runs}), o.run.seed);
  };
  const RecordedTraining how = o.training(o.image_epochs);
  return as_ensemble(
      {.key = "images",
       .title = "VAE-1 on " + kind_of(data->dataset.name),
       .cost = cost_of_training(*model(), data->dataset.points(), how),
       .measure = [=] { return seconds_of_training(*model(), images_in(o, *data), how); }},
      {.members = o.runs,
       .run = [o, data](const UnitPlace& place,
                        const MemberRange& runs) { return trained_on_images(o, *data, runs, place); },
       .join = join_recorded});
}

/// (a), top: the bound beside everything that is known of the run.
Figure linear_figure(const Recorded& run, const Truth& truth, const Recorded& fixed) {
  Figure figure = bound_figure("linear VAE, PCA data", run, 0);
  for (Series& curve : likelihood_curves(run)) figure.series.push_back(std::move(curve));
  if (fixed.epochs() > 0) {
    const std::vector<double> epochs = epochs_of(fixed);
    figure.series.push_back({.name = "σ fixed: lower bound", .x = epochs, .y = fixed.bound[0]});
    figure.series.push_back(
        {.name = "σ fixed: three entropies", .x = epochs, .y = fixed.entropies[0], .style = Style::dashed});
    const double low = std::min(fixed.bound[0].back(), fixed.entropies[0].back());
    figure.y.low = std::min(figure.y.low, low - 0.2 * std::abs(truth.train - low));
    figure.y.high = std::max(figure.y.high, fixed.entropies[0].back() + 0.5);
  }
  add_truth(figure, truth.train);
  return figure;
}

/// Why a training says nothing of the paper's; empty where it does.
std::string unlike_paper(const Options& o, int64_t epochs, int64_t published) {
  const std::string unlike = luecke::unlike_paper(o);
  return unlike.empty() && epochs < published ? fmt::format("fewer than {} epochs", published) : unlike;
}

Claim covers(const std::string& what, const Recorded& runs, const std::string& paper,
             const std::string& unlike) {
  const double error = final_error(runs);
  return judged(unlike, "it is below 0.5 % over the last twentieth of the epochs", error < 0.5,
                {.claim = fmt::format("{}: |bound - entropies| / |final bound| at the end, median", what),
                 .paper = paper,
                 .here = fmt::format("{:.3f} % over {}", error, count_text(runs))});
}

/// The mean of a likelihood over the last twentieth of the looks: a single one moves with Adam's last steps.
double late_mean(const Recorded& run, const char* what) {
  std::vector<double> late;
  const size_t count = run.looks.size();
  for (size_t i = count - std::max<size_t>(count / 20, 1); i < count; ++i)
    late.push_back(number_or_nan(run.looks[i].at(what)));
  return statistics_of(late).mean;
}

/// What the paper says of the linear VAE.
void add_linear_claims(const Options& o, const Recorded& linear, const Truth& truth, Presentation& p) {
  const std::string unlike = unlike_paper(o, o.linear_epochs, 2000);
  p.claims.push_back(covers("linear VAE", linear, "approaches 0", unlike));
  if (linear.looks.empty()) return;
  const double likelihood = late_mean(linear, "log_likelihood"), held_out = late_mean(linear, "held_out");
  const double bound = linear.bound[0].back(), entropies = linear.entropies[0].back();
  p.claims.push_back(judged(unlike, "both are within 0.1 nats",
                            std::abs(bound - likelihood) < 0.1 && std::abs(entropies - likelihood) < 0.1,
                            {.claim = "linear VAE: bound and entropies end at the log-likelihood",
                             .paper = "converge tight to it",
                             .here = fmt::format("bound {:.3f}, entropies {:.3f}, exact {:.3f} nats", bound,
                                                 entropies, likelihood)}));
  p.claims.push_back(judged(unlike, "both are within 0.1 nats",
                            std::abs(bound - truth.train) < 0.1 && std::abs(entropies - truth.train) < 0.1,
                            {.claim = "linear VAE: bound and entropies recover the ground truth",
                             .paper = "well",
                             .here = fmt::format("bound {:+.4f}, entropies {:+.4f} nats", bound - truth.train,
                                                 entropies - truth.train)}));
  // 30 free numbers overfit by half a nat each, over all points.
  p.claims.push_back(
      judged(unlike,
             fmt::format("training data are above it, held-out data below; in theory by about {:.4f} nats",
                         15.0 / static_cast<double>(o.points)),
             likelihood > truth.train && held_out < truth.test,
             {.claim = "linear VAE: slight overfitting, training data end above the ground truth",
              .paper = "a bit above",
              .here = fmt::format("{:+.4f} nats, held-out data {:+.4f}", likelihood - truth.train,
                                  held_out - truth.test)}));
}

void add_fixed_claim(const Options& o, const Recorded& fixed, Presentation& p) {
  const double gap = fixed.bound[0].back() - fixed.entropies[0].back();
  const double theory = gap_of_fixed_sigma(fixed_of(o), fixed.first_run);
  std::string unlike = unlike_paper(o, o.linear_epochs, 2000);
  if (std::abs(theory) < 0.1) unlike = "this σ is close to the data's own";
  p.claims.push_back(judged(unlike, "it is within 10 % of theory's",
                            std::abs(gap - theory) < 0.1 * std::abs(theory),
                            {.claim = "linear VAE with σ fixed: a finite gap remains",
                             .paper = "at convergence",
                             .here = fmt::format("{:.3f} nats with σ = {:g}; theory at the optimum {:.3f}",
                                                 gap, o.fixed_sigma, theory)}));
}

/// What the paper says of VAE-3 in words.
void add_ring_claims(const Options& o, const Recorded& ring, const Truth& truth, Presentation& p) {
  const std::string unlike = unlike_paper(o, o.ring_epochs, 1000);
  p.claims.push_back(covers("VAE-3 on rings", ring, "< 0.5 %", unlike));
  const Ending ending = ending_of(ring, std::max<int64_t>(ring.epochs() / 20, 1));
  p.claims.push_back(judged(
      unlike, "each is the larger in 10 % of the last twentieth of the epochs at least",
      ending.above >= 10 && ending.above <= 90,
      {.claim = "VAE-3 on rings: the entropies fluctuate around the bound",
       .paper = "by the sampling noise of σ(z)",
       .here =
           fmt::format("bound above in {:.0f} % of epochs; {:+.3f} % on average, beside {:.3f} % of error",
                       ending.above, ending.deviation, ending.error)}));
  const EarlyAgreement early = early_agreement(ring);
  const bool happens = 2 * early.runs >= ring.bound.size();
  p.claims.push_back(judged(
      unlike.empty() && !happens ? "not in half of the runs" : unlike,
      "that is 0.1 nats at least, in the median", early.below > 0.1,
      {.claim = "VAE-3 on rings: the gap is small before the bound has converged",
       .paper = "might become so, at saddles",
       .here = early.runs == 0
                   ? "never below 0.5 % over 20 epochs"
                   : fmt::format("first below 0.5 %, over 20 epochs, at epoch {:.0f}, {:.3f} nats below the "
                                 "end, in {} of {}",
                                 early.epoch, early.below, early.runs, count_text(ring))}));
  p.claims.push_back(
      {.claim = "VAE-3: the bound beside the data's own log-likelihood",
       .paper = "no ground truth available",
       .here = fmt::format("{:+.3f} nats, run {}", ring.bound[0].back() - truth.train, ring.first_run),
       .note = "the exact density of the ring, on the training data"});
}

Json summary_of(const Recorded& runs) {
  std::vector<double> errors, bounds;
  for (size_t m = 0; m < runs.bound.size(); ++m) {
    errors.push_back(final_error_of(runs, m));
    bounds.push_back(runs.bound[m].back());
  }
  const Statistics error = statistics_of(errors), bound = statistics_of(bounds);
  return {{"runs", runs.bound.size()},
          {"broken", runs.broken},
          {"epochs", runs.epochs()},
          {"error_percent", finite_or_null(final_error(runs))},
          {"error_percent_of_runs_quartiles",
           {finite_or_null(error.lower_quartile), finite_or_null(error.upper_quartile)}},
          {"bound", finite_or_null(bound.mean)},
          {"bound_standard_error", finite_or_null(bound.standard_error)}};
}

void present(const Options& o, int64_t points_of_images, const Outcomes& outcomes, Presentation& p) {
  const ToyRuns linear_runs = linear_of(o), ring_runs = ring_of(o);
  const Recorded linear = recorded(linear_runs, outcomes), fixed = recorded(fixed_of(o), outcomes),
                 ring = recorded(ring_runs, outcomes),
                 images = outcomes.has("images") ? without_broken(recorded_from(outcomes.at("images")))
                                                 : Recorded{};
  FigureGrid grid{.name = "entropies", .columns = 0};
  std::vector<Figure> below;
  Table table({"model", Table::number("runs"), Table::number("epochs"), Table::number("bound"),
               Table::number("entropies"), Table::number("median error (%)")});
  const auto add = [&](const char* name, const Recorded& runs, Figure top) {
    if (runs.epochs() == 0) return;
    grid.cells.push_back(std::move(top));
    below.push_back(error_figure("", runs));
    table.row({name, count_text(runs), std::to_string(runs.epochs()),
               fmt::format("{:.3f}", runs.bound[0].back()), fmt::format("{:.3f}", runs.entropies[0].back()),
               fmt::format("{:.3f}", final_error(runs))});
    p.result.set(name, summary_of(runs), "nats per data point; errors in percent of the final bound");
    ++grid.columns;
  };
  if (linear.epochs() > 0) {
    const Truth truth = truth_of(linear_runs, linear.first_run);
    add("linear", linear, linear_figure(linear, truth, linear.first_run == 0 ? fixed : Recorded{}));
    add_linear_claims(o, linear, truth, p);
  }
  if (fixed.epochs() > 0) {
    if (linear.epochs() == 0) add("linear, σ fixed", fixed, bound_figure("linear VAE, σ fixed", fixed, 0));
    add_fixed_claim(o, fixed, p);
  }
  if (images.epochs() > 0) {
    add("images", images, bound_figure("VAE-1, images", images, 0));
    std::string unlike = unlike_paper(o, o.image_epochs, 500);
    if (kind_of(o.data.data) != "mnist" || points_of_images != 60000)
      unlike = "other images than the paper's, MNIST's 60 000";
    p.claims.push_back(covers("VAE-1 on images", images, "approaches 0", unlike));
  }
  if (ring.epochs() > 0) {
    const Truth truth = truth_of(ring_runs, ring.first_run);
    Figure figure = bound_figure("VAE-3, ring", ring, 0);
    add_truth(figure, truth.train);
    add("ring", ring, std::move(figure));
    add_ring_claims(o, ring, truth, p);
  }
  grid.title = grid.columns == 1 ? "Bound and entropies of a VAE"
                                 : fmt::format("Bound and entropies of {} VAEs", grid.columns);
  grid.cells.insert(grid.cells.end(), below.begin(), below.end());
  Report& report = p.report.emplace("The bound is a sum of three entropies",
                                    "Lücke et al., Fig 1. Where the variances of a VAE are stationary its "
                                    "evidence lower bound is the entropy of "
                                    "the encoder minus those of prior and decoder. Data are drawn anew for "
                                    "each run, but for images.");
  report.section("Training");
  report.figure(
      draw(grid, p.directory.figures()),
      fmt::format(
          "Above: bound and entropies of one run, averaged over each epoch's batches before their steps, "
          "beside what is known of the data. Below: median and quartiles over the runs of the error, "
          "|bound - entropies| in percent of the final bound.{}",
          images.epochs() > 0 ? " Runs on images see the same batches, so their errors move together." : ""));
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
  plan.present = [o, data](const Outcomes& outcomes, Presentation& p) {
    present(o, data->dataset.points(), outcomes, p);
  };
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
  add_points_option(arguments, *o);
  arguments.begin_group("Model");
  number("--latent", o->latent, kCount, "Latent dimension of VAE-1");
  number("--fixed-sigma", o->fixed_sigma, kPositive, "Where sigma is fixed: its value");
  add_step_options(arguments, *o);
  arguments.run([o, &arguments] {
    run_experiment<Options>({"luecke-entropies", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command luecke_entropies_command{"luecke-entropies",
                                       "The bound of three VAEs beside their three entropies", "Fig 1",
                                       "9 h (--quick: 5 min)", add_options};

}  // namespace elbo
