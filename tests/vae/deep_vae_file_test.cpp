// Deep VAEs as files: what is saved comes back as the same model, and what is not such a file is refused in
// one line.
#include "vae/deep_vae_file.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/deep_setting.h"

using namespace elbo;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.byte_count())) == 0;
}

SafetensorsFile saved(const DeepVae& vae, int64_t member = 0) {
  const TemporaryDirectory directory;
  save_deep_vae(directory / "model.safetensors", vae, member);
  CHECK(directory.entries() == 1);
  return read_safetensors(directory / "model.safetensors");
}

std::unique_ptr<DeepVae> example(Likelihood likelihood, int64_t members = 0,
                                 const std::vector<int64_t>& hidden = {6, 3}, DType dtype = DType::f32) {
  auto vae = std::make_unique<DeepVae>(DeepVaeOptions{.dimensions = 5,
                                                      .latent = 2,
                                                      .encoder_hidden = hidden,
                                                      .decoder_hidden = {hidden.rbegin(), hidden.rend()},
                                                      .encoder_activation = Activation::softplus,
                                                      .decoder_activation = Activation::tanh,
                                                      .likelihood = likelihood,
                                                      .sigma2 = {0.3},
                                                      .dtype = dtype,
                                                      .members = members},
                                       1);
  randomise(*vae, 0.5, 7);
  return vae;
}

Tensor& tensor_of(SafetensorsFile& file, const std::string& name) {
  for (NamedTensor& tensor : file.tensors)
    if (tensor.name == name) return tensor.value;
  FAIL("no " << name);
  return file.tensors[0].value;
}

