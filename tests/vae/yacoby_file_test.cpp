// The VAEs of Yacoby et al. as files: what is saved comes back as the same model, and what is not such a file
// is refused in one line.
#include "vae/yacoby_file.h"

#include <doctest/doctest.h>

#include "datasets/yacoby_toys.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "vae/deep_vae_file.h"

using namespace elbo;

namespace {

struct Kind {
  YacobyModel model;
  Toy toy;
};
std::vector<Kind> all_kinds() {
  return {{YacobyModel::linear_jtex, linear_jtex_toy(1, 0)},
          {YacobyModel::cubic_jtex, cubic_jtex_toy(1, 0)},
          {YacobyModel::gaussian, gaussian_toy(1, 0)},
          {YacobyModel::mobius, mobius_toy(1, 0)}};
}

SafetensorsFile saved(const Kind& kind, int64_t member) {
  const TemporaryDirectory directory;
  const auto vae = yacoby_vae(kind.model, kind.toy.truth, {.members = 3}, 5);
  save_yacoby_vae(directory / "model.safetensors", kind.model, kind.toy.truth, *vae, member,
                  {{"card", "{}"}});
  return read_safetensors(directory / "model.safetensors");
}

std::string refusal(const SafetensorsFile& file) {
  return error_of([&] { load_yacoby_vae(file); });
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("a saved VAE of Yacoby et al. is the member that it was, with its noise") {
    for (const Kind& kind : all_kinds()) {
      CAPTURE(kind.toy.name);
      const auto vae = yacoby_vae(kind.model, kind.toy.truth, {.members = 3}, 5);
      const SafetensorsFile file = saved(kind, 2);
      CHECK(is_yacoby_vae(file));
      CHECK_FALSE(is_deep_vae(file));
      CHECK(file.metadata.at("card") == "{}");
      const auto loaded = load_yacoby_vae(file, Device::cpu, 2);
      CHECK(loaded->first_member() == 2);
      CHECK(loaded->dimensions() == kind.toy.dimensions);
      CHECK(parse_yacoby_model(name(kind.model)) == kind.model);
      const Tensor z = Tensor::from<double>({2, 2}, {0.5, -1, 2, 0.25}),
                   three = Tensor::from<double>({3, 2, 2},
                                                {0.5, -1, 2, 0.25, 0.5, -1, 2, 0.25, 0.5, -1, 2, 0.25});
      const Observation own = loaded->decode(z), all = vae->decode(three);
      CHECK(own.mean.value().to_vector() == all.mean.value().slice(2).to_vector());
      CHECK(own.log_variance.value().at(0) == all.log_variance.value().slice(2).at(0));
      const Tensor x = kind.toy.draw(4, Split::train);
      CHECK(loaded->encode(x).mean.value().to_vector() == vae->encode(x).mean.value().slice(2).to_vector());
    }
  }

  TEST_CASE("a damaged description of such a VAE is refused in one line") {
    const auto with = [](const char* key, const char* value) {
      SafetensorsFile file = saved(all_kinds()[0], 0);
      file.metadata[key] = value;
      return refusal(file);
    };
    CHECK(mentions(with("model", "yacoby-moons"), "there is no model 'moons'"));
    CHECK(mentions(with("model", "yacoby-gaussian"), "model.safetensors"));
    CHECK(mentions(with("floor", "much"), "'floor' must be a positive number, got 'much'"));
    CHECK(mentions(with("noise_variance", "-1"), "'noise_variance' must be a positive number, got '-1'"));
    CHECK(mentions(with("noise_variance", "0.5"), "noise of variance 0.5"));
    CHECK(mentions(with("model", "yacoby-moons"), "model.safetensors"));
    SafetensorsFile file = saved(all_kinds()[1], 0);
    file.metadata.erase("floor");
    CHECK(mentions(refusal(file), "floor"));
  }
}
