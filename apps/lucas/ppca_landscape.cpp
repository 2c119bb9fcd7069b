// elbo ppca-landscape: Lucas et al. 2019, Fig 1. Around a stationary point of pPCA with two zero columns, the
// log-likelihood over perturbations of them, for three values of sigma^2; and what theory says of its
// stability.
#include <cmath>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "vae/ppca.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  int64_t first = 5, second = 7;
  int64_t grid = 41;
  Options() { on_cpu = true; }
  template <class F>
  void each(F f) {
    f("first", first);
    f("second", second);
    f("grid", grid);
  }
};

struct Panel {
  const char* key;
  std::string position;
  double sigma2;
  std::string paper;  // what Fig 1 shows there
};

/// What the surfaces are drawn from.
struct Surfaces {
  LoadedData data;
  DataMoments moments;
  Eigen eigen;
  double upper, lower;  // the two eigenvalues
  std::vector<double> axis;

  std::vector<Panel> panels(const Options& o) const {
    return {{"above", fmt::format("above λ{}", o.first), 1.25 * upper, "captures neither (left)"},
            {"between", fmt::format("between λ{} and λ{}", o.second, o.first), std::sqrt(upper * lower),
             "captures one (middle)"},
            {"below", fmt::format("below λ{}", o.second), 0.5 * lower, "captures both (right)"}};
  }
};

Json surface(const Options& o, const Surfaces& s, const Panel& panel, const UnitPlace& place) {
  Ppca model = ppca_stationary_point(s.moments, s.eigen, {1, 2, 3}, 2, panel.sigma2);
  const double centre = ppca_log_likelihood(model, s.moments);
  const int64_t k = model.weight.size(1);
  std::vector<double> values;  // (second, first)
  double best = 0, best_first = 0, best_second = 0;
  for (double b : s.axis) {
    if (interrupted()) return {};
    for (double a : s.axis) {
      // The two zero columns become a u_first and b u_second.
      for (int64_t j = 0; j < model.weight.size(0); ++j) {
        double* row = model.weight.data<double>() + j * k;
        const double* u = s.eigen.vectors.data<double>() + j * s.eigen.vectors.size(1);
        row[3] = a * u[o.first - 1];
        row[4] = b * u[o.second - 1];
      }
      values.push_back(ppca_log_likelihood(model, s.moments) - centre);
      if (values.back() > best) {
        best = values.back();
        best_first = a;
        best_second = b;
      }
    }
    place.progress(static_cast<double>(values.size()) / static_cast<double>(s.axis.size() * s.axis.size()),
                   {});
  }
  return {{"values", values}, {"highest_gain", best}, {"at_first", best_first}, {"at_second", best_second}};
}

