#include "apps/saved_model.h"

#include <filesystem>
#include <set>

#include "apps/number_option.h"
#include "apps/support/run_directory.h"
#include "datasets/npy.h"
#include "tensor/file.h"
#include "vae/deep_vae_file.h"

namespace elbo {
namespace {

/// The file of the run's one model, or of the member asked for.
std::string model_file(const std::string& directory, int64_t member) {
  namespace fs = std::filesystem;
  const fs::path single = fs::path(directory) / "model.safetensors",
                 several = fs::path(directory) / "members";
  if (fs::exists(single) || !fs::exists(several)) {
    if (member > 0) fail("[--member] {} holds one model only", quote(directory));
    return single.string();
  }
  if (member < 0)
    member = read_json((fs::path(directory) / "result.json").string()).at("metrics").at("member");
  const fs::path path = several / fmt::format("{:02}.safetensors", member);
  if (!fs::exists(path)) fail("[--member] {} has no member {}", quote(directory), member);
  return path.string();
}

/// The factors that `file` holds of so many points.
Factors read_factors(const std::string& file, int64_t points) {
  const Tensor stored = read_npy(file);
  if (is_floating(stored.dtype()))
    fail(
        "[--factors] {} holds {} numbers; the number of each factor's level is needed: where these are "
        "whole, "
        "save array.astype('int64')",
        quote(file), name(stored.dtype()));
  if (stored.rank() != 2 || stored.size(0) != points || stored.size(1) == 0)
    fail("[--factors] {} holds integers of shape {}; shape ({}, F) is needed, a row for each point",
         quote(file), stored.shape().str(), points);
  Factors factors{
      .names = {}, .levels = {}, .indices = stored.to(DType::i64), .values = stored.to(DType::f64)};
  const auto all = factors.indices.span<int64_t>();
  const auto count = static_cast<size_t>(stored.size(1));
  for (size_t f = 0; f < count; ++f) {
    std::set<int64_t> seen;
    for (size_t i = f; i < all.size(); i += count) seen.insert(all[i]);
    factors.names.push_back(fmt::format("factor {}", f));
    factors.levels.push_back(static_cast<int64_t>(seen.size()));
  }
  return factors;
}

}  // namespace

void add_saved_model_options(CLI::App& app, SavedModelOptions& o) {
  app.add_option("model", o.model, "A run directory, or a .safetensors file")->required();
  add_number(app, "--member", o.member, "Of a run with several models; the best unless named", kIndex);
  add_data_options(app, o.data);
  add_run_options(app, o.run, false);
  o.data_given = app.get_options();
}

void add_factor_option(CLI::App& app, SavedModelOptions& o) {
  app.add_option(
      "--factors", o.factors,
      "What the data were made from: integers (N, F) in a NumPy file; sets that know it need none");
}

SavedModel open_saved_model(const SavedModelOptions& o) {
  SavedModel model{.file = {}, .directory = {}, .data = o.data, .seed = o.run.seed};
  if (!std::filesystem::is_directory(o.model)) {
    model.file = read_safetensors(o.model);
    return model;
  }
  // A run knows its data; what the user names here comes first.
  model.directory = o.model;
  const Json config = read_run_config(o.model, "train");
  const auto keep = [&](const char* option, auto& value) {
    for (const CLI::Option* given : o.data_given)
      if (given->get_name() == std::string("--") + option && given->count() > 0) return;
    if (config.contains(option)) config.at(option).get_to(value);
  };
  keep("data", model.data.data);
  keep("preprocess", model.data.preprocess);
  keep("alpha", model.data.alpha);
  keep("limit", model.data.limit);
  keep("subset", model.data.subset);
  keep("standardize", model.data.standardize);
  keep("seed", model.seed);
  model.file = read_safetensors(model_file(o.model, o.member));
  return model;
}

DeepModelWithData open_deep_model(const SavedModelOptions& o, Device device) {
  DeepModelWithData opened{.saved = open_saved_model(o), .vae = nullptr, .data = {}};
  if (!is_deep_vae(opened.saved.file))
    fail("[load] {} is not a deep VAE of elbo train", opened.saved.file.path);
  opened.vae = load_deep_vae(opened.saved.file, device);
  if (const std::string broken = opened.vae->parameters().first_not_finite(); !broken.empty())
    fail("[load] {} of {} is not finite: the model broke in training", broken, quote(opened.saved.file.path));
  opened.data = load_data(opened.saved.data, opened.saved.seed);
  if (opened.data.dataset.dimensions() != opened.vae->options().dimensions)
    fail("[load] the model is for {} dimensions, {} has {}", opened.vae->options().dimensions,
         opened.data.dataset.name, opened.data.dataset.dimensions());
  if (!o.factors.empty()) opened.data.dataset.factors = read_factors(o.factors, opened.data.dataset.points());
  return opened;
}

}  // namespace elbo
