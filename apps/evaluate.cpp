// elbo evaluate: all metrics of a trained model on a data set.
#include <filesystem>

#include "apps/command.h"
#include "apps/linear_report.h"
#include "apps/support/run_directory.h"
#include "nn/safetensors.h"

namespace elbo {
namespace {

struct Options {
  std::string model;
  DataOptions data;
  RunOptions run;
  std::vector<CLI::Option*> data_given;  // to tell a chosen value from a default
};

LinearVaeWeights read_linear_vae(const std::string& path) {
  const SafetensorsFile file = read_safetensors(path);
  const auto part = [&](const char* name, int rank) {
    const Tensor tensor = file.at(name).to(DType::f64);
    if (tensor.rank() != rank)
      fail("[evaluate] {}: {} has shape {}, a linear VAE needs {} axes", path, name, tensor.shape().str(),
           rank);
    return tensor;
  };
  const LinearVaeWeights w{part("decoder.weight", 2), part("encoder.weight", 2), part("log_variance", 1),
                           part("mean", 1), part("log_sigma2", 1).item()};
  const int64_t d = w.decoder.size(0), k = w.decoder.size(1);
  if (!(w.encoder.shape() == Shape{k, d}) || !(w.log_variance.shape() == Shape{k}) ||
      !(w.mean.shape() == Shape{d}))
    fail(
        "[evaluate] {}: the shapes of a linear VAE disagree: decoder {}, encoder {}, log_variance {}, mean "
        "{}",
        path, w.decoder.shape().str(), w.encoder.shape().str(), w.log_variance.shape().str(),
        w.mean.shape().str());
  return w;
}

void evaluate(const Options& o) {
  apply(o.run);
  DataOptions wanted = o.data;
  uint64_t seed = o.run.seed;
  std::string path = o.model;
  if (std::filesystem::is_directory(path)) {
    // A run knows its data; what the user names here comes first.
    const Json config = read_run_config(path, "train");
    const auto keep = [&](const char* option, auto& value) {
      for (const CLI::Option* given : o.data_given)
        if (given->get_name() == std::string("--") + option && given->count() > 0) return;
      if (config.contains(option)) config.at(option).get_to(value);
    };
    keep("data", wanted.data);
    keep("preprocess", wanted.preprocess);
    keep("alpha", wanted.alpha);
    keep("limit", wanted.limit);
    keep("subset", wanted.subset);
    keep("seed", seed);
    path = (std::filesystem::path(path) / "model.safetensors").string();
  }
  const LinearVaeWeights weights = read_linear_vae(path);
  const LoadedData data = load_data(wanted, seed);
  if (data.dataset.dimensions() != weights.decoder.size(0))
    fail("[evaluate] the model is for {} dimensions, {} has {}", weights.decoder.size(0), data.dataset.name,
         data.dataset.dimensions());
  const LinearVaeFindings findings = find_out(weights, data, data_moments(data.x));
  Json config = to_json(wanted, o.run);
  config["model"] = o.model;
  Result result("evaluate", config, provenance_of(o.run, data));
  set_metrics(result, findings);
  if (o.run.json)
    fmt::print("{}", json_text(result.to_json()));
  else
    fmt::print("{} on {} ({} points, {})\n\n{}", path, data.dataset.name, data.dataset.points(),
               name(data.preprocessing.kind), comparison(findings).text());
}

void add_options(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("model", o->model, "A run directory, or a .safetensors file of a linear VAE")->required();
  add_data_options(app, o->data);
  add_run_options(app, o->run, false);
  o->data_given = app.get_options();
  app.callback([o] { evaluate(*o); });
}

}  // namespace

const Command evaluate_command{"evaluate", "All metrics of a trained model on a data set", "", "5 s on MNIST",
                               add_options};

}  // namespace elbo
