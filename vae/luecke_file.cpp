#include "vae/luecke_file.h"

#include <fmt/ranges.h>

#include <array>

#include "nn/parameter_file.h"
#include "vae/file_description.h"

namespace elbo {
namespace {

constexpr const char* kPrefix = "luecke-";
constexpr std::array kNames{"linear", "vae1", "vae2", "vae3"};  // in the order of LueckeModel

LueckeModel model_in(const SafetensorsFile& file) {
  const std::string& model = described(file, "model");
  for (size_t i = 0; i < kNames.size(); ++i)
    if (model == std::string(kPrefix) + kNames[i]) return static_cast<LueckeModel>(i);
  fail("[load] {}: there is no model '{}'", file.path, model);
}

std::optional<double> sigma_in(const SafetensorsFile& file) {
  if (described(file, "fixed_sigma") == "no") return std::nullopt;
  return decimal_in(file, "fixed_sigma");
}

}  // namespace

void save_luecke_vae(const std::string& path, LueckeModel model, const LueckeOptions& o, const Vae& vae,
                     int64_t member, const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> description = more;
  const bool linear = model == LueckeModel::linear;
  description.insert({{"model", std::string(kPrefix) + kNames[static_cast<size_t>(model)]},
                      {"dimensions", std::to_string(o.dimensions)},
                      {"latent", std::to_string(o.latent)},
                      {"hidden", linear ? "" : fmt::format("{}", fmt::join(o.hidden, ","))},
                      {"softplus", o.softplus ? "yes" : "no"},
                      {"fixed_sigma", o.fixed_sigma ? fmt::format("{}", *o.fixed_sigma) : "no"}});
  save_parameters(path, vae.parameters(), member, description);
}

bool is_luecke_vae(const SafetensorsFile& file) { return is_model_of(file, kPrefix); }

std::unique_ptr<Vae> load_luecke_vae(const SafetensorsFile& file, Device device, int64_t first_member) {
  if (file.tensors.empty()) fail("[load] {}: there is no tensor", file.path);
  const LueckeOptions options{.dimensions = number_in(file, "dimensions"),
                              .latent = number_in(file, "latent"),
                              .hidden = numbers_in(file, "hidden"),
                              .softplus = described(file, "softplus") == "yes",
                              .fixed_sigma = sigma_in(file),
                              .dtype = file.tensors[0].value.dtype(),
                              .device = device,
                              .members = 0,
                              .first_member = first_member};
  check_sizes(file, options.dimensions, options.hidden, options.latent);
  auto vae = luecke_vae(model_in(file), options, 0);
  load_parameters(file, vae->parameters());
  return vae;
}

}  // namespace elbo
