// elbo forecast: which latent units will be active at this sigma^2, before anything is trained, from the
// eigenvalues of the data's covariance (vae/collapse_forecast.h).
#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/reports/forecast_report.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr size_t kRowsPrinted = 20, kRowsReported = 100;

struct Options {
  DataOptions data;
  RunOptions run;
  std::vector<double> sigma2, lambda;
  double beta = 1;
  int64_t latent = 50;
};

void forecast(Options o) {
  apply_on_cpu(o.run);
  if (o.sigma2.empty() == o.lambda.empty())
    fail("[--sigma2] name the observation noise, or --lambda instead, for which there is to be a forecast");
  const Sigma2Scale scale = o.lambda.empty() ? Sigma2Scale{} : kLambdaScale;
  std::vector<double> values = o.sigma2;
  for (const double lambda : o.lambda) values.push_back(lambda / 2);
  const LoadedData data = load_data(o.data, o.run.seed);
  o.data.preprocess = name(data.preprocessing.kind);
  const int64_t dimensions = data.dataset.dimensions();
  if (o.latent > dimensions)
    fail("[--latent] {} is more than the {} dimensions of {}, in which there are no more directions",
         o.latent, dimensions, quote(data.dataset.name));
  Json config = to_json(o.data, o.run);
  config["latent"] = o.latent;
  config["beta"] = o.beta;
  config[o.lambda.empty() ? "sigma2" : "lambda"] = o.lambda.empty() ? o.sigma2 : o.lambda;
  Result result("forecast", config, provenance_of(o.run, data));
  const Eigen eigen = principal_components(data_moments(data.all()));
  std::vector<CollapseForecast> forecasts;
  for (const double sigma2 : values)
    forecasts.push_back(forecast_collapse(eigen.values, o.latent, sigma2, o.beta));

  const RunDirectory directory("forecast", o.run.out);
  directory.write_config(config, data_record(data));
  Json rows = Json::array();
  for (const CollapseForecast& f : forecasts) rows.push_back(to_json(f));
  result.set("forecasts", rows, "KL, gain and ELBO in nats per data point, of a linear VAE at its optimum");
  result.set("rank", numerical_rank(eigen.values));
  result.set("eigenvalues", eigen.values.to_vector());
  const CollapseForecast& first = forecasts[0];
  Report report(
      "A forecast of collapse",
      fmt::format(
          "At σ² = {:g}{} a linear VAE with {} units uses {} of them on {} points of {}, with {:.2f} nats of "
          "KL. Deep VAEs need not follow.",
          first.sigma2, o.beta == 1 ? "" : fmt::format(" and β = {:g}", o.beta), o.latent, first.active(),
          data.dataset.points(), data.dataset.name, first.kl));
  const Table summary = forecasts_table(forecasts, scale);
  report.section("Forecast");
  report.table(
      summary,
      "KL and ELBO are nats per data point; tuned σ² is the squared error per dimension, the σ² that "
      "would be best, all else fixed.");
  report.figure(draw(forecast_figure(eigen.values, forecasts, scale), directory.figures()),
                "Active units and their KL over " + scale.name + "; points mark what was asked for.");
  std::string text = summary.text();
  for (const CollapseForecast& f : forecasts) {
    const std::string title = fmt::format("{} = {:g}", scale.name, scale.factor * f.sigma2);
    report.section(title);
    report.table(forecast_table(f, kRowsReported), forecast_note());
    if (forecasts.size() > 1) continue;  // on the terminal one is enough
    text += "\n" + forecast_table(f, kRowsPrinted).text();
    if (f.units.size() > kRowsPrinted)
      text += fmt::format("{} more directions; result.json and --json have them\n",
                          f.units.size() - kRowsPrinted);
  }
  conclude(directory, result, report, config, o.run, text + "\n" + forecast_note() + "\n");
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_data_options(arguments, o->data);
  add_run_options(arguments, o->run, true);
  arguments.begin_group("Model");
  const Argument sigma2 =
      arguments.add_number("--sigma2", o->sigma2, "Observation noise S[,S...], held fixed", kPositive);
  arguments
      .add_number("--lambda", o->lambda,
                  "Instead: weight of the KL beside the squared error (Asperti), sigma^2 = lambda / 2",
                  kPositive)
      .excludes(sigma2);
  arguments.add_number("--beta", o->beta, "Weight of the KL in the objective", kPositive).show_default();
  arguments.add_number("--latent,--latent-dim", o->latent, "Latent dimension k", kCount).show_default();
  arguments.footer(
      "Exact for linear VAEs: direction i of the data is used where its variance, the eigenvalue lambda_i of "
      "the\ncovariance, is above beta sigma^2. For deep VAEs see asperti-calibrate, which counts hits and "
      "misses.");
  arguments.run([o] { forecast(*o); });
}

}  // namespace

const Command forecast_command{"forecast", "Which units will collapse at this sigma^2, before training",
                               "Lucas 4.1, App. A", "5 s on MNIST", add_options};

}  // namespace elbo