std::string refusal(const SafetensorsFile& file) {
  return error_of([&] { load_deep_vae(file); });
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("deep VAE file: a model comes back as it was, whatever its likelihood, layers and type") {
    for (Likelihood likelihood : kAllLikelihoods)
      for (const std::vector<int64_t>& hidden : {std::vector<int64_t>{6, 3}, {4}, {}})
        for (DType dtype : {DType::f32, DType::f64}) {
          CAPTURE(std::string(name(likelihood)));
          const auto vae = example(likelihood, 0, hidden, dtype);
          const SafetensorsFile file = saved(*vae);
          CHECK(is_deep_vae(file));
          const auto loaded = load_deep_vae(file);
          const DeepVaeOptions &a = loaded->options(), &b = vae->options();
          CHECK(a.dimensions == b.dimensions);
          CHECK(a.latent == b.latent);
          CHECK(a.encoder_hidden == b.encoder_hidden);
          CHECK(a.decoder_hidden == b.decoder_hidden);
          CHECK(a.encoder_activation == b.encoder_activation);
          CHECK(a.decoder_activation == b.decoder_activation);
          CHECK(a.likelihood == b.likelihood);
          CHECK(a.dtype == b.dtype);
          CHECK(a.members == 0);
          REQUIRE(loaded->parameters().all().size() == vae->parameters().all().size());
          for (size_t p = 0; p < vae->parameters().all().size(); ++p) {
            CHECK(loaded->parameters().all()[p].name == vae->parameters().all()[p].name);
            CHECK(same(loaded->parameters().all()[p].value, vae->parameters().all()[p].value));
          }
          const Tensor x = data_for(likelihood, 4, 5, 2).to(dtype);
          const RandomKey key{.seed = 3};
          const ElboTerms before = elbo_terms(*vae, x, key), after = elbo_terms(*loaded, x, key);
          CHECK(same(before.log_likelihood.value(), after.log_likelihood.value()));
          CHECK(same(before.kl.value(), after.kl.value()));
          if (likelihood == Likelihood::gaussian) CHECK(loaded->sigma2() == vae->sigma2());
          // What is loaded and saved again is the same file.
          const SafetensorsFile again = saved(*loaded);
          CHECK(again.metadata == file.metadata);
          for (size_t t = 0; t < file.tensors.size(); ++t)
            CHECK(same(again.tensors[t].value, file.tensors[t].value));
        }
  }

  TEST_CASE("deep VAE file: a member of an ensemble is saved as a model of its own") {
    for (Likelihood likelihood : kAllLikelihoods) {
      const auto vae = example(likelihood, 3);
      if (likelihood == Likelihood::gaussian) vae->parameters().at("log_sigma2").value.slice(2).fill(-0.8);
      for (int64_t m : {0, 2}) {
        const auto loaded = load_deep_vae(saved(*vae, m));
        CHECK(loaded->options().members == 0);
        for (size_t p = 0; p < vae->parameters().all().size(); ++p)
          CHECK(same(loaded->parameters().all()[p].value, vae->parameters().all()[p].value.slice(m)));
        const Tensor x = data_for(likelihood, 4, 5, 2).to(DType::f32);
        const Posterior own = loaded->encode(x), all = vae->encode(x);
        for (int64_t i = 0; i < own.mean.value().elements(); ++i)
          CHECK(close(own.mean.value().at(i), all.mean.value().slice(m).at(i), 1e-6));
      }
    }
    // A sigma^2 that was held fixed is the loaded model's own.
    DeepVae fixed({.dimensions = 2, .latent = 1, .sigma2 = {0.25}, .learn_sigma2 = {false}}, 1);
    const auto loaded = load_deep_vae(saved(fixed));
    CHECK(loaded->sigma2() == fixed.sigma2());
    CHECK(loaded->decode(Tensor::zeros({1, 1})).log_variance.item() ==
          fixed.decode(Tensor::zeros({1, 1})).log_variance.item());
  }

  TEST_CASE("deep VAE file: names and layouts are PyTorch's, and the metadata say what the network is") {
    const SafetensorsFile file = saved(*example(Likelihood::bernoulli));
    CHECK(file.metadata == std::map<std::string, std::string>{{"model", "mlp"},
                                                              {"likelihood", "bernoulli"},
                                                              {"encoder_activation", "softplus"},
                                                              {"decoder_activation", "tanh"}});
    CHECK(file.at("encoder.0.weight").shape() == Shape{6, 5});
    CHECK(file.at("encoder.mean.bias").shape() == Shape{2});
    CHECK(file.at("decoder.2.weight").shape() == Shape{5, 6});
    CHECK(file.tensors.size() == 14);
  }

  TEST_CASE("deep VAE file: what is damaged, missing, too much or another model is told in one line") {
    for (Likelihood likelihood : kAllLikelihoods)
      for (const std::vector<int64_t>& hidden : {std::vector<int64_t>{6, 3}, {}}) {
        CAPTURE(std::string(name(likelihood)));
        const SafetensorsFile whole = saved(*example(likelihood, 0, hidden));
        REQUIRE(refusal(whole).empty());
        const auto changed = [&](auto change) {
          SafetensorsFile file = whole;
          change(file);
          return refusal(file);
        };
        for (const char* key : {"likelihood", "encoder_activation", "decoder_activation"}) {
          CAPTURE(key);
          CHECK(mentions(changed([&](SafetensorsFile& f) { f.metadata.erase(key); }),
                         std::string("the metadata do not say '") + key + "'"));
          CHECK(mentions(changed([&](SafetensorsFile& f) { f.metadata[key] = "soft plus"; }), "unknown"));
          CHECK_FALSE(changed([&](SafetensorsFile& f) { f.metadata[key] = ""; }).empty());
        }
        for (Likelihood other : kAllLikelihoods)
          if (other != likelihood)
            CHECK_FALSE(changed([&](SafetensorsFile& f) { f.metadata["likelihood"] = name(other); }).empty());
        for (const NamedTensor& tensor : whole.tensors) {
          const std::string& of = tensor.name;
          const Shape shape = tensor.value.shape();
          CAPTURE(of);
          const auto replaced = [&](const Tensor& by) {
            return changed([&](SafetensorsFile& f) { tensor_of(f, of) = by; });
          };
          CHECK_FALSE(changed([&](SafetensorsFile& f) {
                        std::erase_if(f.tensors, [&](const NamedTensor& t) { return t.name == of; });
                      }).empty());
          CHECK_FALSE(changed([&](SafetensorsFile& f) {
                        f.tensors.push_back({of + "2", tensor.value});
                      }).empty());
          CHECK(mentions(replaced(tensor.value.to(DType::f64)), "f64"));
          CHECK_FALSE(replaced(Tensor::zeros(shape, DType::i64)).empty());
          CHECK_FALSE(replaced(tensor.value.reshape({-1, 1, 1})).empty());
          CHECK_FALSE(replaced(tensor.value.reshape(Shape{1}.concatenated(shape))).empty());
          CHECK_FALSE(replaced(Tensor::scalar(1)).empty());
          CHECK_FALSE(replaced(Tensor::zeros({0})).empty());
          for (int axis = 0; axis < shape.rank(); ++axis)
            for (int64_t size : {int64_t{0}, shape[axis] + 1}) {
              Shape other;
              for (int i = 0; i < shape.rank(); ++i) other.push_back(i == axis ? size : shape[i]);
              const std::string text = replaced(Tensor::zeros(other));
              CHECK_FALSE(text.empty());
            }
        }
      }
    SafetensorsFile linear;
    linear.path = "run/model.safetensors";
    linear.metadata = {{"model", "linear"}};
    linear.tensors = {{"decoder.weight", Tensor::zeros({5, 2})}, {"encoder.weight", Tensor::zeros({2, 5})}};
    CHECK_FALSE(is_deep_vae(linear));
    CHECK(mentions(refusal(linear), "run/model.safetensors: the metadata do not say 'likelihood'"));
    CHECK_FALSE(is_deep_vae({}));
    CHECK_FALSE(refusal({}).empty());
  }

  TEST_CASE("deep VAE file: sizes that do not fit together are noticed before memory is asked for") {
    // Two small tensors that, taken at their word, are the ends of a layer of 20,000 by 20,000.
    const int64_t many = 20000;
    for (const char* side : {"encoder", "decoder"}) {
      CAPTURE(side);
      SafetensorsFile file = saved(*example(Likelihood::gaussian));
      for (int layer : {0, 1})
        tensor_of(file, std::string(side) + "." + std::to_string(layer) + ".weight") =
            Tensor::zeros({many, 1});
      reset_peak_memory();
      const size_t before = memory_counters().live;
      CHECK_FALSE(refusal(file).empty());
      CHECK(memory_counters().peak - before < 10 * static_cast<size_t>(many));
    }
  }
}
