// The VAEs of Lücke et al. as files: what is saved comes back as the same model, and what is not such a file
// is refused in one line.
#include "vae/luecke_file.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/helpers.h"
#include "vae/deep_vae_file.h"

using namespace elbo;

namespace {

constexpr LueckeModel kAll[] = {LueckeModel::linear, LueckeModel::vae1, LueckeModel::vae2, LueckeModel::vae3};

LueckeOptions three_members(LueckeModel model) {
  return {.dimensions = 4,
          .latent = 2,
          .hidden = model == LueckeModel::linear ? std::vector<int64_t>{} : std::vector<int64_t>{5, 3},
          .members = 3,
          .first_member = 7};
}

SafetensorsFile saved(LueckeModel model, const LueckeOptions& options, int64_t member = 0) {
  const TemporaryDirectory directory;
  const auto vae = luecke_vae(model, options, 1);
  save_luecke_vae(directory / "model.safetensors", model, options, *vae, member, {{"card", "{}"}});
  return read_safetensors(directory / "model.safetensors");
}

std::string refusal_with(const char* key, const std::string& value) {
  SafetensorsFile file = saved(LueckeModel::vae1, three_members(LueckeModel::vae1));
  file.metadata[key] = value;
  return error_of([&] { load_luecke_vae(file); });
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("a saved VAE of Lücke et al. is the member that it was") {
    for (const LueckeModel model : kAll)
      for (const bool softplus : {true, false}) {
        LueckeOptions options = three_members(model);
        options.softplus = softplus;
        const auto vae = luecke_vae(model, options, 1);
        const SafetensorsFile file = saved(model, options, 2);
        CHECK(is_luecke_vae(file));
        CHECK_FALSE(is_deep_vae(file));
        CHECK(file.metadata.at("card") == "{}");
        const auto loaded = load_luecke_vae(file, Device::cpu, 9);
        CHECK(loaded->first_member() == 9);
        CHECK(loaded->likelihood() == vae->likelihood());
        CHECK(loaded->parameters().all().size() == vae->parameters().all().size());
        for (const Parameter& own : loaded->parameters().all())
          CHECK(own.value.to_vector() == vae->parameters().at(own.name).value.slice(2).to_vector());
        const Tensor z = Tensor::full({3, 2}, 0.5, DType::f32);
        CHECK(loaded->decode(z).mean.value().to_vector() ==
              vae->decode(Tensor::full({3, 3, 2}, 0.5, DType::f32)).mean.value().slice(2).to_vector());
      }
  }

  TEST_CASE("a sigma that was held is held again") {
    for (const bool softplus : {true, false}) {
      LueckeOptions options = three_members(LueckeModel::linear);
      options.softplus = softplus;
      options.fixed_sigma = 0.1;
      const auto loaded = load_luecke_vae(saved(LueckeModel::linear, options));
      const std::string name = softplus ? "sigma_raw" : "log_sigma2";
      CHECK(error_of([&] { loaded->parameters().trained({name}); }) != "");
      CHECK(linear_decoder(*loaded).sigma2 == doctest::Approx(0.01).epsilon(1e-5));
    }
  }

  TEST_CASE("a damaged description is refused in one line") {
    CHECK(mentions(refusal_with("model", "luecke-vae4"), "there is no model 'luecke-vae4'"));
    CHECK(mentions(refusal_with("latent", "-1"), "'latent' must be a positive number, got '-1'"));
    CHECK(mentions(refusal_with("hidden", "5,,3"), "'hidden' must be a positive number, got ''"));
    CHECK(mentions(refusal_with("hidden", "1000000,1000000"), "larger network than the file holds"));
    CHECK(mentions(refusal_with("hidden", "5,4"), "model.safetensors"));
    CHECK(
        mentions(refusal_with("fixed_sigma", "tiny"), "'fixed_sigma' must be a positive number, got 'tiny'"));
    CHECK(mentions(refusal_with("fixed_sigma", "-1"), "'fixed_sigma' must be a positive number, got '-1'"));
    SafetensorsFile file = saved(LueckeModel::vae3, three_members(LueckeModel::vae3));
    file.metadata.erase("hidden");
    CHECK(mentions(error_of([&] { load_luecke_vae(file); }), "the metadata do not say 'hidden'"));
  }
}
