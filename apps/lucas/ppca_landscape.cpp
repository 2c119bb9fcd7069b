// elbo ppca-landscape: Lucas et al. 2019, Fig 1. Around a stationary point of pPCA with two zero columns, the
// log-likelihood over perturbations of them, for three values of sigma^2; and what theory says of its
// stability.
#include <cmath>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/support/arguments.h"
#include "apps/support/figure.h"
#include "apps/support/progress.h"
#include "vae/ppca.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  int64_t first = 5, second = 7;
  int64_t grid = 41;
};

struct Panel {
  std::string position;
  double sigma2;
  std::string paper;           // what Fig 1 shows there
  std::vector<double> values;  // nats above the stationary point, (second, first)
  double best = 0, best_first = 0, best_second = 0;
};

void landscape(Options o, const Arguments& arguments) {
  apply_on_cpu(o.run);
  quicken(arguments, o.quick, "--grid", o.grid, 21);
  const int64_t grid_size = o.grid;
  if (o.second <= o.first) fail("[--second] must be above --first, got {} and {}", o.second, o.first);
  if (grid_size % 2 == 0) fail("[--grid] needs an odd number of points, got {}", grid_size);
  if (o.dry_run) {
    fmt::print("Evaluates 3 surfaces of {0} x {0} exact log-likelihoods; about {1} s on two cores.\n",
               grid_size, grid_size * grid_size * 3 / 500 + 2);
    return;
  }
  const LoadedData data = load_data(o.data, o.run.seed);
  const DataMoments moments = data_moments(data.all());
  const Eigen eigen = principal_components(moments);
  const auto eigenvalue = [&](int64_t component) { return eigen.values.at(component - 1); };
  if (o.second + 1 > eigen.vectors.size(1))
    fail("[--components] the data have only {} components", eigen.vectors.size(1));
  const double upper = eigenvalue(o.first), lower = eigenvalue(o.second);

  RunDirectory run("ppca-landscape", o.run.out);
  Json config = to_json(o.data, o.run);
  config.update({{"first", o.first}, {"second", o.second}, {"grid", grid_size}});
  run.write_config(config);
  Result result("ppca-landscape", config, provenance_of(o.run, data));

  std::vector<Panel> panels{{fmt::format("above λ{}", o.first), 1.25 * upper, "captures neither (left)", {}},
                            {fmt::format("between λ{} and λ{}", o.second, o.first),
                             std::sqrt(upper * lower),
                             "captures one (middle)",
                             {}},
                            {fmt::format("below λ{}", o.second), 0.5 * lower, "captures both (right)", {}}};
  const double reach = 1.3 * std::sqrt(upper);  // of each perturbation, in pixel-intensity units
  std::vector<double> axis;
  for (int64_t i = 0; i < grid_size; ++i)
    axis.push_back(reach * (2.0 * static_cast<double>(i) / static_cast<double>(grid_size - 1) - 1));

  Progress progress(3 * grid_size, "ppca-landscape", {.quiet = o.run.json});
  int64_t rows_done = 0;
  for (Panel& panel : panels) {
    Ppca model = ppca_stationary_point(moments, eigen, {1, 2, 3}, 2, panel.sigma2);
    const double centre = ppca_log_likelihood(model, moments);
    const int64_t k = model.weight.size(1);
    for (double b : axis) {
      for (double a : axis) {
        // The two zero columns become a u_first and b u_second.
        for (int64_t j = 0; j < model.weight.size(0); ++j) {
          double* row = model.weight.data<double>() + j * k;
          const double* u = eigen.vectors.data<double>() + j * eigen.vectors.size(1);
          row[3] = a * u[o.first - 1];
          row[4] = b * u[o.second - 1];
        }
        panel.values.push_back(ppca_log_likelihood(model, moments) - centre);
        if (panel.values.back() > panel.best) {
          panel.best = panel.values.back();
          panel.best_first = a;
          panel.best_second = b;
        }
      }
      progress.update(++rows_done);
    }
  }
  progress.finish();

  FigureGrid map{.name = "landscape",
                 .title = "Log-likelihood around a stationary point of pPCA",
                 .columns = static_cast<int>(panels.size())};
  Table table({"σ²", Table::number("value"), Table::number(fmt::format("λ{}", o.first)),
               fmt::format("along u{}", o.first), Table::number(fmt::format("λ{}", o.second)),
               fmt::format("along u{}", o.second), Table::number("highest gain (nats)"), "paper",
               Table::verdict("surface agrees")});
  Json rows = Json::array();
  const size_t middle = axis.size() / 2;
  for (const Panel& panel : panels) {
    bool stable_first = false, stable_second = false;
    for (const Escape& escape : ppca_escapes(eigen.values, {1, 2, 3}, panel.sigma2)) {
      if (escape.component == o.first) stable_first = escape.stable;
      if (escape.component == o.second) stable_second = escape.stable;
    }
    // The surface's own evidence: one grid step along each axis.
    const double step_first = panel.values[middle * axis.size() + middle + 1];
    const double step_second = panel.values[(middle + 1) * axis.size() + middle];
    const bool agrees = (step_first < 0) == stable_first && (step_second < 0) == stable_second;
    const auto word = [](bool stable) { return stable ? "stable" : "grows"; };
    map.cells.push_back(
        {.title = fmt::format("σ² = {:.3g}, {}", panel.sigma2, panel.position),
         .x = {fmt::format("length of the column along u{}", o.first)},
         .y = {fmt::format("length of the column along u{}", o.second)},
         .series = {{.x = {0}, .y = {0}, .style = Style::points, .colour = kBlack}},
         .surface = Surface{.x = axis, .y = axis, .values = panel.values},
         .colours = {.label = "nats above the stationary point", .palette = Palette::diverging},
         .note = fmt::format("u{} {}, u{} {}", o.first, word(stable_first), o.second, word(stable_second))});
    table.row({panel.position, fmt::format("{:.4f}", panel.sigma2), fmt::format("{:.4f}", upper),
               word(stable_first), fmt::format("{:.4f}", lower), word(stable_second),
               fmt::format("{:.3f}", panel.best), panel.paper, verdict(agrees)});
    rows.push_back({{"position", panel.position},
                    {"sigma2", panel.sigma2},
                    {"stable_first", stable_first},
                    {"stable_second", stable_second},
                    {"highest_gain", panel.best},
                    {"at_first", panel.best_first},
                    {"at_second", panel.best_second},
                    {"surface_agrees", agrees}});
  }
  const Drawing drawing = draw(map, run.figures());
  result.set("panels", rows);
  result.set("eigenvalue_first", upper);
  result.set("eigenvalue_second", lower);

  Report report(
      "The landscape of pPCA around a collapsed solution",
      "Lucas et al. 2019, Fig 1. W holds the first three principal components and zero columns. Two zero "
      "columns "
      "grow along two further eigenvectors. Where σ² exceeds an eigenvalue, growing along its eigenvector "
      "lowers the likelihood: the collapsed column is stable, whatever the inference.");
  report.section("Surfaces");
  report.figure(
      drawing,
      "Exact log-likelihood in nats per data point, minus its value at the stationary point (centre).");
  report.section("Theory against surface");
  report.paragraph(
      "Theory (appendix A): a zero column is stable along an eigenvector exactly when its eigenvalue is "
      "below "
      "σ². The verdict compares this with one grid step on the surface.");
  report.table(table, "Stability of the two zero columns for three values of σ².");
  conclude(run, result, report, config, o.run, table.text());
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "A coarser grid");
  arguments.add_number("--first", o->first, "Component that the first zero column is moved along", {4, 1e9L})
      .show_default();
  arguments
      .add_number("--second", o->second, "Component that the second zero column is moved along", {5, 1e9L})
      .show_default();
  arguments.add_number("--grid", o->grid, "Points along each axis, odd", {3, 10001}).show_default();
  arguments.run([o, &arguments] { landscape(*o, arguments); });
}

}  // namespace

const Command ppca_landscape_command{"ppca-landscape",
                                     "Likelihood surfaces around a collapsed solution of pPCA", "Fig 1",
                                     "10 s (--quick: 4 s)", add_options};

}  // namespace elbo
