// elbo yacoby-posteriors: Yacoby et al., Figs 2 to 5. Posterior means of every training point: of the true
// model and of learned ones, exact and as encoders give them. A VAE's model is not the true one; LiBI's is.
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/experiment/training_unit.h"
#include "apps/support/figure.h"
#include "apps/yacoby/findings.h"
#include "vae/elbo_loss.h"
#include "vae/importance.h"

namespace elbo {
namespace {

using namespace yacoby;

constexpr int64_t kShortest = 3000;             // steps after which a verdict is given,
constexpr double kApart = 0.1;                  // the share by which the distances must differ,
constexpr double kNear = 0.1, kFar = 0.2;       // and those at which means are called the same, or not
constexpr const char* kCodes = "yacoby.codes";  // of a training's notes: h(x) at the end of LiBI's first step

struct Options : RestartOptions {
  std::vector<std::string> kinds{"linear-jtex", "cubic-jtex"};
  double eps_hz = 1, eps_sigma = 0.5, eps_mu = 0.5;
  int64_t importance_samples = 5000;
  Options() { sets = 1; }
  template <class F>
  void each(F f) {
    each_common(f);
    f("data_sets", kinds);
    f("eps_hz", eps_hz);
    f("eps_sigma", eps_sigma);
    f("eps_mu", eps_mu);
    f("importance_samples", importance_samples);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--epochs", o.epochs, 4000);
  quicken(arguments, o.quick, "--restarts", o.restarts, 5);
  quicken(arguments, o.quick, "--importance-samples", o.importance_samples, 1000);
}

/// What is trained: the encoder of the true model, or a model.
enum class Learner { truth, vae, libi };
constexpr Learner kLearners[] = {Learner::truth, Learner::vae, Learner::libi};
constexpr const char* kNames[] = {"truth", "vae", "libi"};
constexpr const char* kTitles[] = {"encoder of the true model", "VAE", "LiBI"};

std::string key_of(const DataKind& kind, Learner learner) {
  return fmt::format("{}-{}", kind.key, kNames[static_cast<int>(learner)]);
}

Setting setting_of(const Options& o, Learner learner) {
  if (learner != Learner::libi) return {.method = Method::vae};
  return {.method = Method::libi, .eps_hz = o.eps_hz, .eps_sigma = o.eps_sigma, .eps_mu = o.eps_mu};
}

std::vector<Phase> phases_for(const Options& o, Learner learner, Vae& vae, const Restarts& restarts) {
  std::vector<Phase> phases =
      phases_of(setting_of(o, learner), vae, o.epochs, o.rate, restarts.validation().to(vae.device()));
  if (learner == Learner::truth) phases[0].moves = {"encoder."};
  if (learner == Learner::libi)
    phases[0].after = [&vae, after = phases[0].after,
                       x = restarts.train().to(vae.device())](Training& training) {
      if (after) after(training);
      training.notes()[kCodes] = vae.encode(x).mean.value().to(Device::cpu);
    };
  return phases;
}

std::unique_ptr<Vae> start_of(const Options& o, Learner learner, const Restarts& restarts) {
  auto vae = restarts.model(device_of(o.run), restarts.members());
  if (learner == Learner::truth) set_decoder(*vae, restarts.sets().toys[0].truth);
  return vae;
}

/// (N, 2) as two lists.
Json columns_of(const Tensor& points) {
  Json columns = Json::array();
  for (int64_t j = 0; j < 2; ++j) {
    std::vector<double> column;
    for (int64_t i = 0; i < points.size(0); ++i) column.push_back(points.at(2 * i + j));
    columns.push_back(finite_or_null(column));
  }
  return columns;
}

Json trained(const Options& o, const DataKind& kind, Learner learner, const UnitPlace& place) {
  const Restarts restarts(kind, o);
  const auto vae = start_of(o, learner, restarts);
  Training training(vae->parameters(), phases_for(o, learner, *vae, restarts),
                    whole_set(restarts.train().to(vae->device())), {.seed = o.run.seed});
  const auto text = [&] { return fmt::format("{}, step {}", training.phase().name, training.steps()); };
  if (!run_training(training, o.epochs, place, text)) return {};
  const std::vector<double> scores =
      scores_of(setting_of(o, learner), *vae, training, restarts.validation().to(vae->device()), o.run.seed);
  const int64_t best = restarts.best_of_each(scores)[0];
  if (best < 0) fail("[yacoby-posteriors] no restart of {} has a finite objective", key_of(kind, learner));
  const auto chosen = alone(restarts, *vae, {best});
  const Tensor x = restarts.sets().train.slice(0);
  const ImportancePoints sampled =
      importance_points(*chosen, x, {.samples = o.importance_samples, .seed = o.run.seed});
  const ImportanceEstimate reliance =
      summarise(sampled.log_likelihood.slice(0), sampled.effective_samples.slice(0), o.importance_samples);
  Json result = {{"scores", finite_or_null(scores)},
                 {"effective_samples", finite_or_null(reliance.median_effective_samples)},
                 {"unreliable", !reliance.warning.empty()},
                 {"chosen", best},
                 {"encoder", columns_of(chosen->encode(x).mean.value().slice(0))},
                 {"posterior", columns_of(sampled.posterior_mean.slice(0))}};
  if (learner == Learner::libi) result["codes"] = columns_of(training.notes().at(kCodes).slice(best));
  return result;
}

using Columns = std::vector<std::vector<double>>;
Columns columns_in(const Json& json) { return {numbers_or_nan(json.at(0)), numbers_or_nan(json.at(1))}; }

/// The root of the mean squared distance of points, in standard deviations of the prior.
double distance(const Columns& a, const Columns& b) {
  double squares = 0;
  for (size_t j = 0; j < 2; ++j)
    for (size_t i = 0; i < a[j].size(); ++i) squares += (a[j][i] - b[j][i]) * (a[j][i] - b[j][i]);
  return std::sqrt(squares / static_cast<double>(a[0].size()));
}

/// Points in the plane of z, coloured by the angle of the x that they belong to.
Figure panel(const std::string& title, const Columns& z, const std::vector<double>& angles) {
  Figure figure{.title = title,
                .x = {"z1"},
                .y = {"z2"},
                .colours = {.label = "angle of x (radians)", .palette = Palette::cyclic}};
  figure.series = {{.x = z[0], .y = z[1], .style = Style::points, .value = angles}};
  figure.equal = true;
  return figure;
}

std::vector<double> angles_of(const Tensor& x) {
  std::vector<double> angles;
  for (int64_t i = 0; i < x.size(0); ++i) angles.push_back(std::atan2(x.at(2 * i + 1), x.at(2 * i)));
  return angles;
}

FigureGrid grid_of(const std::string& name, const std::string& title, std::vector<Figure> cells) {
  FigureGrid grid{.name = name, .title = title, .cells = std::move(cells)};
  grid.columns = static_cast<int>(grid.cells.size() / 2);
  grid.share_x = grid.share_y = grid.share_colours = true;
  return grid;
}

/// How far apart means of posteriors are: the encoder's from its own model's, that model's from the true
/// one's, the encoder's from those.
struct Distances {
  double of_encoder, of_model, of_both;
  bool trusted;  ///< importance sampling has enough effective samples
};

void claim(const Options& o, const DataKind& kind, const Distances& truth, const Distances& vae,
           const Distances& libi, Presentation& p) {
  const bool linear = kind.model == YacobyModel::linear_jtex;
  const std::string of_vae = linear ? "Fig 2" : "Fig 4", of_libi = linear ? "Fig 3" : "Fig 5";
  const auto add = [&](const std::string& what, const std::string& paper, const std::string& here,
                       bool trusted, std::optional<bool> holds, const char* between) {
    const bool is_short = o.epochs < kShortest;
    if (is_short || !trusted) holds.reset();
    p.claims.push_back({.claim = fmt::format("{}: {}", kind.title, what),
                        .paper = paper,
                        .here = here,
                        .holds = holds,
                        .note = is_short   ? fmt::format("fewer than {} steps", kShortest)
                                : !trusted ? "too few effective samples"
                                : !holds   ? between
                                           : fmt::format("{} restarts, {} steps", o.restarts, o.epochs)});
  };
  // Whether means that are so far apart are the same; nothing where they are neither that nor others.
  const auto same = [](double apart) {
    return apart <= kNear || apart > kFar ? std::optional(apart <= kNear) : std::nullopt;
  };
  constexpr const char* kBetween = "neither the same nor others";
  const auto add_near = [&](const std::string& what, const std::string& paper, double apart, bool trusted) {
    add(what, paper, fmt::format("at {:.3f}", apart), trusted, same(apart), kBetween);
  };
  add_near("an encoder has the posterior means of the true model", of_vae + ", top and bottom left",
           truth.of_encoder, truth.trusted);
  add_near("the VAE's encoder has the posterior means of its own model", of_vae + ", top and bottom right",
           vae.of_encoder, vae.trusted);
  const std::optional<bool> true_ones = same(vae.of_model);
  add("the VAE's model has other posterior means than the true one", of_vae + ", bottom left and right",
      fmt::format("at {:.3f}", vae.of_model), truth.trusted && vae.trusted,
      true_ones ? std::optional(!*true_ones) : std::nullopt, kBetween);
  add_near("LiBI's encoder has the posterior means of the true model",
           of_libi + ", bottom left and top middle", libi.of_both, truth.trusted && libi.trusted);
  const bool differ = std::abs(vae.of_model - libi.of_model) > kApart * vae.of_model;
  add("LiBI's posteriors are nearer to the true model's than the VAE's",
      linear ? "yes (Figs 2, 3)" : "yes (Figs 4, 5)",
      fmt::format("at {:.3f}, the VAE's at {:.3f}", libi.of_model, vae.of_model),
      truth.trusted && vae.trusted && libi.trusted,
      differ ? std::optional(libi.of_model < vae.of_model) : std::nullopt, "as near as each other");
}

void present_kind(const Options& o, const DataKind& kind, const Outcomes& outcomes, Table& table,
                  Presentation& p, Report& report) {
  for (const Learner learner : kLearners)
    if (!outcomes.has(key_of(kind, learner))) return;
  const Toy toy = kind.toys(o.run.seed, 0);
  const std::vector<double> angles = angles_of(toy.draw(o.points, Split::train));
  const Json &truth = outcomes.at(key_of(kind, Learner::truth)),
             &vae = outcomes.at(key_of(kind, Learner::vae)), &libi = outcomes.at(key_of(kind, Learner::libi));
  const auto of = [](const Json& unit, const char* what) { return columns_in(unit.at(what)); };
  const Columns q_true = of(truth, "encoder"), p_true = of(truth, "posterior");
  report.section(kind.title);
  report.figure(
      draw(grid_of(fmt::format("{}-vae", kind.key), fmt::format("{}: a VAE's posterior means", kind.title),
                   {panel("q, given the true model", q_true, angles),
                    panel("q of the VAE", of(vae, "encoder"), angles),
                    panel("p(z|x) of the true model", p_true, angles),
                    panel("p(z|x) of the VAE", of(vae, "posterior"), angles)}),
           p.directory.figures()),
      "Means for every training point. Where the right-hand panels agree and differ from the left, the VAE's "
      "q fits the posteriors of its own model, which are not the true model's.");
  report.figure(
      draw(grid_of(fmt::format("{}-libi", kind.key), fmt::format("{}: LiBI's posterior means", kind.title),
                   {panel("q, given the true model", q_true, angles),
                    panel("q of LiBI", of(libi, "encoder"), angles),
                    panel("z that made the data", columns_in(columns_of(toy.latents(o.points, Split::train))),
                          angles),
                    panel("p(z|x) of the true model", p_true, angles),
                    panel("p(z|x) of LiBI", of(libi, "posterior"), angles),
                    panel("z found by LiBI", of(libi, "codes"), angles)}),
           p.directory.figures()),
      "The same of LiBI; right, the z behind the data and the codes of LiBI's first step.");
  Json found;
  std::vector<Distances> distances;
  for (const Learner learner : kLearners) {
    const Json& unit = outcomes.at(key_of(kind, learner));
    const Columns q = of(unit, "encoder"), own = of(unit, "posterior");
    const bool unreliable = unit.at("unreliable");
    const Distances d{.of_encoder = distance(q, own),
                      .of_model = distance(own, p_true),
                      .of_both = distance(q, p_true),
                      .trusted = !unreliable};
    table.row({kind.title, kTitles[static_cast<int>(learner)], fmt::format("{:.3f}", d.of_encoder),
               learner == Learner::truth ? "-" : fmt::format("{:.3f}", d.of_model),
               fmt::format("{:.3f}", d.of_both),
               fmt::format("{:.0f}{}", number_or_nan(unit.at("effective_samples")), unreliable ? " *" : "")});
    found[kNames[static_cast<int>(learner)]] = {{"encoder_to_own_posterior", d.of_encoder},
                                                {"own_to_true_posterior", d.of_model},
                                                {"encoder_to_true_posterior", d.of_both}};
    distances.push_back(d);
  }
  p.result.set(kind.key, found, "root mean square distance of means, in units of the prior's deviation");
  claim(o, kind, distances[0], distances[1], distances[2], p);
}

void present(const Options& o, const Outcomes& outcomes, Presentation& p) {
  Report& report = p.report.emplace("Posteriors that training can and cannot find",
                                    fmt::format("Yacoby et al., Figs 2 to 5. One data set of {} points, the "
                                                "restart of {} with the best objective on "
                                                "validation points, {} steps on all points.",
                                                o.points, o.restarts, o.epochs));
  Table table({"data", "trained", Table::number("q to its own p(z|x)"),
               Table::number("own p(z|x) to the true one"), Table::number("q to the true p(z|x)"),
               Table::number("effective samples")});
  for (const std::string& key : o.kinds) present_kind(o, data_kind(key), outcomes, table, p, report);
  report.section("Distances");
  report.table(
      table,
      fmt::format(
          "Root mean square distance of the means of posteriors, in units of the prior's deviation. Means of "
          "p(z|x) are by importance sampling, on so many effective samples, the median of the points; * "
          "where "
          "too many points have too few. Means are called the same up to {} and others from {} on, by a run "
          "of {} steps at least.",
          kNear, kFar, kShortest));
  p.text = table.text();
}

Unit unit_for(const Options& o, const DataKind& kind, Learner learner) {
  return {.key = key_of(kind, learner),
          .title = fmt::format("{}, {}", kind.title, kTitles[static_cast<int>(learner)]),
          .cost = kind.cost * (learner == Learner::libi ? 1.5 : 1),
          .measure =
              [o, &kind, learner] {
                const Restarts restarts(kind, o);
                const auto vae = start_of(o, learner, restarts);
                Training training(vae->parameters(), phases_for(o, learner, *vae, restarts),
                                  whole_set(restarts.train().to(vae->device())), {.seed = o.run.seed});
                return seconds_of(training, std::max<int64_t>(o.epochs - 1, 1));
              },
          .run = [o, &kind, learner](const UnitPlace& place) { return trained(o, kind, learner, place); }};
}

ExperimentPlan plan(Options& o) {
  if (o.sets != 1) fail("[--sets] the figures are of one data set, got {}", o.sets);
  check_length(setting_of(o, Learner::libi), o.epochs);
  ExperimentPlan plan{
      .what = fmt::format("Trains an encoder, a VAE and LiBI on {} kinds of data, {} restarts each.",
                          o.kinds.size(), o.restarts)};
  for (const std::string& key : o.kinds)
    for (const Learner learner : kLearners) {
      const DataKind& kind = data_kind(key);
      if (kind.model != YacobyModel::linear_jtex && kind.model != YacobyModel::cubic_jtex)
        fail("[--data-sets] the figures are of linear-jtex and cubic-jtex, got {}", key);
      plan.units.push_back(unit_for(o, kind, learner));
    }
  plan.present = [o](const Outcomes& outcomes, Presentation& p) { present(o, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "4000 steps, 5 restarts, fewer importance samples");
  arguments.add_texts("--data-sets", o->kinds, "linear-jtex, cubic-jtex").show_default("both");
  arguments.begin_group("Training");
  add_restart_options(arguments, *o);
  arguments.add_number("--eps-hz", o->eps_hz, "LiBI: weight of exp(HZ)", kNotNegative).show_default();
  arguments.add_number("--eps-sigma", o->eps_sigma, "LiBI: scale of the covariance's distance", kPositive)
      .show_default();
  arguments.add_number("--eps-mu", o->eps_mu, "LiBI: scale of the mean's distance", kPositive).show_default();
  arguments.begin_group("Evaluation");
  arguments.add_number("--importance-samples", o->importance_samples, "z for each posterior mean", kCount)
      .show_default();
  arguments.run([o, &arguments] {
    run_experiment<Options>({"yacoby-posteriors", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command yacoby_posteriors_command{"yacoby-posteriors",
                                        "Posterior means of VAE, LiBI and the true model", "Figs 2 to 5",
                                        "10 min (--quick: 1 min)", add_options};

}  // namespace elbo
