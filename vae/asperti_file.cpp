#include "vae/asperti_file.h"

#include <fmt/ranges.h>

#include <cmath>

#include "nn/parameter_file.h"
#include "vae/file_description.h"

namespace elbo {
namespace {

constexpr const char *kDense = "asperti-dense", *kConv = "asperti-conv";

}  // namespace

void save_asperti_vae(const std::string& path, const AspertiOptions& o, const Vae& vae, int64_t member,
                      const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> description = more;
  description.insert({{"model", o.conv ? kConv : kDense},
                      {"latent", std::to_string(o.latent)},
                      {"lambda", fmt::format("{}", o.lambda)}});
  if (o.conv)
    description.insert({{"image_height", std::to_string(o.conv->height)},
                        {"image_width", std::to_string(o.conv->width)},
                        {"image_channels", std::to_string(o.conv->channels)}});
  else
    description.insert({{"dimensions", std::to_string(o.dimensions)},
                        {"hidden", fmt::format("{}", fmt::join(o.hidden, ","))}});
  save_parameters(path, vae.parameters(), member, description);
}

bool is_asperti_vae(const SafetensorsFile& file) {
  const auto model = file.metadata.find("model");
  return model != file.metadata.end() && (model->second == kDense || model->second == kConv);
}

std::unique_ptr<Vae> load_asperti_vae(const SafetensorsFile& file, Device device, int64_t first_member) {
  if (file.tensors.empty()) fail("[load] {}: there is no tensor", file.path);
  AspertiOptions options{.latent = number_in(file, "latent"),
                         .lambda = decimal_in(file, "lambda"),
                         .dtype = file.tensors[0].value.dtype(),
                         .device = device,
                         .first_member = first_member};
  if (described(file, "model") == kConv) {
    options.conv = ImageSize{.height = number_in(file, "image_height"),
                             .width = number_in(file, "image_width"),
                             .channels = number_in(file, "image_channels")};
    options.dimensions = options.conv->pixels();
    check_sizes(file, options.conv->channels, {}, options.latent);
  } else {
    options.dimensions = number_in(file, "dimensions");
    options.hidden = numbers_in(file, "hidden");
    check_sizes(file, options.dimensions, options.hidden, options.latent);
  }
  std::unique_ptr<Vae> vae;
  try {
    vae = asperti_vae(options, 0);
  } catch (const Error& error) {
    fail("[load] {}: {}", file.path, error.what());
  }
  load_parameters(file, vae->parameters());
  const double held = std::exp(vae->parameters().at("log_sigma2").value.item());
  if (std::abs(2 * held - options.lambda) > 1e-5 * options.lambda)
    fail("[load] {}: the metadata say lambda = {}, the parameters {:g}", file.path, options.lambda, 2 * held);
  return vae;
}

}  // namespace elbo
