// Polishing linear VAEs: no sweep lowers the exact ELBO, and where eigenvalues differ by 5 % the columns
// arrive.
#include "vae/linear_polish.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tensor/gemm.h"
#include "tests/error_of.h"
#include "tests/vae/linear_setting.h"
#include "vae/decoder_alignment.h"
#include "vae/linear_training.h"

using namespace elbo;

namespace {

/// Moments of data with these eigenvalues, then `rest` in all other dimensions, along random directions.
DataMoments moments_with(const std::vector<double>& leading, int64_t dimensions, double rest) {
  const Tensor noise = draw({2 * dimensions, dimensions}, 40);
  const Tensor axes = symmetric_eigen(matmul(noise, Transpose::yes, noise, Transpose::no)).vectors;
  const Tensor root = axes.clone();  // column j times the root of eigenvalue j
  for (int64_t i = 0; i < dimensions; ++i)
    for (int64_t j = 0; j < dimensions; ++j)
      root.data<double>()[i * dimensions + j] *=
          std::sqrt(j < static_cast<int64_t>(leading.size()) ? leading[static_cast<size_t>(j)] : rest);
  return {1000, draw({dimensions}, 41), root, Tensor::zeros({dimensions}, DType::f64)};
}

/// As training starts: small random weights, sigma^2 = 1.
LinearVaeWeights fresh_weights(const DataMoments& data, int64_t latent, uint64_t seed) {
  LinearVae vae({.dimensions = data.mean.elements(), .latent = latent, .dtype = DType::f64}, seed);
  vae.set_mean(data.mean);
  return linear_vae_weights(vae);
}

const std::vector<double> kFive{9, 6, 4, 2.5, 1.5};

/// Ten eigenvalues in steps of 5 %, and an eleventh without a column.
std::vector<double> steps_of_five_percent() {
  std::vector<double> values{3};
  while (values.size() < 11) values.push_back(values.back() / 1.051);
  return values;
}

double elbo_of(const LinearVaeWeights& weights, const DataMoments& data) {
  return evaluate_linear_vae(weights, data).elbo;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE(
      "polishing alone takes small random weights to the pPCA maximum and to every principal direction") {
    struct Setting {
      std::vector<double> leading;
      int64_t latent;
      double rest;
    };
    for (const Setting& s : {Setting{kFive, 5, 0.5}, Setting{steps_of_five_percent(), 10, 0.3},
                             Setting{steps_of_five_percent(), 10, 1e-4}}) {
      const DataMoments data = moments_with(s.leading, 40, s.rest);
      const Eigen eigen = principal_components(data);
      const double maximum = ppca_max_log_likelihood(eigen.values, s.latent);
      for (uint64_t seed : {1, 2, 3}) {
        CAPTURE(s.latent);
        CAPTURE(seed);
        LinearVaeWeights weights = fresh_weights(data, s.latent, seed);
        double latest = elbo_of(weights, data);
        CHECK(latest < maximum - 1);
        for (int sweep = 1; sweep <= 80; ++sweep) {
          CAPTURE(sweep);
          weights = polish(weights, data, true);
          const double elbo = elbo_of(weights, data);
          CHECK(elbo >= latest - 1e-11);
          CHECK(elbo <= maximum + 1e-10);
          latest = elbo;
        }
        MESSAGE("below the maximum: " << maximum - latest);
        CHECK(latest > maximum - 0.1);
        const DecoderAlignment found = decoder_alignment(weights, eigen);
        CHECK(static_cast<int64_t>(found.counted.size()) == s.latent);
        for (double cosine : found.cosines) CHECK(cosine > 0.99);
        CHECK(found.angle < 8);
      }
    }
  }

  TEST_CASE("polishing turns in a few sweeps what Adam has not turned in hundreds of steps") {
    const DataMoments data = moments_with(kFive, 20, 0.5);
    const Eigen eigen = principal_components(data);
    LinearVae vae({.dimensions = 20, .latent = 5}, 1);
    vae.set_mean(data.mean);
    Adam adam(vae.parameters());
    const Tensor covariance = elbo::covariance(data).to(DType::f32);
    for (int step = 0; step < 400; ++step) {
      Tape tape;
      tape.backward(-vae.analytic_elbo_from_covariance(covariance));
      adam.step(1e-2);
    }
    const double after_adam = decoder_alignment(linear_vae_weights(vae), eigen).worst;
    MESSAGE("worst |cosine| after Adam: " << after_adam);
    CHECK(after_adam < 0.95);
    // Rounded to the model's f32 after each sweep, as a run does it.
    for (int sweep = 0; sweep < 20; ++sweep)
      set_linear_vae_weights(vae, polish(linear_vae_weights(vae), data, true));
    const LinearVaeWeights weights = linear_vae_weights(vae);
    CHECK(decoder_alignment(weights, eigen).worst > 0.9999);
    CHECK(elbo_of(weights, data) > ppca_max_log_likelihood(eigen.values, 5) - 1e-4);
    CHECK(elbo_of(weights, data) <= ppca_max_log_likelihood(eigen.values, 5) + 1e-9);
  }

  TEST_CASE("no sweep lowers the exact ELBO, whatever the weights; after it the posterior is exact") {
    for (uint64_t seed : {1, 2, 3, 4})
      for (double scale : {1e-6, 0.5, 20.0})
        for (bool learn : {true, false}) {
          CAPTURE(seed);
          CAPTURE(scale);
          CAPTURE(learn);
          LinearSetting s(30, 7, 4, seed, scale);
          s.vae.set_mean((Variable(s.data.mean) + Variable(draw({7}, seed))).value());  // not the data's
          LinearVaeWeights weights = linear_vae_weights(s.vae);
          for (int sweep = 0; sweep < 5; ++sweep) {
            const LinearVaeMetrics before = evaluate_linear_vae(weights, s.data);
            const LinearVaeWeights next = polish(weights, s.data, learn);
            const LinearVaeMetrics after = evaluate_linear_vae(next, s.data);
            CHECK(after.log_likelihood >= before.log_likelihood - 1e-10 * std::abs(before.log_likelihood));
            CHECK(after.elbo >= before.elbo - 1e-10 * std::abs(before.elbo));
            CHECK(close(after.elbo, after.log_likelihood, 1e-10));
            if (!learn) CHECK(next.log_sigma2 == weights.log_sigma2);
            CHECK(next.mean.to_vector() == weights.mean.to_vector());
            // Columns are orthogonal, the longest first.
            const Tensor gram = matmul(next.decoder, Transpose::yes, next.decoder, Transpose::no);
            for (int64_t i = 0; i < 4; ++i)
              for (int64_t j = 0; j < i; ++j) {
                CHECK(std::abs(gram.at(4 * i + j)) <= 1e-12 * gram.at(0));
                CHECK(gram.at(5 * j) >= gram.at(5 * i));
              }
            weights = next;
          }
        }
  }

  TEST_CASE("the encoder's gradient is 0 after a sweep, and every gradient at the end") {
    LinearSetting s(60, 8, 3, 7);
    const auto largest = [&](const char* name) {
      double most = 0;
      for (double value : s.gradient(name).to_vector()) most = std::max(most, std::abs(value));
      return most;
    };
    const auto sweep = [&] {
      set_linear_vae_weights(s.vae, polish(linear_vae_weights(s.vae), s.data, true));
    };
    s.differentiate();
    CHECK(largest("encoder.weight") > 1e-3);
    sweep();
    s.differentiate();
    CHECK(largest("encoder.weight") < 1e-11);
    CHECK(largest("log_variance") < 1e-11);
    CHECK(largest("decoder.weight") > 1e-3);
    for (int i = 0; i < 300; ++i) sweep();
    s.differentiate();
    for (const char* name : {"decoder.weight", "encoder.weight", "log_variance", "log_sigma2"}) {
      CAPTURE(name);
      CHECK(largest(name) < 1e-9);
    }
  }

  TEST_CASE("the maximum stays where it is") {
    const DataMoments data = moments_with(kFive, 12, 0.5);
    const Eigen eigen = principal_components(data);
    const Ppca best = ppca_solution(data, eigen, 5, ppca_mle_sigma2(eigen.values, 5));
    LinearVaeWeights weights = fresh_weights(data, 5, 1);
    weights.decoder = best.weight;
    weights.log_sigma2 = std::log(best.sigma2);
    const LinearVaeWeights next = polish(weights, data, true);
    CHECK(close(next.log_sigma2, weights.log_sigma2, 1e-12));
    for (int64_t i = 0; i < 12 * 5; ++i)
      CHECK(close(std::abs(next.decoder.at(i)), std::abs(best.weight.at(i)), 1e-12));
  }

  TEST_CASE("with sigma^2 fixed, the columns of eigenvalues below it go to 0") {
    const DataMoments data = moments_with(kFive, 12, 0.5);
    const Eigen eigen = principal_components(data);
    LinearVaeWeights weights = fresh_weights(data, 5, 1);
    weights.log_sigma2 = std::log(3.2);  // between the third and the fourth
    for (int sweep = 0; sweep < 150; ++sweep) weights = polish(weights, data, false);
    const LinearVaeMetrics metrics = evaluate_linear_vae(weights, data);
    CHECK(metrics.active_units == 3);
    CHECK(close(metrics.elbo, ppca_log_likelihood(ppca_solution(data, eigen, 5, 3.2), data), 1e-9));
    const DecoderAlignment found = decoder_alignment(weights, eigen);
    CHECK(found.counted == std::vector<int64_t>{0, 1, 2});
    CHECK(found.worst > 0.9999);
  }

  TEST_CASE("fewer points than dimensions: the maximum where there is one, else a line") {
    const Tensor x = correlated_data(20, 50, 42);  // they span 19 dimensions
    const DataMoments data = data_moments(x);
    const Eigen eigen = principal_components(data);
    const auto polished = [&](int64_t latent) {
      LinearVaeWeights weights = fresh_weights(data, latent, 1);
      for (int sweep = 0; sweep < 300; ++sweep) weights = polish(weights, data, true);
      return weights;
    };
    CHECK(elbo_of(polished(4), data) > ppca_max_log_likelihood(eigen.values, 4) - 1e-3);
    for (int64_t latent : {19, 30}) {
      const std::string error = error_of([&] { polished(latent); });
      CHECK(mentions(error, "[polish] sigma^2 goes to 0"));
    }
    // A dimension a hundred million times wider than the others hides nothing.
    std::vector<double> wide = kFive;
    wide[0] = 1e16;
    const DataMoments uneven = moments_with(wide, 12, 0.5);
    LinearVaeWeights found = fresh_weights(uneven, 5, 1);
    for (int sweep = 0; sweep < 300; ++sweep) found = polish(found, uneven, true);
    CHECK(close(std::exp(found.log_sigma2), 0.5, 1e-6));
    // As many latent dimensions as the data have: no direction is left for the noise, but nothing is wrong.
    const DataMoments full = moments_with(kFive, 5, 0);
    LinearVaeWeights weights = fresh_weights(full, 5, 1);
    for (int sweep = 0; sweep < 300; ++sweep) weights = polish(weights, full, true);
    double best = 5 * (math::kLogTwoPi + 1);
    for (double value : kFive) best += std::log(value);
    CHECK(close(elbo_of(weights, full), -0.5 * best, 1e-9));
  }

  TEST_CASE("a member's weights go back to where they came from") {
    LinearVae vae({.dimensions = 6, .latent = 2, .members = 3}, 1);
    const LinearVaeWeights first = linear_vae_weights(vae, 0), second = linear_vae_weights(vae, 1);
    LinearVaeWeights changed = second;
    changed.decoder = draw({6, 2}, 1, DType::f32).to(DType::f64);
    changed.log_sigma2 = 0.5;
    set_linear_vae_weights(vae, changed, 1);
    CHECK(linear_vae_weights(vae, 1).decoder.to_vector() == changed.decoder.to_vector());
    CHECK(linear_vae_weights(vae, 1).encoder.to_vector() == second.encoder.to_vector());
    CHECK(linear_vae_weights(vae, 1).log_sigma2 == 0.5);
    CHECK(linear_vae_weights(vae, 0).decoder.to_vector() == first.decoder.to_vector());
    CHECK(linear_vae_weights(vae, 0).log_sigma2 == 0);
  }
}
