// elbo asperti-calibrate: Asperti 2019, sections 4, 6.1 and 7. Dense networks over lambda and over k, with
// seeds: what the paper's method would choose, and whether the eigenvalues of the data forecast it.
#include <algorithm>
#include <set>

#include "apps/asperti/calibrate_report.h"
#include "apps/command.h"
#include "vae/ppca.h"

namespace elbo {
namespace {

using namespace asperti;

struct Options : CommonOptions {
  std::vector<double> lambdas{0.1, 0.2, 0.5, 0.7, 1, 2, 4, 8};
  std::vector<int64_t> latents{4, 8, 16, 32};
  int64_t epochs = 30, seeds = 5;
  double tolerance = 0.1;
  template <class F>
  void each(F f) {
    each_common(f);
    f("lambdas", lambdas);
    f("latents", latents);
    f("epochs", epochs);
    f("seeds", seeds);
    f("law_tolerance", tolerance);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  if (!arguments.given("--limit")) quicken(arguments, o.quick, "--subset", o.data.subset, 10000);
  quicken(arguments, o.quick, "--lambdas", o.lambdas, std::vector<double>{0.2, 0.7, 2, 5});
  quicken(arguments, o.quick, "--latents", o.latents, std::vector<int64_t>{8, 32});
  quicken(arguments, o.quick, "--epochs", o.epochs, 8);
  quicken(arguments, o.quick, "--seeds", o.seeds, 2);
}

template <class T>
std::vector<T> sorted(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return values;
}
/// Whether a value is there twice.
template <class T>
bool repeats(const std::vector<T>& values) {
  return std::set<T>(values.begin(), values.end()).size() < values.size();
}

/// A point of the scans; the one that both have in common is trained once.
struct Place {
  double lambda;
  int64_t latent;
  std::string key() const { return fmt::format("lambda-{:g}-k-{}", lambda, latent); }
};
std::vector<Place> over_lambda(const Options& o) {
  std::vector<Place> places;
  for (const double lambda : sorted(o.lambdas)) places.push_back({lambda, o.latent});
  return places;
}
std::vector<Place> over_latent(const Options& o) {
  std::vector<Place> places;
  for (const int64_t latent : sorted(o.latents)) places.push_back({o.lambda, latent});
  return places;
}

AspertiOptions network_of(const Options& o, const Place& at, const Dataset& data) {
  AspertiOptions network = dense_network(o, data, o.seeds);
  network.lambda = at.lambda;
  network.latent = at.latent;
  return network;
}

Unit unit_of(const Options& o, const Place& at, const std::shared_ptr<const LoadedData>& data) {
  return ensemble_unit(
      at.key(), fmt::format("λ = {:g}, k = {}", at.lambda, at.latent), network_of(o, at, data->dataset),
      {.epochs = o.epochs, .batch = o.batch, .rate = o.rate, .looks = 1, .pictures = 10, .seed = o.run.seed},
      o.data, planned(data));
}

void present(const Options& o, const LoadedData& data, const Outcomes& outcomes, Presentation& p) {
  CalibrateFindings found{.over_lambda = {},
                          .over_latent = {},
                          .eigenvalues = principal_components(data_moments(data.all())).values,
                          .tolerance = o.tolerance,
                          .epochs = o.epochs,
                          .unlike = unlike_paper(o, data.dataset)};
  const auto take = [&](const std::vector<Place>& places, std::vector<CalibratedEnsemble>& scan) {
    for (const Place& at : places)
      if (outcomes.has(at.key()))
        scan.push_back({at.lambda, at.latent, ensemble_from(outcomes.at(at.key()))});
  };
  take(over_lambda(o), found.over_lambda);
  take(over_latent(o), found.over_latent);
  present_calibrate(found, p);
}

ExperimentPlan plan(Options& o) {
  const std::shared_ptr<const LoadedData> data = load_pixels(o);
  if (repeats(o.lambdas)) fail("[--lambdas] a value is there twice");
  if (repeats(o.latents)) fail("[--latents] a value is there twice");
  ExperimentPlan plan{
      .what = fmt::format("Trains {} dense networks for {} epochs of {} points at each of {} lambda "
                          "with k = {}, and of {} k with lambda = {:g}.",
                          o.seeds, o.epochs, data->dataset.points(), o.lambdas.size(), o.latent,
                          o.latents.size(), o.lambda),
      .data = data};
  std::vector<Place> places = over_lambda(o);
  for (const Place& at : over_latent(o)) places.push_back(at);
  std::set<std::string> keys;
  for (const Place& at : places)
    if (keys.insert(at.key()).second) plan.units.push_back(unit_of(o, at, data));
  plan.present = [o, data](const Outcomes& outcomes, Presentation& p) { present(o, *data, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "10 000 images, four lambda, two k, two seeds, eight epochs");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_common_options(arguments, *o);
  number("--epochs", o->epochs, kCount, "Passes over the data");
  arguments.begin_group("Scans");
  number("--lambdas", o->lambdas, kPositive, "Values of lambda, L[,L...], at --latent");
  number("--latents", o->latents, kCount, "Values of k, K[,K...], at --lambda");
  number("--law-tolerance", o->tolerance, kPositive,
         "How far from 1 the sums may be, on average over units in use");
  arguments.begin_group("Ensemble");
  number("--seeds,--members", o->seeds, kCount, "Models at each point");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"asperti-calibrate", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command asperti_calibrate_command{"asperti-calibrate",
                                        "Choosing lambda and k by the units, and the forecast of collapse",
                                        "Sections 4, 6.1, 7", "90 min (--quick: 1 min)", add_options};

}  // namespace elbo
