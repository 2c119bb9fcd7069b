// The VAEs of Asperti 2019 as files: what is saved comes back as the same model, and what is not such a file
// is refused in one line.
#include "vae/asperti_file.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/helpers.h"
#include "vae/deep_vae_file.h"

using namespace elbo;

namespace {

AspertiOptions dense() {
  return {.dimensions = 6, .latent = 2, .hidden = {5, 3}, .lambda = 0.3, .members = 3, .first_member = 7};
}

AspertiOptions conv() {
  return {.dimensions = 784,
          .latent = 3,
          .conv = ImageSize{28, 28, 1},
          .lambda = 0.5,
          .dtype = DType::f64,
          .members = 2};
}

SafetensorsFile saved(const AspertiOptions& options, const Vae& vae, int64_t member) {
  const TemporaryDirectory directory;
  save_asperti_vae(directory / "model.safetensors", options, vae, member, {{"card", "{}"}});
  return read_safetensors(directory / "model.safetensors");
}

std::string refusal_with(const AspertiOptions& options, const char* key, const std::string& value) {
  SafetensorsFile file = saved(options, *asperti_vae(options, 1), 0);
  file.metadata[key] = value;
  return error_of([&] { load_asperti_vae(file); });
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("a saved VAE of Asperti is the member that it was") {
    for (const AspertiOptions& options : {dense(), conv()}) {
      const auto vae = asperti_vae(options, 1);
      const SafetensorsFile file = saved(options, *vae, 1);
      CHECK(is_asperti_vae(file));
      CHECK_FALSE(is_deep_vae(file));
      CHECK(file.metadata.at("card") == "{}");
      const auto loaded = load_asperti_vae(file, Device::cpu, 9);
      CHECK(loaded->first_member() == 9);
      CHECK(loaded->dtype() == options.dtype);
      CHECK(loaded->parameters().all().size() == vae->parameters().all().size());
      for (const Parameter& own : loaded->parameters().all())
        CHECK(own.value.to_vector() == vae->parameters().at(own.name).value.slice(1).to_vector());
      CHECK(error_of([&] { loaded->parameters().trained({"log_sigma2"}); }) != "");  // held, as it was
    }
  }

  TEST_CASE("a damaged description of a VAE of Asperti is refused in one line") {
    CHECK(mentions(refusal_with(dense(), "latent", "0"), "'latent' must be a positive number, got '0'"));
    CHECK(mentions(refusal_with(dense(), "lambda", "nan"), "'lambda' must be a positive number, got 'nan'"));
    CHECK(mentions(refusal_with(dense(), "lambda", "0.4"),
                   "the metadata say lambda = 0.4, the parameters 0.3"));
    CHECK(mentions(refusal_with(dense(), "hidden", "1000000,1000000"), "larger network than the file holds"));
    CHECK(mentions(refusal_with(dense(), "hidden", "5,4"), "model.safetensors"));
    CHECK(mentions(refusal_with(conv(), "image_height", "29"), "model.safetensors"));
    CHECK(mentions(refusal_with(conv(), "latent", "1000000"), "larger network than the file holds"));
    SafetensorsFile file = saved(dense(), *asperti_vae(dense(), 1), 0);
    file.metadata.erase("dimensions");
    CHECK(mentions(error_of([&] { load_asperti_vae(file); }), "the metadata do not say 'dimensions'"));
  }
}
