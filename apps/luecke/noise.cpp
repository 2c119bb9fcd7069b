// elbo luecke-noise: Lücke et al., Fig 2. How far the bound of VAE-3 stays from its three entropies where
// training is noisier: (a) as in Fig 1c, for longer, (b) in batches of 100, (c) at five times the rate.
#include "apps/command.h"
#include "apps/luecke/setting.h"
#include "apps/support/statistics.h"

namespace elbo {
namespace {

using namespace luecke;

struct Options : TrainedOptions {
  int64_t runs = 100, epochs = 3000, small_batch = 100;
  double high_rate = 5e-3;
  Options() { has_data = false; }
  template <class F>
  void each(F f) {
    each_common(f);
    f("runs", runs);
    f("epochs", epochs);
    f("small_batch", small_batch);
    f("high_lr", high_rate);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken_common(o, arguments);
  quicken(arguments, o.quick, "--runs", o.runs, 4);
  quicken(arguments, o.quick, "--small-batch", o.small_batch, 50);
  quicken(arguments, o.quick, "--epochs", o.epochs, 1000);
  if (o.small_batch > o.batch)
    fail("[--small-batch] must not be larger than --batch, got {} and {}", o.small_batch, o.batch);
}

std::vector<ToyRuns> settings_of(const Options& o) {
  const auto setting = [&](const char* key, const char* title, int64_t batch, double rate) {
    return ToyRuns{
        .key = key,
        .title = title,
        .model = LueckeModel::vae3,
        .toys = ring_toys(),
        .runs = o.runs,
        .points = o.points,
        .training = {
            .epochs = o.epochs, .batch = batch, .samples = o.samples, .rate = rate, .seed = o.run.seed}};
  };
  return {setting("longer", "as Fig 1c, longer", o.batch, o.rate),
          setting("batch", "small batches", o.small_batch, o.rate),
          setting("rate", "high learning rate", o.batch, o.high_rate)};
}

constexpr int64_t kAveraged = 100;  // epochs

Figure signed_figure(const Recorded& runs) {
  std::vector<std::vector<double>> of_epoch(static_cast<size_t>(runs.epochs()));
  for (size_t m = 0; m < runs.bound.size(); ++m) {
    const std::vector<double> errors = relative_error(runs, m, true);
    for (size_t i = 0; i < of_epoch.size(); ++i) of_epoch[i].push_back(errors[i]);
  }
  std::vector<double> mean;
  for (const std::vector<double>& errors : of_epoch) mean.push_back(statistics_of(errors).mean);
  Figure figure{.x = {"epoch"}, .y = {.label = "difference (% of bound)", .low = -1, .high = 1}};
  figure.series = {{.name = "mean over runs", .x = epochs_of(runs), .y = mean},
                   {.name = "moving average, 100 epochs",
                    .x = epochs_of(runs),
                    .y = moving_average(mean, static_cast<size_t>(kAveraged))}};
  figure.lines.push_back({.at = 0});
  return figure;
}

Figure three_runs(const std::string& title, const Recorded& runs) {
  Figure figure = bound_figure(title, runs, 0);
  figure.series.clear();
  double low = figure.y.low, high = figure.y.high;
  for (size_t m = 0; m < std::min<size_t>(runs.bound.size(), 3); ++m) {
    const Figure own = bound_figure("", runs, m);
    low = std::min(low, own.y.low);
    high = std::max(high, own.y.high);
    for (Series series : own.series) {
      series.name = m == 0 ? series.name : "";
      series.colour = static_cast<int>(m);
      figure.series.push_back(std::move(series));
    }
  }
  figure.y.low = low;
  figure.y.high = high;
  return figure;
}

void present(const Options& o, const Outcomes& outcomes, Presentation& p) {
  FigureGrid grid{.name = "noise", .title = "VAE-3 on rings under noisier training", .columns = 0};
  std::vector<Figure> middle, bottom;
  Table table({"training", Table::number("runs"), Table::number("batch"), Table::number("rate"),
               Table::number("median error (%)"), Table::number("mean error (%)"),
               Table::number("signed deviation (%)"), Table::number("bound above (%)"),
               Table::number("last state (%)")});
  std::vector<double> errors, states;
  const Options paper;
  std::string unlike = unlike_paper(o);
  if (unlike.empty() && (o.small_batch != paper.small_batch || o.high_rate != paper.high_rate))
    unlike = "another small batch or high rate than the paper's";
  if (unlike.empty() && o.epochs <= 1000) unlike = "not longer than Fig 1c";
  const auto claim = [&](const std::string& rule, bool holds, Claim own) {
    p.claims.push_back(judged(unlike, rule, holds, std::move(own)));
  };
  for (const ToyRuns& setting : settings_of(o)) {
    const Recorded runs = recorded(setting, outcomes);
    if (runs.epochs() == 0) continue;
    ++grid.columns;
    grid.cells.push_back(three_runs(setting.title, runs));
    middle.push_back(error_figure("", runs));
    bottom.push_back(signed_figure(runs));
    const double error = final_error(runs);
    const Ending ending = ending_of(runs, kAveraged);
    errors.push_back(error);
    std::vector<double> gaps = gaps_at_end(setting, outcomes, p.directory);
    for (double& gap : gaps) gap = std::abs(gap);
    states.push_back(statistics_of(gaps).median);
    table.row({setting.title, count_text(runs), std::to_string(setting.training.batch),
               fmt::format("{:g}", setting.training.rate), fmt::format("{:.3f}", error),
               fmt::format("{:.3f}", ending.error), fmt::format("{:+.3f}", ending.deviation),
               fmt::format("{:.0f}", ending.above), fmt::format("{:.3f}", states.back())});
    p.result.set(
        setting.key,
        {{"runs", runs.bound.size()},
         {"broken", runs.broken},
         {"error_percent", error},
         {"mean_error_percent", ending.error},
         {"deviation_percent", ending.deviation},
         {"above_percent", ending.above},
         {"last_state_percent", states.back()}},
        "percent of the final bound; above: percent of the last epochs; last_state: median of |bound - "
        "entropies| of the models at the end, on all training points");
    const double limit = setting.key == std::string("longer") ? 0.5 : 1;
    claim(fmt::format("it is at most {:g} %, the median over runs", limit), error <= limit,
          {.claim = fmt::format("{}: the error at the end", setting.title),
           .paper = fmt::format("{} {:g} %", limit < 1 ? "<" : "<=", limit),
           .here = fmt::format("{:.3f} % over {}", error, count_text(runs))});
    claim("it is under half, both means over runs and the last 100 epochs",
          std::abs(ending.deviation) < 0.5 * ending.error,
          {.claim = fmt::format("{}: the signed deviation is smaller than the error", setting.title),
           .paper = "significantly",
           .here = fmt::format("{:+.3f} % beside {:.3f} %", ending.deviation, ending.error)});
    claim("each sign has 10 % of them at least", ending.above >= 10 && ending.above <= 90,
          {.claim = fmt::format("{}: the difference can be positive as well as negative", setting.title),
           .paper = "close to the stationary point",
           .here = fmt::format("positive in {:.0f} % of epochs", ending.above)});
  }
  const auto noisier = [&](const char* what, const char* said, const std::vector<double>& of) {
    if (of.size() == 3)
      claim("both medians are above the first", of[1] > of[0] && of[2] > of[0],
            {.claim = what,
             .paper = said,
             .here = fmt::format("{:.3f}, then {:.3f} and {:.3f} %", of[0], of[1], of[2])});
  };
  noisier("noisier training, larger error", "in both cases", errors);
  noisier("noisier training, larger error of the last state",
          "higher stochasticity of the final fluctuations", states);
  grid.cells.insert(grid.cells.end(), middle.begin(), middle.end());
  grid.cells.insert(grid.cells.end(), bottom.begin(), bottom.end());
  Report& report = p.report.emplace(
      "What noise does to the equality of bound and entropies",
      fmt::format("Lücke et al., Fig 2. VAE-3 on {} rings drawn anew, {} epochs.", o.runs, o.epochs));
  report.section("Training");
  report.figure(
      draw(grid, p.directory.figures()),
      "Top: three runs, their bound and, dashed, their entropies. Middle: median and quartiles over the "
      "runs of the error, |bound - entropies| in percent of the final bound. Bottom: its mean without taking "
      "magnitudes, and the moving average of that.");
  report.table(
      table,
      "At the end: the median error over the runs, averaged over the last twentieth of the epochs; and "
      "over the runs and the last 100 epochs the mean error, the mean without taking magnitudes, and how "
      "often the bound lies above the entropies. In all of these an epoch's bound and entropies are means "
      "over its batches, so that what fluctuates within an epoch cancels, the more the smaller the batches "
      "are. The last state is the median error of the models as they are at the end, on all training "
      "points.");
  p.text = table.text();
}

ExperimentPlan plan(Options& o) {
  ExperimentPlan plan{
      .what = fmt::format("Trains VAE-3 on {} rings in 3 ways, {} epochs each.", o.runs, o.epochs)};
  for (const ToyRuns& setting : settings_of(o))
    for (Unit& unit : units_of(setting, o.run)) plan.units.push_back(std::move(unit));
  plan.present = [o](const Outcomes& outcomes, Presentation& p) { present(o, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Fewer runs, points, samples and epochs");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--runs", o->runs, kCount, "Runs of each setting");
  add_points_option(arguments, *o);
  arguments.begin_group("Optimisation");
  number("--epochs", o->epochs, kCount, "Passes over the data");
  add_step_options(arguments, *o);
  number("--small-batch", o->small_batch, kCount, "Points in a minibatch where batches are small");
  number("--high-lr", o->high_rate, kPositive, "Adam's learning rate where it is high");
  arguments.run([o, &arguments] { run_experiment<Options>({"luecke-noise", prepare, plan}, *o, arguments); });
}

}  // namespace

const Command luecke_noise_command{"luecke-noise", "Bound and entropies where training is noisy", "Fig 2",
                                   "days (--quick: 5 min)", add_options};

}  // namespace elbo
