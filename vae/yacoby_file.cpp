#include "vae/yacoby_file.h"

#include <cmath>

#include "nn/parameter_file.h"
#include "vae/file_description.h"

namespace elbo {
namespace {

constexpr const char* kPrefix = "yacoby-";
constexpr const char* kGiven[] = {"noise_variance", "floor"};  // numbers of the truth that are not learned

}  // namespace

void save_yacoby_vae(const std::string& path, YacobyModel model, const YacobyTruth& truth, const Vae& vae,
                     int64_t member, const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> description = more;
  description["model"] = std::string(kPrefix) + name(model);
  for (const char* what : kGiven)
    if (const auto found = truth.find(what); found != truth.end())
      description[what] = fmt::format("{}", found->second.item());
  save_parameters(path, vae.parameters(), member, description);
}

bool is_yacoby_vae(const SafetensorsFile& file) { return is_model_of(file, kPrefix); }

std::unique_ptr<Vae> load_yacoby_vae(const SafetensorsFile& file, Device device, int64_t first_member) {
  const std::string model = described(file, "model").substr(std::string_view(kPrefix).size());
  YacobyTruth truth;
  for (const char* what : kGiven)
    if (what == kGiven[0] || model.ends_with("jtex"))
      truth[what] = Tensor::scalar(decimal_in(file, what), DType::f64);
  std::unique_ptr<Vae> vae;
  try {
    vae = yacoby_vae(parse_yacoby_model(model), truth,
                     {.device = device, .members = 0, .first_member = first_member}, 0);
  } catch (const Error& error) {
    fail("[load] {}: {}", file.path, error.what());
  }
  load_parameters(file, vae->parameters());
  const double given = decimal_in(file, kGiven[0]),
               held = std::exp(vae->parameters().at("log_sigma2").value.item());
  if (std::abs(held - given) > 1e-9 * given)
    fail("[load] {}: the metadata say noise of variance {}, the parameters {}", file.path, given, held);
  return vae;
}

}  // namespace elbo
