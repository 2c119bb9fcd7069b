// The entropy gauge of deep VAEs: in their metrics, in the probes of their loss, and where a training has
// ended.
#include <doctest/doctest.h>

#include "autograd/tape.h"
#include "tests/error_of.h"
#include "tests/vae/deep_setting.h"
#include "vae/deep_metrics.h"
#include "vae/elbo_loss.h"
#include "vae/parts.h"
#include "vae/training.h"

using namespace elbo;

namespace {

const double kLog2PiE = std::log(2 * std::acos(-1.0)) + 1;

/// dELBO / d ln t of tau^2 := t tau^2 as a training's gradient has it, through z: the bias of ln tau^2 by
/// many draws.
double slope_by_gradient(Vae& vae, const Tensor& x, int64_t member) {
  vae.parameters().consume_gradients();
  differentiate(elbo_loss(vae, {}, 4096), x, {}, {.seed = 2, .stream = kLatentNoise, .step = 6});
  const Tensor gradient = vae.parameters().at("encoder.log_variance.bias").gradient;
  double slope = 0;
  for (int64_t h = 0; h < vae.latent(); ++h) slope -= gradient.at(member * vae.latent() + h);
  return slope;
}

MetricsOptions drawn(int64_t samples) { return {.seed = 4, .samples = samples, .progress = nullptr}; }

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("deep entropies: metrics hold E, and the identity of the gap, to 1e-9 at any parameters") {
    const int64_t n = 700;  // more than one part
    for (const Likelihood likelihood : {Likelihood::gaussian, Likelihood::diagonal_gaussian})
      for (const int64_t members : {0, 2})
        for (const int64_t samples : {1, 3})
          for (const bool narrow : {false, true}) {
            const auto vae = small_deep_vae(likelihood, members);
            if (narrow) {  // every z is its mean, to 13 digits, so that loops know it
              vae->parameters().at("encoder.log_variance.weight").value.fill(0);
              vae->parameters().at("encoder.log_variance.bias").value.fill(-60);
            }
            const Tensor x = draw({n, 4}, 3);
            const auto all = evaluate_deep_vae(*vae, x, drawn(samples));
            for (int64_t m = 0; m < vae->models(); ++m) {
              CAPTURE(std::string(name(likelihood)));
              CAPTURE(narrow);
              const DeepVaeMetrics& metrics = all[static_cast<size_t>(m)];
              const EntropyGauge& gauge = metrics.entropies;
              CHECK(gauge.obstacle.empty());
              CHECK(close(gauge.gap, metrics.elbo - gauge.sum, 1e-12));
              CHECK(close(gauge.decoder_gap + gauge.prior_gap, gauge.gap, 1e-9));
              CHECK(std::abs(gauge.gap) > 0.1);
              CHECK((narrow ? gauge.gap_standard_error < 1e-9 : gauge.gap_standard_error > 0));
              if (!vae->has_scalar_sigma2() && !narrow) continue;
              const VaeTwin twin(*vae, m);
              double encoder = 0, decoder = 0, error = 0;
              Numbers moments(3);
              for (int64_t i = 0; i < n; ++i) {
                const Numbers point = row(x, i);
                const VaeTwin::Normal q = twin.encode(point), p = twin.decode(q.mean);
                for (size_t h = 0; h < 3; ++h) {
                  encoder += 0.5 * (kLog2PiE + q.log_variance[h]) / n;
                  moments[h] += (q.mean[h] * q.mean[h] + std::exp(q.log_variance[h])) / n;
                }
                for (size_t j = 0; j < 4; ++j) {
                  decoder += 0.5 * (kLog2PiE + p.log_variance[j]) / n;
                  error += std::pow(point[j] - p.mean[j], 2) / std::exp(p.log_variance[j]) / (4 * n);
                }
              }
              CHECK(close(gauge.encoder, encoder, 1e-10));
              CHECK(close(gauge.decoder, decoder, 1e-10));
              CHECK(close(gauge.prior, 1.5 * kLog2PiE, 1e-13));
              CHECK(close(gauge.sum, encoder - decoder - 1.5 * kLog2PiE, 1e-10));
              for (size_t h = 0; h < 3; ++h) CHECK(close(gauge.second_moments[h], moments[h], 1e-10));
              if (narrow) CHECK(close(gauge.noise_ratio, error, 1e-9));
              if (vae->has_scalar_sigma2())
                CHECK(close(gauge.noise_ratio, metrics.sigma2_tuned / metrics.sigma2, 1e-12));
            }
          }
  }

