// elbo asperti-trajectories: Asperti 2019, Fig 1. Where a VAE with two units puts ten digits, one of each
// class, during its first epoch: circles whose area is the posterior's variance, fading, and the same as a
// sequence.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/asperti/setting.h"
#include "apps/asperti/watched.h"
#include "apps/command.h"
#include "apps/experiment/parts.h"
#include "apps/support/figure_parts.h"
#include "apps/support/statistics.h"
#include "vae/deep_metrics.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

using namespace asperti;

constexpr const char* kKey = "paths";
constexpr size_t kDigits = 10;

struct Options : CommonOptions {
  int64_t epochs = 1, every = 10, members = 10, trail = 8;
  Options() {
    hidden = "256,64,16";
    latent = 2;
  }
  template <class F>
  void each(F f) {
    each_common(f);
    f("epochs", epochs);
    f("every", every);
    f("members", members);
    f("trail", trail);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--members", o.members, 3);
  if (o.latent != 2) fail("[--latent] the plane that is drawn has two dimensions, got {}", o.latent);
}

/// A point of each class, drawn by the seed; where there are no classes, any ten.
std::vector<int64_t> chosen_points(const Dataset& data, uint64_t seed) {
  const Tensor order = permutation(data.points(), {.seed = seed, .stream = kSubset});
  std::vector<int64_t> of_class(kDigits, -1), any;
  for (const int64_t point : order.span<int64_t>()) {
    if (any.size() < kDigits) any.push_back(point);
    if (!data.labels.defined()) continue;
    const auto label = static_cast<size_t>(data.labels.at(point));
    if (label < kDigits && of_class[label] < 0) of_class[label] = point;
  }
  const bool all = std::none_of(of_class.begin(), of_class.end(), [](int64_t point) { return point < 0; });
  return all ? of_class : any;
}

/// Of the first member the ten points, and of all members what the batch says.
Json look_at(const Vae& vae, const Tensor& ten, const Tensor& batch, int64_t step) {
  const Posterior q = vae.encode(ten), of_batch = vae.encode(batch);
  const Variable sigma2 = mean(exp(of_batch.log_variance), {-2, -1});
  const auto of_first = [&](const Variable& values) {
    return rounded(values.value().reshape({vae.models(), -1}).slice(0).to_vector());
  };
  return {{"step", step},
          {"mean", of_first(q.mean)},
          {"sigma2", of_first(exp(q.log_variance))},
          {"batch_sigma2", rounded(sigma2.value().reshape({vae.models()}).to_vector())}};
}

Json trained(const Options& o, const MemberRange& members, const LoadedData& data, const UnitPlace& place) {
  const AspertiOptions network = dense_network(o, data.dataset, members.count, members.first);
  const auto vae = asperti_vae(network, o.run.seed);
  const Tensor x = data.all().to(DType::f32).to(device_of(o.run));
  const Tensor ten = data.rows(chosen_points(data.dataset, o.run.seed)).to(DType::f32).to(device_of(o.run));
  const BatchSource batches = shuffled_batches(x, o.batch, o.run.seed);
  const int64_t steps = o.epochs * batches.per_epoch;
  Training training(vae->parameters(), {{.loss = asperti_loss(*vae), .steps = steps, .rates = {o.rate}}},
                    batches, {.seed = o.run.seed});
  const Watch watch{.look = [&](int64_t step) -> Json {
                      if (step % o.every != 0 && step != steps) return {};
                      return look_at(*vae, ten, batches.batch(std::max<int64_t>(step - 1, 0)), step);
                    },
                    .may_break = members.count < o.members};
  const auto looks = train_watched(training, steps, watch, place);
  if (!looks) return {};
  Json units = Json::array();
  const auto metrics = evaluate_deep_vae(*vae, x, {.seed = o.run.seed, .progress = {}});
  for (const DeepVaeMetrics& m : metrics)
    units.push_back({{"mean", finite_or_null(m.mean_of_mean)}, {"law", finite_or_null(m.variance_law)}});
  save_models(network, *vae, card_of(o.data, data), members_of(metrics, members.first), place);
  Json found{{"looks", *looks}, {"units", units}};
  if (watch.may_break) found[kBroke] = training.steps() < steps;
  return found;
}

/// Of all members, from those of the parts; the ten points are the first member's.
Json joined(const UnitPlace& place, const std::vector<PartOutcome>& parts) {
  check_some_are_left(parts);
  Json all = parts.front().result;
  all.erase(kBroke);
  for (size_t i = 1; i < parts.size(); ++i) {
    append(all.at("units"), parts[i].result.at("units"));
    for (size_t look = 0; look < all.at("looks").size(); ++look)
      append(all.at("looks").at(look).at("batch_sigma2"),
             parts[i].result.at("looks").at(look).at("batch_sigma2"));
  }
  join_models(place, parts);
  return all;
}

/// The ten points' circles at a moment: discs whose area is proportional to sigma_1 sigma_2, of a quarter of
/// that deviation as radius, so that they hide each other less.
std::vector<Series> discs_of(const Json& look, double opacity, bool named) {
  const std::vector<double> mean = numbers_or_nan(look.at("mean")),
                            sigma2 = numbers_or_nan(look.at("sigma2"));
  std::vector<Series> discs;
  for (size_t i = 0; i < mean.size() / 2; ++i) {
    const double across = 0.5 * std::pow(sigma2.at(2 * i) * sigma2.at(2 * i + 1), 0.25);
    discs.push_back({.x = {mean[2 * i]},
                     .y = {mean[2 * i + 1]},
                     .style = Style::ellipses,
                     .colour = static_cast<int>(i),
                     .width = {across},
                     .opacity = opacity,
                     .outlines = named});
    if (named)
      discs.push_back({.name = std::to_string(i),
                       .x = {mean[2 * i]},
                       .y = {mean[2 * i + 1]},
                       .style = Style::points,
                       .colour = static_cast<int>(i)});
  }
  return discs;
}

/// Moments up to one, the older the fainter; `reach` looks back.
Figure moments(const std::vector<Json>& looks, size_t last, size_t reach, const std::string& title) {
  Figure figure{.title = title, .x = {"z1"}, .y = {"z2"}, .equal = true};
  for (size_t i = last > reach ? last - reach : 0; i <= last; ++i) {
    const double age = static_cast<double>(last - i) / static_cast<double>(reach + 1);
    for (Series& disc : discs_of(looks[i], 0.05 + 0.55 * std::pow(1 - age, 1.5), i == last))
      figure.series.push_back(std::move(disc));
  }
  return figure;
}

Figure variance_figure(const std::vector<Json>& looks) {
  Figure figure{.name = "variance",
                .title = "Variance of the posterior",
                .x = {"minibatch"},
                .y = {.label = "mean of σ²(x) over the minibatch", .log = true}};
  std::vector<double> steps;
  std::vector<std::vector<double>> members;
  for (const Json& look : looks) {
    steps.push_back(look.at("step"));
    const std::vector<double> values = numbers_or_nan(look.at("batch_sigma2"));
    members.resize(values.size());
    for (size_t m = 0; m < values.size(); ++m) members[m].push_back(values[m]);
  }
  figure.series = {quartile_band("median and quartiles over the models", steps, members)};
  return figure;
}

void add_claims(const Options& o, const LoadedData& data, const Json& found, Presentation& p) {
  const std::vector<Json> looks = found.at("looks");
  const Statistics first = statistics_of(numbers_or_nan(looks.at(0).at("batch_sigma2"))),
                   last = statistics_of(numbers_or_nan(looks.back().at("batch_sigma2")));
  std::vector<double> off_centre, laws;
  for (const Json& member : found.at("units"))
    for (size_t i = 0; i < 2; ++i) {
      off_centre.push_back(std::abs(numbers_or_nan(member.at("mean")).at(i)));
      laws.push_back(numbers_or_nan(member.at("law")).at(i));
    }
  const Options paper;
  const bool published = kind_of(data.dataset.name) == "mnist" && data.dataset.points() == 60000 &&
                         o.epochs == 1 && o.hidden == paper.hidden && o.batch == paper.batch &&
                         o.lambda == paper.lambda;
  const auto judged = [&](bool holds) { return published ? std::optional(holds) : std::nullopt; };
  const std::string note = published ? "lambda 0.7, Glorot, Adam 0.001: our choice"
                                     : "other data, epochs or network than the paper's";
  p.claims.push_back({.claim = "the variance is close to 1 at the start",
                      .paper = "close to 1 (Fig 1)",
                      .here = fmt::format("{:.2f}", first.mean),
                      .holds = judged(first.mean > 0.5 && first.mean < 2),
                      .note = note});
  p.claims.push_back({.claim = "and gets much smaller within the epoch",
                      .paper = "much smaller",
                      .here = fmt::format("{:.4f}", last.mean),
                      .holds = judged(last.mean < 0.1 * first.mean),
                      .note = note});
  const Statistics centre = statistics_of(off_centre), law = statistics_of(laws);
  p.claims.push_back(
      {.claim = "codes lie around the origin in a Gaussian-like shape",
       .paper = "yes (Fig 1)",
       .here = fmt::format("mean of a unit {:.2f} off 0, variance of its z {:.2f}, medians over {} models",
                           centre.median, law.median, o.members),
       .holds = judged(centre.median < 0.25 && law.median > 0.5 && law.median < 2),
       .note = note});
  p.result.set("sigma2_at_start", finite_or_null(first.mean));
  p.result.set("sigma2_at_end", finite_or_null(last.mean));
  p.result.set("off_centre", finite_or_null(centre.median), "median over units of |mean of mu|");
  p.result.set("variance_law", finite_or_null(law.median), "median over units of Var mu + mean sigma^2");
}

void present(const Options& o, const LoadedData& data, const Outcomes& outcomes, Presentation& p) {
  const Json& found = outcomes.at(kKey);
  const std::vector<Json> looks = found.at("looks");
  const auto label = [&](size_t i) {
    return fmt::format("minibatch {}", looks[i].at("step").get<int64_t>());
  };
  Report& report = p.report.emplace(
      "Ten digits in a plane",
      fmt::format(
          "Asperti 2019, Fig 1. A VAE with two units during its first {}: where it puts ten points, one "
          "of each class where there are classes. A circle's area is proportional to the posterior's "
          "variance, its radius a quarter of the standard deviation.",
          o.epochs == 1 ? "epoch" : fmt::format("{} epochs", o.epochs)));
  report.section("Trajectories");
  const size_t last = looks.size() - 1;
  Figure still = moments(looks, last, last, "Ten points along the training");
  still.name = "trajectories";
  report.figure(draw(still, p.directory.figures()),
                fmt::format("Every {} minibatches; what is older is fainter. The first model.", o.every));
  std::vector<Figure> frames;
  for (size_t i = 0; i < looks.size(); ++i)
    frames.push_back(moments(looks, i, static_cast<size_t>(o.trail), label(i)));
  std::vector<Figure*> all;
  for (Figure& frame : frames) all.push_back(&frame);
  share_ranges(all);
  std::vector<Frame> pictures;
  for (size_t i = 0; i < frames.size(); ++i) {
    frames[i].name = fmt::format("moment_{}", looks[i].at("step").get<int64_t>());
    pictures.push_back({label(i), draw(frames[i], p.directory.figures())});
  }
  report.sequence(pictures, "The same one moment after the other, each with a short trail.");
  report.figure(draw(variance_figure(looks), p.directory.figures()),
                fmt::format("The variance that the encoder gives, over {} models.", o.members));
  add_claims(o, data, found, p);
  p.text =
      fmt::format("{} moments of {} minibatches\n", looks.size(), looks.back().at("step").get<int64_t>());
}

ExperimentPlan plan(Options& o) {
  const std::shared_ptr<const LoadedData> data = load_pixels(o);
  const int64_t points = data->dataset.points();
  if (points < static_cast<int64_t>(kDigits)) fail("[--data] ten points are followed, there are {}", points);
  const int64_t steps = o.epochs * ((points + o.batch - 1) / o.batch);
  ExperimentPlan plan{
      .what = fmt::format("Trains {} dense networks with 2 units for {} steps.", o.members, steps),
      .data = data};
  plan.units.push_back(as_ensemble(
      {.key = kKey,
       .title = "ten points",
       .cost = training_cost(*asperti_vae(dense_network(o, data->dataset, o.members), 0), points, o.epochs),
       .measure =
           [o, data, steps] {
             const auto vae = asperti_vae(dense_network(o, data->dataset, o.members), o.run.seed);
             const Tensor x = data->all().to(DType::f32).to(device_of(o.run));
             return seconds_of(*vae, asperti_loss(*vae), x, o.batch, steps);
           }},
      {.members = o.members,
       .run = [o, data](const UnitPlace& place,
                        const MemberRange& members) { return trained(o, members, *data, place); },
       .join = joined}));
  plan.present = [o, data](const Outcomes& outcomes, Presentation& p) { present(o, *data, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Three models");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_common_options(arguments, *o);
  number("--epochs", o->epochs, kCount, "Passes over the data");
  number("--every", o->every, kCount, "Minibatches between two pictures");
  arguments.begin_group("Ensemble");
  number("--members,--seeds", o->members, kCount, "Models, of which the first is drawn");
  number("--trail", o->trail, kCountOrNone, "Earlier moments that a picture of the sequence shows");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"asperti-trajectories", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command asperti_trajectories_command{"asperti-trajectories",
                                           "Ten digits in a plane during the first epoch", "Fig 1",
                                           "1 min (--quick: 30 s)", add_options};

}  // namespace elbo