void present(const Options& o, const Surfaces& s, const Outcomes& outcomes, Presentation& p) {
  FigureGrid map{.name = "landscape",
                 .title = "Log-likelihood around a stationary point of pPCA",
                 .columns = static_cast<int>(outcomes.count())};
  Table table({"σ²", Table::number("value"), Table::number(fmt::format("λ{}", o.first)),
               fmt::format("along u{}", o.first), Table::number(fmt::format("λ{}", o.second)),
               fmt::format("along u{}", o.second), Table::number("highest gain (nats)"), "paper",
               Table::verdict("surface agrees")});
  Json rows = Json::array();
  const size_t side = s.axis.size(), middle = side / 2;
  for (const Panel& panel : s.panels(o)) {
    if (!outcomes.has(panel.key)) continue;
    const Json& found = outcomes.at(panel.key);
    const std::vector<double> values = numbers_or_nan(found.at("values"));
    bool stable_first = false, stable_second = false;
    for (const Escape& escape : ppca_escapes(s.eigen.values, {1, 2, 3}, panel.sigma2)) {
      if (escape.component == o.first) stable_first = escape.stable;
      if (escape.component == o.second) stable_second = escape.stable;
    }
    // The surface's own evidence: one grid step along each axis.
    const double step_first = values.at(middle * side + middle + 1);
    const double step_second = values.at((middle + 1) * side + middle);
    const bool agrees = (step_first < 0) == stable_first && (step_second < 0) == stable_second;
    const auto word = [](bool stable) { return stable ? "stable" : "grows"; };
    map.cells.push_back(
        {.title = fmt::format("σ² = {:.3g}, {}", panel.sigma2, panel.position),
         .x = {fmt::format("length of the column along u{}", o.first)},
         .y = {fmt::format("length of the column along u{}", o.second)},
         .series = {{.x = {0}, .y = {0}, .style = Style::points, .colour = kBlack}},
         .surface = Surface{.x = s.axis, .y = s.axis, .values = values},
         .colours = {.label = "nats above the stationary point", .palette = Palette::diverging},
         .note = fmt::format("u{} {}, u{} {}", o.first, word(stable_first), o.second, word(stable_second))});
    table.row({panel.position, fmt::format("{:.4f}", panel.sigma2), fmt::format("{:.4f}", s.upper),
               word(stable_first), fmt::format("{:.4f}", s.lower), word(stable_second),
               fmt::format("{:.3f}", found.at("highest_gain").get<double>()), panel.paper, verdict(agrees)});
    rows.push_back({{"position", panel.position},
                    {"sigma2", panel.sigma2},
                    {"stable_first", stable_first},
                    {"stable_second", stable_second},
                    {"highest_gain", found.at("highest_gain")},
                    {"at_first", found.at("at_first")},
                    {"at_second", found.at("at_second")},
                    {"surface_agrees", agrees}});
  }
  const Drawing drawing = draw(map, p.directory.figures());
  p.result.set("panels", rows);
  p.result.set("eigenvalue_first", s.upper);
  p.result.set("eigenvalue_second", s.lower);

  Report& report = p.report.emplace(
      "The landscape of pPCA around a collapsed solution",
      "Lucas et al. 2019, Fig 1. W holds the first three principal components and zero columns. Two zero "
      "columns grow along two further eigenvectors. Where σ² exceeds an eigenvalue, growing along its "
      "eigenvector lowers the likelihood: the collapsed column is stable, whatever the inference.");
  report.section("Surfaces");
  report.figure(
      drawing,
      "Exact log-likelihood in nats per data point, minus its value at the stationary point (centre).");
  report.section("Theory against surface");
  report.paragraph(
      "Theory (appendix A): a zero column is stable along an eigenvector exactly when its eigenvalue is "
      "below σ². The verdict compares this with one grid step on the surface.");
  report.table(table, "Stability of the two zero columns for three values of σ².");
  p.text = table.text();
}

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--grid", o.grid, 21);
  if (o.second <= o.first) fail("[--second] must be above --first, got {} and {}", o.second, o.first);
  if (o.grid % 2 == 0) fail("[--grid] needs an odd number of points, got {}", o.grid);
}

ExperimentPlan plan(Options& o) {
  const auto s = std::make_shared<Surfaces>();
  s->data = load_data(o.data, o.run.seed);
  s->moments = data_moments(s->data.all());
  s->eigen = principal_components(s->moments);
  if (const int64_t rank = numerical_rank(s->eigen.values); o.second > rank)
    fail("[--second] the data have only {} components, got {}", rank, o.second);
  s->upper = s->eigen.values.at(o.first - 1);
  s->lower = s->eigen.values.at(o.second - 1);
  const double reach = 1.3 * std::sqrt(s->upper);  // of each perturbation, in pixel-intensity units
  for (int64_t i = 0; i < o.grid; ++i)
    s->axis.push_back(reach * (2.0 * static_cast<double>(i) / static_cast<double>(o.grid - 1) - 1));
  ExperimentPlan plan{.what = fmt::format("Evaluates 3 surfaces of {0} x {0} exact log-likelihoods.", o.grid),
                      .data = std::shared_ptr<const LoadedData>(s, &s->data)};
  for (const Panel& panel : s->panels(o))
    plan.units.push_back(
        {.key = panel.key,
         .title = "σ² " + panel.position,
         .measure =
             [o, s, panel] {
               const Ppca model = ppca_stationary_point(s->moments, s->eigen, {1, 2, 3}, 2, panel.sigma2);
               return seconds_for_steps(o.grid * o.grid, [&](int64_t n) {
                 for (int64_t i = 0; i < n; ++i) ppca_log_likelihood(model, s->moments);
               });
             },
         .run = [o, s, panel](const UnitPlace& place) { return surface(o, *s, panel, place); }});
  plan.present = [o, s](const Outcomes& outcomes, Presentation& p) { present(o, *s, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "A coarser grid");
  arguments.begin_group("Model");
  arguments.add_number("--first", o->first, "Component that the first zero column is moved along", {4, 1e9L})
      .show_default();
  arguments
      .add_number("--second", o->second, "Component that the second zero column is moved along", {5, 1e9L})
      .show_default();
  arguments.add_number("--grid", o->grid, "Points along each axis, odd", {3, 10001}).show_default();
  arguments.run([o, &arguments] {
    run_experiment<Options>({"ppca-landscape", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command ppca_landscape_command{"ppca-landscape",
                                     "Likelihood surfaces around a collapsed solution of pPCA", "Fig 1",
                                     "10 s (--quick: 4 s)", add_options};

}  // namespace elbo
