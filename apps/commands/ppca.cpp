// elbo ppca: closed-form probabilistic PCA of a data set, for one or several latent dimensions.

#include "vae/ppca.h"
#include "apps/command.h"
#include "apps/support/arguments.h"
#include "apps/support/table.h"
#include "apps/training/options.h"

namespace elbo {
namespace {

struct Options {
  DataOptions data;
  RunOptions run;
  std::vector<int64_t> latent{50};
  double sigma2 = 0;
};

void ppca(Options o) {
  apply_on_cpu(o.run);
  const LoadedData data = load_data(o.data, o.run.seed);
  const DataMoments moments = data_moments(data.all());
  const Eigen eigen = principal_components(moments);
  const double to_paper = paper_units_constant(data.dataset, data.preprocessing);

  Json config = to_json(o.data, o.run);
  config["latent"] = o.latent;
  Result result("ppca", config, provenance_of(o.run, data));
  Table table({Table::number("latent"), Table::number("σ²"), Table::number("log-likelihood"),
               Table::number("in paper units")});
  Json rows = Json::array();
  for (int64_t k : o.latent) {
    const double sigma2 = o.sigma2 > 0 ? o.sigma2 : ppca_mle_sigma2(eigen.values, k);
    const double log_likelihood = o.sigma2 > 0
                                      ? ppca_log_likelihood(ppca_solution(moments, eigen, k, sigma2), moments)
                                      : ppca_max_log_likelihood(eigen.values, k);
    rows.push_back({{"latent", k},
                    {"sigma2", sigma2},
                    {"log_likelihood", log_likelihood},
                    {"log_likelihood_paper_units", log_likelihood + to_paper}});
    table.row({std::to_string(k), fmt::format("{:.6g}", sigma2), fmt::format("{:.4f}", log_likelihood),
               fmt::format("{:.4f}", log_likelihood + to_paper)});
  }
  if (o.latent.size() == 1) {
    result.set("log_likelihood", rows[0]["log_likelihood"], kNatsPerPoint);
    result.set("log_likelihood_paper_units", rows[0]["log_likelihood_paper_units"], kNatsPerPoint);
    result.set("sigma2", rows[0]["sigma2"]);
    set_data_units(result, data, {{"log_likelihood", rows[0]["log_likelihood"]}});
  } else {
    result.set("rows", rows);
    set_data_units(result, data, {});
  }
  result.set("rank", numerical_rank(eigen.values));
  result.set("eigenvalues", eigen.values.to_vector());
  if (o.run.json) {
    fmt::print("{}", json_text(result.to_json()));
    return;
  }
  fmt::print("pPCA of {}: {} points, {} dimensions (rank {}), fingerprint {}\n{}\n\n{}", data.dataset.name,
             data.dataset.points(), data.dataset.dimensions(), numerical_rank(eigen.values),
             data.dataset.fingerprint,
             o.sigma2 > 0 ? "σ² as given; W the best decoder for it."
                          : "Maximum likelihood; in nats per data point.",
             table.text());
}

void add_options(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  add_data_options(arguments, options->data);
  add_run_options(arguments, options->run, false);
  arguments.begin_group("Options");
  arguments.add_number("--latent", options->latent, "Latent dimensions K[,K...]", kCount).show_default();
  arguments.add_number("--sigma2", options->sigma2,
                       "Hold sigma^2 at this value instead of its maximum-likelihood one", kPositive);
  arguments.run([options] { ppca(*options); });
}

}  // namespace

const Command ppca_command{"ppca", "Closed-form probabilistic PCA of a data set", "Lucas Eqs. 7, 8",
                           "5 s on MNIST", add_options};

}  // namespace elbo