  TEST_CASE("deep entropies: standard errors are how far other draws of z are off, on these points") {
    for (const Likelihood likelihood : {Likelihood::gaussian, Likelihood::diagonal_gaussian})
      for (const int64_t samples : {1, 3}) {
        CAPTURE(std::string(name(likelihood)));
        CAPTURE(samples);
        const auto vae = small_deep_vae(likelihood, 2);
        const Tensor x = draw({150, 4}, 3);
        Estimate gaps, sums, slopes;
        double slope_variance = 0, gap_variance = 0, sum_variance = 0;
        const int count = 200;
        for (int seed = 0; seed < count; ++seed) {
          const auto all = evaluate_deep_vae(
              *vae, x, {.seed = static_cast<uint64_t>(seed), .samples = samples, .progress = {}});
          const EntropyGauge& gauge = all[1].entropies;
          gaps.add(gauge.gap);
          sums.add(gauge.sum);
          slopes.add(gauge.encoder_slope);
          slope_variance += gauge.encoder_slope_standard_error * gauge.encoder_slope_standard_error / count;
          gap_variance += gauge.gap_standard_error * gauge.gap_standard_error / count;
          sum_variance += gauge.sum_standard_error * gauge.sum_standard_error / count;
        }
        // A deviation from 200 draws is within 5 % of itself; four of these.
        const double spread = gaps.standard_error() * std::sqrt(count);
        CHECK(close(std::sqrt(gap_variance), spread, 0.2));
        // The slope's has in it how points differ, so that it is no less.
        CHECK(std::sqrt(slope_variance) > 0.8 * slopes.standard_error() * std::sqrt(count));
        CHECK(std::sqrt(slope_variance) < 2 * slopes.standard_error() * std::sqrt(count));
        CHECK(std::abs(slopes.mean() - slope_by_gradient(*vae, x, 1)) < 4 * slopes.standard_error());
        CHECK(std::isnan(sum_variance) == vae->has_scalar_sigma2());
        if (!vae->has_scalar_sigma2())
          CHECK(close(std::sqrt(sum_variance), sums.standard_error() * std::sqrt(count), 0.2));
      }
  }

  TEST_CASE("deep entropies: f32 numbers are those of f64 to the precision of f32") {
    for (const Likelihood likelihood : {Likelihood::gaussian, Likelihood::diagonal_gaussian}) {
      const Tensor x = draw({600, 4}, 3);
      const EntropyGauge exact = evaluate_deep_vae(*small_deep_vae(likelihood, 2), x, drawn(2))[1].entropies;
      const EntropyGauge rounded =
          evaluate_deep_vae(*small_deep_vae(likelihood, 2, DType::f32), x.to(DType::f32), drawn(2))[1]
              .entropies;
      CHECK(close(rounded.sum, exact.sum, 1e-5));
      CHECK(close(rounded.gap, exact.gap, 1e-5));
      CHECK(close(rounded.decoder_gap + rounded.prior_gap, rounded.gap, 1e-5));
    }
  }

  TEST_CASE("deep entropies: they say where the theorem does not hold, and why") {
    const Tensor x = data_for(Likelihood::bernoulli, 20, 4, 3);
    const auto bernoulli = evaluate_deep_vae(*small_deep_vae(Likelihood::bernoulli, 0), x)[0];
    CHECK(bernoulli.entropies.obstacle == "the likelihood is not Gaussian");
    CHECK(std::isnan(bernoulli.entropies.sum));
    CHECK(bernoulli.entropies.second_moments.empty());
    DeepVae held({.dimensions = 4, .latent = 3, .learn_sigma2 = {true, false}, .members = 2}, 1);
    const auto both = evaluate_deep_vae(held, x.to(DType::f32));
    CHECK(both[0].entropies.obstacle.empty());
    CHECK(both[1].entropies.obstacle == kSigma2IsFixed);
    CHECK(std::isfinite(both[1].entropies.gap));
    const Vae same(
        {.dimensions = 4, .latent = 2, .dtype = DType::f64},
        [](ParameterStore& store) {
          const auto linear = [&](const char* name, int64_t in, int64_t out) {
            return network(Linear(store, name, in, out, {Initializer::Kind::uniform, 0.1}));
          };
          return Parts{.encoder = encoder_of(linear("encoder", 4, 2), same_for_all(store, "tau", 2)),
                       .decoder = decoder_of(linear("decoder", 2, 4), one_number(store, "sigma")),
                       .mixes_points = true};
        },
        1);
    CHECK(evaluate_deep_vae(same, x)[0].entropies.obstacle ==
          "batch normalisation is evaluated otherwise than it is trained");
    const TrainingTime early{.step = 5, .steps_per_epoch = 1, .total_steps = 100}, late{99, 1, 100};
    CHECK(why_not_elbo({}, late).empty());
    Objective objective{
        .weights = {{.beta = 1}, {.beta = 4}, {.annealing = KlWeight::Annealing::linear, .epochs = 20}}};
    CHECK(why_not_elbo(objective, late, 0).empty());
    CHECK(why_not_elbo(objective, late, 1) == "the KL's weight is 4, not 1");
    CHECK(why_not_elbo(objective, early, 2) == "the KL's weight is 0.25, not 1");
    CHECK(why_not_elbo(objective, late, 2).empty());
    CHECK(why_not_elbo({.penalty = Objective::Penalty::free_bits, .free_nats = 0.3}, late) ==
          "the objective gives each unit 0.3 nats free");
    CHECK(why_not_elbo({.penalty = Objective::Penalty::free_bits, .free_nats = 0}, late).empty());
    CHECK(why_not_elbo({.weights = {{.beta = 1 + 1e-9}}}, late) == "the KL's weight is 1.000000001, not 1");
    CHECK(why_not_elbo({.penalty = Objective::Penalty::capacity}, late) ==
          "the objective holds the KL at a capacity");
  }

