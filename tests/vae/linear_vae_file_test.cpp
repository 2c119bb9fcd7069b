// Linear VAEs as files and as deep VAEs: the same model comes back, and what is not one is refused in one
// line.
#include "vae/linear_vae_file.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/helpers.h"
#include "vae/deep_metrics.h"

using namespace elbo;

namespace {

std::unique_ptr<LinearVae> example(int64_t members = 0) {
  auto vae = std::make_unique<LinearVae>(LinearVaeOptions{.dimensions = 5,
                                                          .latent = 2,
                                                          .sigma2 = 0.3,
                                                          .weights = {Initializer::Kind::normal, 0.5},
                                                          .members = members},
                                         3);
  vae->set_mean(draw({5}, 4));
  const Tensor log_variance = vae->parameters().at("log_variance").value;
  log_variance.copy_from(draw(log_variance.shape(), 5, DType::f32));
  return vae;
}

SafetensorsFile saved(const LinearVae& vae, int64_t member = 0) {
  const TemporaryDirectory directory;
  save_linear_vae(directory / "model.safetensors", vae, member, {{"card", "{}"}});
  return read_safetensors(directory / "model.safetensors");
}

void check_equal(const Tensor& a, const Tensor& b) {
  CHECK(a.shape() == b.shape());
  CHECK(a.to_vector() == b.to_vector());
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("linear VAE file: a model and each member of an ensemble come back as they were") {
    for (const int64_t members : {0, 3})
      for (int64_t m = 0; m < std::max<int64_t>(members, 1); ++m) {
        const auto vae = example(members);
        const SafetensorsFile file = saved(*vae, m);
        CHECK(file.metadata == std::map<std::string, std::string>{{"model", "linear"}, {"card", "{}"}});
        const LinearVaeWeights ours = linear_vae_weights(*vae, m), theirs = load_linear_vae(file);
        check_equal(ours.decoder, theirs.decoder);
        check_equal(ours.encoder, theirs.encoder);
        check_equal(ours.log_variance, theirs.log_variance);
        check_equal(ours.mean, theirs.mean);
        CHECK(ours.log_sigma2 == theirs.log_sigma2);
      }
  }

  TEST_CASE("linear VAE file: shapes that disagree and tensors that are missing are told in one line") {
    const SafetensorsFile whole = saved(*example());
    for (const NamedTensor& tensor : whole.tensors) {
      CAPTURE(tensor.name);
      for (const bool missing : {true, false}) {
        SafetensorsFile file = whole;
        for (NamedTensor& other : file.tensors)
          if (other.name == tensor.name) other = {missing ? "other" : tensor.name, Tensor::zeros({7, 7, 7})};
        CHECK(mentions(error_of([&] { load_linear_vae(file); }), tensor.name));
      }
    }
  }

  TEST_CASE("a linear VAE as a deep one has its formulas and its exact ELBO") {
    const LinearVaeWeights w = linear_vae_weights(*example());
    const auto deep = as_deep_vae(w);
    const int64_t n = 40;
    const Tensor x = draw({n, 5}, 6);
    const Posterior q = deep->encode(x);
    const Tensor z = draw({n, 2}, 7);
    const Observation seen = deep->decode(z);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < 2; ++j) {
        double code = 0;
        for (int64_t d = 0; d < 5; ++d) code += w.encoder.at(j * 5 + d) * (x.at(i * 5 + d) - w.mean.at(d));
        CHECK(q.mean.value().at(i * 2 + j) == doctest::Approx(code).epsilon(1e-12));
        CHECK(q.log_variance.value().at(i * 2 + j) == w.log_variance.at(j));
      }
      for (int64_t d = 0; d < 5; ++d) {
        const double mean =
            w.mean.at(d) + w.decoder.at(d * 2) * z.at(i * 2) + w.decoder.at(d * 2 + 1) * z.at(i * 2 + 1);
        CHECK(seen.mean.value().at(i * 5 + d) == doctest::Approx(mean).epsilon(1e-12));
      }
    }
    // The KL is exact on both sides.
    const LinearVaeMetrics exact = evaluate_linear_vae(w, data_moments(x));
    const double kl = mean(elbo_terms(*deep, x, {.seed = 8}).kl, {0}).value().item();
    CHECK(kl == doctest::Approx(exact.kl).epsilon(1e-12));
    CHECK(deep->sigma2() == doctest::Approx(exact.sigma2).epsilon(1e-12));
  }
}
