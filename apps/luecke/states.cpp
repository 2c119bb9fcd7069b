// elbo luecke-states: Lücke et al., Fig 3. What VAEs look like while they train: draws of z and their spread,
// data and reconstructions in the plane of the first two principal components, and the bound beside the
// entropies. At four epochs as a picture, and all along as a sequence (the paper's ancillary videos).
#include <cmath>
#include <set>

#include "apps/command.h"
#include "apps/luecke/setting.h"
#include "apps/support/figure_parts.h"

namespace elbo {
namespace {

using namespace luecke;

struct Options : ThreeModelOptions {
  int64_t latent = 2, frames = 40, shown = 1000;
  std::vector<int64_t> at{1, 100, 700};
  template <class F>
  void each(F f) {
    each_common(f);
    f("latent", latent);
    f("frames", frames);
    f("shown", shown);
    f("at", at);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken_common(o, arguments);
  quicken(arguments, o.quick, "--shown", o.shown, 300);
  quicken(arguments, o.quick, "--frames", o.frames, 12);
}

constexpr int64_t kEarly = 700;        // epochs: the paper's early stopping, of our choice of 2000
constexpr int64_t kLikelihoods = 400;  // of a longer training that curves of exact likelihoods show at least

/// One of the three strips.
struct Strip {
  std::string key, title;
  LueckeModel model;
  int64_t latent, epochs;
  ModelCard card;                 // of its models
  Tensor x;                       // (N, D) f32
  Tensor test{};                  // held-out data, where likelihoods are taken
  std::optional<double> truth{};  // ln p(x) of the data's own distribution, nats per data point
};

std::vector<Strip> strips_of(const Options& o, const LoadedData& data) {
  const ToySetsOptions one{.train = o.points, .test = o.points, .seed = o.run.seed};
  const ToySets linear = draw_sets(pca_toys(), one), ring = draw_sets(ring_toys(), one);
  const auto card = [&](const char* toy) { return card_of_toy(toy, 0, o.points, o.run.seed); };
  return {
      {"linear", "linear VAE, PCA data", LueckeModel::linear, 2, o.linear_epochs, card("ppca"),
       linear.train.slice(0).clone(), linear.test.slice(0).clone(), linear.log_likelihoods(Split::train)[0]},
      {"images", "VAE-1, " + kind_of(data.dataset.name), LueckeModel::vae1, o.latent, o.image_epochs,
       card_of(o.data, data), data.all().to(DType::f32)},
      {"ring",
       "VAE-3, ring",
       LueckeModel::vae3,
       2,
       o.ring_epochs,
       card("ppca-ring"),
       ring.train.slice(0).clone(),
       {},
       ring.log_likelihoods(Split::train)[0]}};
}

LueckeOptions options_of(const Options& o, const Strip& strip) {
  return {.dimensions = strip.x.size(1), .latent = strip.latent, .device = device_of(o.run)};
}

std::unique_ptr<Vae> model_of(const Options& o, const Strip& strip) {
  return luecke_vae(strip.model, options_of(o, strip), o.run.seed);
}

/// An epoch that was asked for or, of one beyond the training's end, the same share of it as 700 is of 2000.
int64_t epoch_in(int64_t asked, int64_t epochs) {
  return asked <= epochs ? asked : std::max<int64_t>(epochs * 35 / 100, 1);
}

/// Epochs of the still pictures: those asked for, and the last.
std::set<int64_t> still_epochs(const Options& o, int64_t epochs) {
  std::set<int64_t> at{epochs};
  for (int64_t epoch : o.at) at.insert(epoch_in(epoch, epochs));
  return at;
}

/// They, and some evenly between in the logarithm, as most happens early.
std::set<int64_t> looked_at(const Options& o, int64_t epochs) {
  std::set<int64_t> at = still_epochs(o, epochs);
  for (int64_t i = 0; i < o.frames; ++i)
    at.insert(std::llround(
        std::pow(static_cast<double>(epochs), static_cast<double>(i) / static_cast<double>(o.frames))));
  return at;
}

/// The plane of the data's first two principal components.
struct Plane {
  Tensor mean, axes;  // (D), (D, 2) f64
};
Plane plane_of(const Tensor& x) {
  const DataMoments moments = data_moments(x.to(DType::f64));
  const Eigen eigen = principal_components(moments);
  const Tensor axes = Tensor::empty({x.size(1), 2}, DType::f64);
  for (int64_t d = 0; d < x.size(1); ++d)
    for (int64_t i = 0; i < 2; ++i)
      axes.data<double>()[2 * d + i] = eigen.vectors.at(d * eigen.vectors.size(1) + i);
  return {moments.mean, axes};
}

/// Six digits are more than a picture shows.
double rounded(double value) { return std::stod(fmt::format("{:.6g}", value)); }

/// Columns of x (N, ...) around the plane's mean along its axes: two lists of N.
Json projected(const Tensor& x, const Plane& plane) {
  Json columns = {Json::array(), Json::array()};
  const int64_t dimensions = x.size(1);
  for (int64_t n = 0; n < x.size(0); ++n)
    for (size_t i = 0; i < 2; ++i) {
      double along = 0;
      for (int64_t d = 0; d < dimensions; ++d)
        along +=
            (x.at(n * dimensions + d) - plane.mean.at(d)) * plane.axes.at(2 * d + static_cast<int64_t>(i));
      columns[i].push_back(rounded(along));
    }
  return columns;
}

/// Two columns of (N, k) or (k), a list each.
Json columns_of(const Tensor& values, int64_t points, double (*of)(double)) {
  Json columns = {Json::array(), Json::array()};
  const int64_t width = values.size(-1);
  for (int64_t n = 0; n < points; ++n)
    for (int64_t i = 0; i < 2; ++i)
      columns[static_cast<size_t>(i)].push_back(rounded(of(values.at(
          (values.rank() > 1 && values.size(0) == points ? n * width : 0) + std::min(i, width - 1)))));
  return columns;
}

/// sigma along the plane's axes, of log variances (1) or (N, D).
Json spreads_along(const Tensor& log_variance, int64_t points, const Plane& plane) {
  if (log_variance.elements() == 1)
    return columns_of(log_variance, points, [](double v) { return std::exp(0.5 * v); });
  Json columns = {Json::array(), Json::array()};
  const int64_t dimensions = log_variance.size(-1);
  for (int64_t n = 0; n < points; ++n)
    for (size_t i = 0; i < 2; ++i) {
      double variance = 0;
      for (int64_t d = 0; d < dimensions; ++d)
        variance += std::pow(plane.axes.at(2 * d + static_cast<int64_t>(i)), 2) *
                    std::exp(log_variance.at(n * dimensions + d));
      columns[i].push_back(rounded(std::sqrt(variance)));
    }
  return columns;
}

Json trained(const Options& o, const Strip& strip, const UnitPlace& place) {
  const auto vae = model_of(o, strip);
  const Device device = device_of(o.run);
  const int64_t shown = std::min(o.shown, strip.x.size(0));
  const Tensor points = strip.x.slice(0, shown).to(device);
  const Plane plane = plane_of(strip.x);
  const std::set<int64_t> at = looked_at(o, strip.epochs);
  const RandomKey key{.seed = o.run.seed, .stream = kEvaluation};
  const bool has_test = strip.test.defined();
  const int64_t every = std::max<int64_t>(strip.epochs / kLikelihoods, 1);
  const DataMoments train = has_test ? data_moments(strip.x.to(DType::f64)) : DataMoments{},
                    test = has_test ? data_moments(strip.test.to(DType::f64)) : DataMoments{};
  Json result =
      train_recorded(*vae, strip.x.to(device), o.training(strip.epochs), place, [&](int64_t epoch) -> Json {
        if (!at.contains(epoch))
          return has_test && epoch % every == 0 ? likelihoods_of(*vae, epoch, train, test) : Json{};
        const Posterior q = vae->encode(points);
        const Variable z = vae->draw(q, key).z;
        const Observation p = vae->decode(z);
        const auto here = [](const Variable& v) { return v.value().to(Device::cpu); };
        Json look = has_test ? likelihoods_of(*vae, epoch, train, test) : Json{{"epoch", epoch}};
        look["z"] = columns_of(here(z), shown, [](double v) { return v; });
        look["tau"] = columns_of(here(q.log_variance), shown, [](double v) { return std::exp(0.5 * v); });
        look["x"] = projected(here(p.mean), plane);
        look["sigma"] = spreads_along(here(p.log_variance), shown, plane);
        return look;
      });
  if (result.is_null()) return result;
  save_members(strip.model, options_of(o, strip), *vae, recorded_from(result), place,
               [&](int64_t) { return strip.card; });
  result["data"] = projected(strip.x.slice(0, shown), plane);
  return result;
}

/// Shapes of size 2 spread around points, under the points.
std::vector<Series> with_spread(const Json& points, const Json& spread, const char* name, int colour) {
  const auto list = [](const Json& values, double factor) {
    std::vector<double> numbers = numbers_or_nan(values);
    for (double& number : numbers) number *= factor;
    return numbers;
  };
  const std::vector<double> x = list(points.at(0), 1), y = list(points.at(1), 1);
  return {{.x = x,
           .y = y,
           .style = Style::rectangles,
           .colour = colour,
           .width = list(spread.at(0), 2),
           .height = list(spread.at(1), 2),
           .opacity = 0.04},
          {.name = name, .x = x, .y = y, .style = Style::points, .colour = colour}};
}

/// z-space and x-space of an epoch.
std::vector<Figure> state_figures(const Json& look, const Json& data) {
  const std::string title = fmt::format("epoch {}", look.at("epoch").get<int64_t>());
  Figure z{.title = title, .x = {"z1"}, .y = {"z2"}, .equal = true};
  z.series = with_spread(look.at("z"), look.at("tau"), "z with 2τ", 0);
  Figure x{.title = title, .x = {"first principal component"}, .y = {"second"}, .equal = true};
  x.series = {{.name = "data",
               .x = numbers_or_nan(data.at(0)),
               .y = numbers_or_nan(data.at(1)),
               .style = Style::points,
               .colour = kBlack}};
  for (Series& series : with_spread(look.at("x"), look.at("sigma"), "reconstruction with 2σ", 1))
    x.series.push_back(std::move(series));
  return {z, x};
}

/// Bound and entropies, and their last half again, close.
std::vector<Figure> curves_of(const Strip& strip, const Recorded& run, const std::set<int64_t>& moments) {
  Figure whole = bound_figure("bound and entropies", run, 0);
  if (strip.test.defined())
    for (Series& curve : likelihood_curves(run)) whole.series.push_back(std::move(curve));
  if (strip.truth) add_truth(whole, *strip.truth);
  const auto end = static_cast<double>(run.epochs());
  std::vector<Figure> curves = with_zoom(whole, {.x_low = end / 2, .x_high = end});
  for (const int64_t moment : moments)
    if (moment < run.epochs())
      curves[0].lines.push_back({.at = static_cast<double>(moment), .vertical = true});
  return curves;
}

void present_strip(const Options& o, const Strip& strip, const Recorded& run, const Json& data,
                   Presentation& p) {
  Report& report = *p.report;
  const std::set<int64_t> moments = still_epochs(o, strip.epochs);
  FigureGrid still{.name = strip.key, .title = strip.title};
  std::vector<Figure> z, x;
  std::vector<FigureGrid> frames;
  std::vector<Figure*> all_z, all_x;
  std::vector<size_t> stills;
  for (const Json& look : run.looks) {
    if (!look.contains("z")) continue;
    const auto epoch = look.at("epoch").get<int64_t>();
    if (moments.contains(epoch)) stills.push_back(frames.size());
    frames.push_back({.name = fmt::format("{}_epoch_{}", strip.key, epoch),
                      .title = strip.title,
                      .cells = state_figures(look, data)});
  }
  for (FigureGrid& frame : frames) {
    all_z.push_back(&frame.cells[0]);
    all_x.push_back(&frame.cells[1]);
  }
  share_ranges(all_z);
  share_ranges(all_x);
  for (const size_t i : stills) {
    z.push_back(frames[i].cells[0]);
    x.push_back(frames[i].cells[1]);
  }
  still.columns = static_cast<int>(z.size());
  still.cells = z;
  still.cells.insert(still.cells.end(), x.begin(), x.end());
  report.section(strip.title);
  report.figure(
      draw(still, p.directory.figures()),
      fmt::format("Above: {} draws of z from the encoder{}, each in a rectangle of width 2τ1 and height 2τ2. "
                  "Below: data, and the means that the decoder makes of those z, in rectangles of two σ, "
                  "in the plane of the data's first two principal components.",
                  data.at(0).size(),
                  strip.latent > 2 ? fmt::format(", the first two of {} units", strip.latent) : ""));
  report.figure(draw(FigureGrid{.name = strip.key + "_bound", .cells = curves_of(strip, run, moments)},
                     p.directory.figures()),
                "Bound and entropies, averaged over each epoch's batches, with lines at the moments above; "
                "on the right the second half.");
  std::vector<Frame> pictures;
  for (const FigureGrid& frame : frames)
    pictures.push_back({frame.cells[0].title, draw(frame, p.directory.figures())});
  report.sequence(pictures, "The same all along the training.");

  const int64_t early = epoch_in(o.at.back(), run.epochs());
  const double error = relative_error(run, 0)[static_cast<size_t>(early - 1)];
  p.result.set(strip.key,
               {{"bound", run.bound[0].back()},
                {"entropies", run.entropies[0].back()},
                {"early_epoch", early},
                {"early_error_percent", error},
                {"error_percent", final_error(run)}},
               "nats per data point; errors in percent of the final bound");
  if (strip.key != "linear") return;
  std::string unlike = unlike_paper(o);
  if (unlike.empty() && (early != kEarly || run.epochs() < 2000))
    unlike = fmt::format("not epoch {} of 2000 or more", kEarly);
  p.claims.push_back(judged(unlike, "it is below 1 %, iterations taken to be epochs", error < 1,
                            {.claim = "linear VAE: at early stopping the entropies give the bound already",
                             .paper = "very well, at around 700 iterations",
                             .here = fmt::format("{:.3f} % at epoch {}", error, early)}));
}

void present(const Options& o, const std::vector<Strip>& strips, const Outcomes& outcomes, Presentation& p) {
  Table table({"model", Table::number("epochs"), Table::number("bound"), Table::number("entropies"),
               Table::number("error (%)")});
  p.report.emplace(
      "VAEs while they train",
      "Lücke et al., Fig 3: latent space, data space and bound of three VAEs along their training.");
  for (const Strip& strip : strips) {
    if (!outcomes.has(strip.key)) continue;
    const Json& found = outcomes.at(strip.key);
    const Recorded run = recorded_from(found);
    present_strip(o, strip, run, found.at("data"), p);
    table.row({strip.title, std::to_string(run.epochs()), fmt::format("{:.3f}", run.bound[0].back()),
               fmt::format("{:.3f}", run.entropies[0].back()), fmt::format("{:.3f}", final_error(run))});
  }
  p.text = table.text();
}

ExperimentPlan plan(Options& o) {
  const auto data = std::make_shared<const LoadedData>(load_data(o.data, o.run.seed));
  o.data.preprocess = name(data->preprocessing.kind);
  if (data->dataset.dimensions() < 2 || data->dataset.points() < 2)
    fail("[--data] principal components need two points of two dimensions at least, got {} of {}",
         data->dataset.points(), data->dataset.dimensions());
  if (o.points < 2) fail("[--points] principal components need two points at least, got {}", o.points);
  const std::vector<Strip> strips = strips_of(o, *data);
  ExperimentPlan plan{.what = "Trains a linear VAE, VAE-1 and VAE-3, and looks at them along the way.",
                      .data = data};
  for (const Strip& strip : strips)
    plan.units.push_back(
        {.key = strip.key,
         .title = strip.title,
         .cost = cost_of_training(*model_of(o, strip), strip.x.size(0), o.training(strip.epochs)),
         .measure =
             [o, strip] {
               return seconds_of_training(*model_of(o, strip), strip.x.to(device_of(o.run)),
                                          o.training(strip.epochs));
             },
         .run = [o, strip](const UnitPlace& place) { return trained(o, strip, place); }});
  plan.present = [o, strips](const Outcomes& outcomes, Presentation& p) { present(o, strips, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Fewer points, samples, epochs and frames");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_points_option(arguments, *o);
  number("--shown", o->shown, kCount, "Points in the pictures");
  number("--frames", o->frames, kCount, "Pictures of each sequence");
  number(
      "--at", o->at, kCount,
      "Epochs of the still pictures, E[,E...]; the last is the early stop; one beyond a training's end is at "
      "35 % of it");
  arguments.begin_group("Model");
  number("--latent", o->latent, {2, 1e9L}, "Latent dimension of VAE-1");
  add_step_options(arguments, *o);
  arguments.run([o, &arguments] {
    run_experiment<Options>({"luecke-states", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command luecke_states_command{"luecke-states",
                                    "Latent and data space of three VAEs along their training", "Fig 3",
                                    "40 min (--quick: 4 min)", add_options};

}  // namespace elbo
