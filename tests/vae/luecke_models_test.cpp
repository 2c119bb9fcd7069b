// The four VAEs of Lücke et al.: what they are made of, the identity of their gap, and that it closes where a
// training has ended.
#include "vae/luecke_models.h"

#include <doctest/doctest.h>

#include <map>

#include "datasets/toys.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/deep_metrics.h"
#include "vae/elbo_loss.h"
#include "vae/set_batches.h"

using namespace elbo;

namespace {

constexpr LueckeModel kAll[] = {LueckeModel::linear, LueckeModel::vae1, LueckeModel::vae2, LueckeModel::vae3};

LueckeOptions small(int64_t members, bool softplus = true) {
  return {.dimensions = 10,
          .latent = 2,
          .hidden = {12, 9},
          .softplus = softplus,
          .dtype = DType::f64,
          .members = members};
}

/// So many points for each of `sets` members, f64; PCA data for the linear model, else the ring.
Tensor points_for(LueckeModel model, int64_t sets, int64_t n) {
  return draw_sets(model == LueckeModel::linear ? pca_toys() : ring_toys(),
                   {.sets = sets, .train = n, .test = 1, .seed = 3, .dtype = DType::f64})
      .train;
}

double length_of_column(const Tensor& w, int64_t column) {
  double squares = 0;
  for (int64_t i = 0; i < w.size(0); ++i) squares += std::pow(w.at(i * w.size(1) + column), 2);
  return std::sqrt(squares);
}

/// Makes E z^2 of every unit the prior's variance, where `found` has it otherwise: by that variance, where it
/// is learned, else by the scale of z, which encoder and first layer of the decoder share. The decoder does
/// not notice.
void make_second_moments_stationary(const Vae& vae, const std::vector<DeepVaeMetrics>& found) {
  const int64_t k = vae.latent();
  for (size_t m = 0; m < found.size(); ++m)
    for (const Parameter& parameter : vae.parameters().all()) {
      const std::string& name = parameter.name;
      const int64_t own = parameter.value.elements() / vae.models();
      double* numbers = parameter.value.data<double>() + static_cast<int64_t>(m) * own;
      for (int64_t h = 0; h < k; ++h) {
        const double moment = found[m].entropies.second_moments[static_cast<size_t>(h)],
                     scale = 1 / std::sqrt(moment);
        if (vae.prior_log_variance().value().defined()) {
          if (name == "prior.log_variance") numbers[h] += std::log(moment);
          continue;
        }
        if (name == "encoder.mean.bias") numbers[h] *= scale;
        if (name == "encoder.log_variance.bias") numbers[h] += 2 * std::log(scale);
        if (name == "tau_raw") numbers[h] = std::log(std::expm1(scale * std::log1p(std::exp(numbers[h]))));
        for (int64_t i = 0; name == "encoder.mean.weight" && i < own / k; ++i)
          numbers[h * (own / k) + i] *= scale;
        if (name == "decoder.weight" || name == "decoder.0.weight" || name == "decoder.log_variance.0.weight")
          for (int64_t i = 0; i < own / k; ++i) numbers[i * k + h] /= scale;
      }
    }
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("Lücke models: what is learned of each") {
    const auto count = [](LueckeModel model, LueckeOptions o) {
      std::map<std::string, int64_t> numbers;
      int64_t total = 0;
      const auto vae = luecke_vae(model, o, 1);
      for (const Parameter& parameter : vae->parameters().all()) {
        numbers[parameter.name] = parameter.value.elements();
        total += parameter.value.elements();
      }
      numbers[""] = total;
      return numbers;
    };
    const LueckeOptions paper{.dimensions = 10, .latent = 2};
    // Listing 1: two layers, tau (2), sigma.
    auto linear = count(LueckeModel::linear, paper);
    CHECK(linear[""] == (10 * 2 + 2) + (2 * 10 + 10) + 2 + 1);
    CHECK(linear["tau_raw"] == 2);
    const int64_t encoder = (10 * 50 + 50) + (50 * 50 + 50) + 2 * (50 * 2 + 2),
                  decoder = (2 * 50 + 50) + (50 * 50 + 50) + (50 * 10 + 10);
    CHECK(count(LueckeModel::vae1, paper)[""] == encoder + decoder + 1);
    CHECK(count(LueckeModel::vae2, paper)[""] == encoder + decoder + 1 + 2);
    CHECK(count(LueckeModel::vae3, paper)[""] == encoder + 2 * decoder);
    CHECK(count(LueckeModel::vae1, {.dimensions = 784, .latent = 10})["decoder.2.weight"] == 784 * 50);
  }

  TEST_CASE("Lücke models: layers start within 1 / sqrt(inputs), deviations at softplus of 0, or at 1") {
    for (const bool softplus : {true, false}) {
      const auto vae = luecke_vae(LueckeModel::linear, small(2, softplus), 5);
      const double start = softplus ? 2 * std::log(std::log(2)) : 0;
      const Tensor x = points_for(LueckeModel::linear, 2, 4);
      for (const double value : vae->encode(x).log_variance.value().to_vector())
        CHECK(close(value, start, 1e-12));
      CHECK(close(linear_decoder(*vae, 1).sigma2, std::exp(start), 1e-12));
    }
    const auto vae = luecke_vae(LueckeModel::vae1, small(0), 5);
    for (const auto& [name, inputs] : {std::pair{"encoder.0", 10},
                                       {"encoder.1", 12},
                                       {"encoder.mean", 9},
                                       {"decoder.0", 2},
                                       {"decoder.2", 9}})
      for (const char* part : {".weight", ".bias"}) {
        double largest = 0;
        const Tensor value = vae->parameters().at(std::string(name) + part).value;
        for (const double number : value.to_vector()) largest = std::max(largest, std::abs(number));
        CHECK(largest <= 1 / std::sqrt(inputs));
        CHECK(largest > 0.3 / std::sqrt(inputs));
      }
    // VAE-2's first matrix acts with columns of length 1, whatever is learned.
    const auto second = luecke_vae(LueckeModel::vae2, small(0), 5);
    const Tensor w = second->parameters().at("decoder.0.weight").value;
    CHECK(std::abs(length_of_column(w, 0) - 1) > 0.01);
    const auto output = [&] { return second->decode(draw({3, 2}, 4)).mean.value().to_vector(); };
    const std::vector<double> before = output();
    w.copy_from((Variable(w) * Variable(Tensor::from<double>({2}, {3.5, 0.2}))).value());
    for (size_t i = 0; i < before.size(); ++i) CHECK(close(output()[i], before[i], 1e-12));
  }

  TEST_CASE("Lücke models: a fixed sigma stays, and the rest learns") {
    for (const bool softplus : {true, false}) {
      LueckeOptions o = small(0, softplus);
      o.fixed_sigma = 0.2;
      const auto vae = luecke_vae(LueckeModel::linear, o, 1);
      CHECK(close(linear_decoder(*vae).sigma2, 0.04, 1e-12));
      const std::vector<double> before = linear_decoder(*vae).weight.to_vector();
      Training training(vae->parameters(), {{.loss = elbo_loss(*vae, {}, 3), .steps = 3}},
                        whole_set(points_for(LueckeModel::linear, 1, 20).slice(0)));
      while (training.step()) continue;
      CHECK(close(linear_decoder(*vae).sigma2, 0.04, 1e-12));
      CHECK(evaluate_deep_vae(*vae, points_for(LueckeModel::linear, 1, 20).slice(0))[0].entropies.obstacle ==
            kSigma2IsFixed);
      CHECK(linear_decoder(*vae).weight.to_vector() != before);
    }
  }

  TEST_CASE(
      "Lücke models: the gap's identity holds to 1e-9 for each member, trained or not, epoch after epoch") {
    for (const LueckeModel model : kAll) {
      CAPTURE(static_cast<int>(model));
      const auto vae = luecke_vae(model, small(2), 7);
      const Tensor x = points_for(model, 2, 60);
      const Loss loss = elbo_loss(*vae, {}, 4);
      REQUIRE(loss.probes == std::vector<std::string>{kExpectedLogLikelihood, kKl, kPriorEntropy,
                                                      kDecoderEntropy, kEncoderEntropy});
      Training training(vae->parameters(), {{.loss = loss, .steps = 12}}, shuffled_batches(x, 20, 3),
                        {.seed = 2});
      for (int epoch = 0; epoch < 4; ++epoch) {
        const auto metrics = evaluate_deep_vae(*vae, x, {.seed = 1, .samples = 3, .progress = nullptr});
        for (size_t m = 0; m < 2; ++m) {
          const EntropyGauge& gauge = metrics[m].entropies;
          CHECK(close(gauge.decoder_gap + gauge.prior_gap, gauge.gap, 1e-9));
          CHECK(close(metrics[m].elbo - gauge.sum, gauge.gap, 1e-12));
          CHECK(std::abs(gauge.gap) > 1e-3);
          double prior = std::log(2 * std::acos(-1.0)) + 1;
          if (model == LueckeModel::vae2)
            for (int64_t h = 0; h < 2; ++h)
              prior +=
                  0.5 * vae->parameters().at("prior.log_variance").value.at(2 * static_cast<int64_t>(m) + h);
          CHECK(close(gauge.prior, prior, 1e-12));
        }
        CHECK(metrics[0].elbo != metrics[1].elbo);  // their data are their own
        const LossTerms terms = differentiate(loss, x, {}, {.seed = 3, .stream = kLatentNoise});
        vae->parameters().consume_gradients();
        for (size_t m = 0; m < 2; ++m) {  // what a step measures knows the prior's part without draws
          const auto probe = [&](size_t i) { return terms.probes[i].at(static_cast<int64_t>(m)); };
          const EntropyGauge& gauge = metrics[m].entropies;
          CHECK(close(probe(2), gauge.prior, 1e-12));
          CHECK(close(probe(4), gauge.encoder, 1e-12));
          CHECK(close(-probe(1) - (probe(4) - probe(2)), gauge.prior_gap, 1e-9));
          if (model != LueckeModel::vae3) CHECK(close(probe(3), gauge.decoder, 1e-12));
        }
        for (int step = 0; step < 3; ++step) REQUIRE(training.step());
      }
    }
  }

  TEST_CASE("Lücke models: a member is the model that it would be alone on its own data") {
    for (const LueckeModel model : {LueckeModel::vae2, LueckeModel::vae3}) {
      const Tensor x = points_for(model, 2, 30);
      const auto together = luecke_vae(model, small(2), 7);
      LueckeOptions o = small(0);
      o.first_member = 1;
      const auto alone = luecke_vae(model, o, 7);
      const auto train = [&](Vae& vae, const Tensor& data) {
        Training training(vae.parameters(), {{.loss = elbo_loss(vae, {}, 2), .steps = 5}},
                          shuffled_batches(data, 12, 3), {.seed = 2});
        while (training.step()) continue;
        return training.terms();
      };
      const LossTerms all = train(*together, x), own = train(*alone, x.slice(1));
      for (size_t i = 0; i < own.probes.size(); ++i)
        CHECK(close(all.probes[i].at(1), own.probes[i].item(), 1e-10));
      for (const Parameter& parameter : alone->parameters().all()) {
        const Tensor there = together->parameters().at(parameter.name).value.slice(1);
        for (int64_t i = 0; i < parameter.value.elements(); ++i)
          CHECK(close(there.at(i), parameter.value.at(i), 1e-10));
      }
    }
  }

  // The gap is as small as what is off in a variance; the bound, which Adam follows, as its square. So Adam
  // ends near only, above all in the scale of z, which has a closed form.
  TEST_CASE(
      "Lücke models: where a training has ended the entropies are the ELBO, within their sampling error") {
    for (const LueckeModel model : kAll) {
      CAPTURE(static_cast<int>(model));
      const auto vae = luecke_vae(model, small(2), 7);
      const Tensor x = points_for(model, 2, 100);
      const int64_t steps = 4000;
      Training training(vae->parameters(),
                        {{.loss = elbo_loss(*vae, {}, 8),
                          .steps = steps,
                          .rates = {0.01},
                          .schedule = {.kind = Schedule::Kind::cosine, .base = 1, .total_steps = steps}}},
                        whole_set(x), {.seed = 2});
      const auto before = evaluate_deep_vae(*vae, x);
      while (training.step()) continue;
      const auto after = evaluate_deep_vae(*vae, x, {.seed = 1, .samples = 200, .progress = nullptr});
      for (size_t m = 0; m < 2; ++m) {
        const EntropyGauge& gauge = after[m].entropies;
        MESSAGE(after[m].elbo << " beside " << gauge.sum << ", gap " << gauge.gap << " +- "
                              << gauge.gap_standard_error << ", of the decoder " << gauge.decoder_gap
                              << ", of the prior " << gauge.prior_gap << ", slope " << gauge.encoder_slope
                              << " +- " << gauge.encoder_slope_standard_error);
        CHECK(after[m].elbo > before[m].elbo + 5);
        CHECK(std::abs(gauge.decoder_gap) < 3 * gauge.gap_standard_error);
        CHECK(gauge.gap_standard_error < 0.02);
        CHECK(std::abs(gauge.prior_gap) < 0.1);
        CHECK(gauge.encoder_slope_standard_error < 0.1);
        CHECK(std::abs(gauge.encoder_slope) < 4 * gauge.encoder_slope_standard_error);
        if (model == LueckeModel::linear) {  // which reaches pPCA's maximum
          const DataMoments moments = data_moments(x.slice(static_cast<int64_t>(m)));
          const double exact = ppca_log_likelihood(linear_decoder(*vae, static_cast<int64_t>(m)), moments);
          CHECK(exact > after[m].elbo - 0.02);
          CHECK(std::abs(gauge.sum - exact) < 0.2);
          CHECK(exact > ppca_max_log_likelihood(principal_components(moments).values, 2) - 0.05);
        }
      }
      make_second_moments_stationary(*vae, after);
      const auto scaled = evaluate_deep_vae(*vae, x, {.seed = 1, .samples = 200, .progress = nullptr});
      for (size_t m = 0; m < 2; ++m) {
        const EntropyGauge &gauge = scaled[m].entropies, &unscaled = after[m].entropies;
        double rise = 0;
        for (const double moment : unscaled.second_moments) rise += 0.5 * (moment - 1 - std::log(moment));
        CHECK(rise > 0);
        CHECK(close(scaled[m].elbo - after[m].elbo, rise, 1e-8));
        CHECK(std::abs(gauge.prior_gap) < 1e-9);
        CHECK(close(gauge.decoder_gap, unscaled.decoder_gap, 1e-8));
        CHECK(std::abs(gauge.gap) < 3 * gauge.gap_standard_error);
      }
    }
  }

  TEST_CASE("Lücke models: what cannot be is refused") {
    CHECK(error_of([] { luecke_vae(LueckeModel::vae1, {.dimensions = 0, .latent = 2}, 1); }) ==
          "[luecke] dimensions and latent dimension must be positive, got 0 and 2");
    CHECK(mentions(
        error_of([] { luecke_vae(LueckeModel::vae3, {.dimensions = 3, .latent = 2, .hidden = {}}, 1); }),
        "need a hidden layer"));
    CHECK(mentions(error_of([] {
                     luecke_vae(LueckeModel::vae3, {.dimensions = 3, .latent = 2, .fixed_sigma = 0.2}, 1);
                   }),
                   "no sigma that could be fixed"));
    CHECK(mentions(error_of([] {
                     luecke_vae(LueckeModel::vae1, {.dimensions = 3, .latent = 2, .fixed_sigma = -1.0}, 1);
                   }),
                   "must be positive"));
    CHECK(mentions(
        error_of([] { linear_decoder(*luecke_vae(LueckeModel::vae1, {.dimensions = 3, .latent = 2}, 1)); }),
        "not linear"));
  }

  TEST_CASE(
      "batches of whole sets: every point once an epoch, in another order each, the same for all members") {
    const Tensor x = draw({2, 10, 3}, 1);
    const BatchSource source = shuffled_batches(x, 4, 5);
    CHECK(source.per_epoch == 3);
    std::vector<std::vector<double>> orders;
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      std::vector<double> order;
      for (int64_t step = 0; step < 3; ++step) {
        const Tensor batch = source.batch(3 * epoch + step);
        CHECK(batch.shape() == Shape{2, step < 2 ? 4 : 2, 3});
        for (int64_t i = 0; i < batch.size(1); ++i) {
          int64_t row = 0;
          while (x.at(3 * row) != batch.at(3 * i)) ++row;
          order.push_back(static_cast<double>(row));
          for (int64_t j = 0; j < 3; ++j)
            CHECK(batch.at(3 * (batch.size(1) + i) + j) == x.at(3 * (10 + row) + j));
        }
      }
      orders.push_back(order);
      std::sort(order.begin(), order.end());
      for (size_t i = 0; i < 10; ++i) CHECK(order[i] == static_cast<double>(i));
    }
    CHECK(orders[0] != orders[1]);
    // Of one set, the same rows; and any step can be had alone.
    const BatchSource one = shuffled_batches(x.slice(1), 4, 5);
    CHECK(one.batch(4).to_vector() == source.batch(4).slice(1).to_vector());
    CHECK(shuffled_batches(x, 100, 5).per_epoch == 1);
    CHECK(error_of([&] { shuffled_batches(x, 0, 5); }) ==
          "[batches] a batch must hold at least one point, got 0");
  }
}