  TEST_CASE("deep entropies: probes of a step are those of what it drew, in parts and for each member") {
    for (const Likelihood likelihood : kAllLikelihoods)
      for (const int64_t members : {0, 2})
        for (const int64_t samples : {1, 3, 4096}) {
          CAPTURE(std::string(name(likelihood)));
          CAPTURE(samples);
          const auto vae = small_deep_vae(likelihood, members);
          const Tensor x = data_for(likelihood, 9, 4, 3);
          const RandomKey key{.seed = 2, .stream = kLatentNoise, .step = 6};
          const Loss loss = elbo_loss(*vae, {}, samples);
          const LossTerms terms = differentiate(loss, x, {}, key);
          vae->parameters().consume_gradients();
          if (likelihood == Likelihood::bernoulli) {
            CHECK(loss.probes == std::vector<std::string>{kExpectedLogLikelihood, kKl});
            continue;
          }
          REQUIRE(loss.probes == std::vector<std::string>{kExpectedLogLikelihood, kKl, kPriorEntropy,
                                                          kDecoderEntropy, kEncoderEntropy});
          const Posterior q = vae->encode(x);
          for (int64_t m = 0; m < vae->models(); ++m) {
            const auto probe = [&](size_t i) { return terms.probes[i].at(m); };
            const double elbo = elbo_in(terms, m), sum = probe(4) - probe(2) - probe(3);
            CHECK(close(probe(2), 1.5 * kLog2PiE, 1e-13));
            double encoder = 0, moments = 0;
            for (int64_t i = 27 * m; i < 27 * (m + 1); ++i) {
              encoder += 0.5 * (kLog2PiE + q.log_variance.value().at(i)) / 9;
              moments += (std::pow(q.mean.value().at(i), 2) + std::exp(q.log_variance.value().at(i))) / 9;
            }
            CHECK(close(probe(4), encoder, 1e-12));
            // The prior's part of the gap needs no draws; what else there is belongs to the decoder.
            const double prior_gap = 0.5 * (3 - moments);
            CHECK(close(-probe(1) - (probe(4) - probe(2)), prior_gap, 1e-12));
            if (vae->has_scalar_sigma2())
              CHECK(close(probe(3), 2 * (kLog2PiE + std::log(vae->sigma2(m))), 1e-12));
            if (samples == 4096) continue;  // several parts; seen below
            const Variable z = reparameterize_kl(q.mean, q.log_variance, key, vae->models(), samples).z;
            const Observation p = vae->decode(z);
            EntropySums sums(members, 4, 3);
            sums.add({x,
                      q.mean.value(),
                      q.log_variance.value(),
                      {},
                      p.mean.value(),
                      p.log_variance.value(),
                      z.value()});
            const EntropyGauge gauge = sums.gauge(m, elbo);
            CHECK(close(sum, gauge.sum, 1e-12));
            CHECK(close(elbo - sum, gauge.decoder_gap + gauge.prior_gap, 1e-9));
          }
          // Many samples, a part of them at a time, estimate what one evaluation with others does.
          if (samples == 4096) {
            const auto all = evaluate_deep_vae(*vae, x, drawn(4096));
            for (int64_t m = 0; m < vae->models(); ++m)
              CHECK(std::abs(terms.probes[3].at(m) - all[static_cast<size_t>(m)].entropies.decoder) < 0.05);
          }
        }
  }
}
