// Training deep VAEs: a member of an ensemble against the same model alone, samples in parts against plain
// automatic differentiation, and members whose numbers break.
#include "vae/elbo_loss.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "autograd/tape.h"
#include "nn/optimizer.h"
#include "tests/error_of.h"
#include "tests/thread_count.h"
#include "tests/vae/deep_setting.h"
#include "tests/vae/parts_models.h"

using namespace elbo;

namespace {

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.byte_count())) == 0;
}

/// Three members that differ in all they can: sigma^2, whether it is learned, learning rate, KL weight.
struct Ensemble {
  DeepVaeOptions options;
  std::vector<double> rates{1e-2, 1e-3, 3e-3};
  Objective objective;
  int64_t samples = 1;
  Tensor x;

  Ensemble(Likelihood likelihood, int64_t n, int64_t dimensions, std::vector<int64_t> hidden,
           DType dtype = DType::f32)
      : options{.dimensions = dimensions,
                .latent = 5,
                .encoder_hidden = hidden,
                .decoder_hidden = {hidden.rbegin(), hidden.rend()},
                .likelihood = likelihood,
                .sigma2 = {0.5, 1, 2},
                .learn_sigma2 = {true, false, true},
                .dtype = dtype,
                .members = 3},
        x(data_for(likelihood, n, dimensions, 3).to(dtype)) {
    objective.weights = {{.annealing = KlWeight::Annealing::linear, .epochs = 2},
                         {.beta = 4},
                         {.annealing = KlWeight::Annealing::cyclical, .cycles = 2}};
  }

  static TrainingTime time(int64_t step) { return {.step = step, .steps_per_epoch = 3, .total_steps = 10}; }
  static RandomKey key(int64_t step) {
    return {.seed = 2, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)};
  }

  /// With posteriors away from the prior, for each member what it would have alone.
  static std::unique_ptr<DeepVae> make(const DeepVaeOptions& network) {
    auto vae = std::make_unique<DeepVae>(network, 11);
    for (const char* name : {"encoder.mean.weight", "encoder.log_variance.weight"}) {
      const Tensor value = vae->parameters().at(name).value;
      fill_normal(value,
                  {.seed = 12, .member = static_cast<uint32_t>(network.first_member), .stream = kTestInput},
                  vae->models());
      value.copy_from((0.7 / std::sqrt(value.size(-1)) * Variable(value)).value());
    }
    return vae;
  }

  /// As many steps of all members, or of one alone; adds what each step said of its batch to `terms`.
  std::unique_ptr<DeepVae> train(int64_t steps, std::vector<LossTerms>& terms) const {
    return train(options, rates, objective, steps, terms);
  }
  std::unique_ptr<DeepVae> train_alone(size_t member, int64_t steps, std::vector<LossTerms>& terms) const {
    DeepVaeOptions own = options;
    own.sigma2 = {options.sigma2[member]};
    own.learn_sigma2 = {options.learn_sigma2[member]};
    own.members = 0;
    own.first_member = static_cast<int64_t>(member);
    Objective own_objective = objective;
    own_objective.weights = {objective.weights[member]};
    return train(own, {rates[member]}, own_objective, steps, terms);
  }

 private:
  std::unique_ptr<DeepVae> train(const DeepVaeOptions& network, const std::vector<double>& own_rates,
                                 const Objective& own_objective, int64_t steps,
                                 std::vector<LossTerms>& terms) const {
    auto vae = make(network);
    Adam adam(vae->parameters());
    const Loss loss = elbo_loss(*vae, own_objective, samples);
    for (int64_t step = 0; step < steps; ++step) {
      terms.push_back(differentiate(loss, x, time(step), key(step)));
      adam.step(own_rates);
    }
    return vae;
  }
};

/// Every parameter of `alone` beside the member's part in `all`.
template <class Compare>
void compare(DeepVae& all, int64_t member, DeepVae& alone, const Compare& compare_tensors) {
  REQUIRE(all.parameters().all().size() == alone.parameters().all().size());
  for (size_t p = 0; p < all.parameters().all().size(); ++p) {
    const Parameter& own = alone.parameters().all()[p];
    CAPTURE(own.name);
    compare_tensors(all.parameters().all()[p].value.slice(member), own.value);
  }
}

/// |a - b| / |b|.
double relative_distance(const Tensor& a, const Tensor& b) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < b.elements(); ++i) {
    difference += std::pow(a.at(i) - b.at(i), 2);
    size += b.at(i) * b.at(i);
  }
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

/// A network whose widest layer is its output, so that parts are easy to foresee: one sample of one model has
/// n D f64 numbers, and a part takes about 512 KiB.
DeepVaeOptions wide(int64_t members) {
  return {.dimensions = 1024,
          .latent = 3,
          .encoder_hidden = {4},
          .decoder_hidden = {4},
          .encoder_activation = Activation::tanh,
          .decoder_activation = Activation::tanh,
          .likelihood = Likelihood::diagonal_gaussian,  // with one variance for all it would not be made
          .dtype = DType::f64,
          .members = members};
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("deep VAE: members together on two threads are what they are alone on one, bit for bit") {
    struct Size {
      int64_t n, dimensions;
      std::vector<int64_t> hidden;
      int64_t samples;
    };
    // Odd sizes; sizes that gemm and the loops cut into blocks; none hidden; samples at once; in parts, which
    // would be more of them for three members than for one if it were their common size that mattered.
    const Size sizes[] = {
        {37, 11, {13, 9}, 1}, {130, 70, {150}, 1}, {20, 6, {}, 1}, {9, 7, {8}, 4}, {64, 300, {33}, 12}};
    for (const Size& size : sizes)
      for (Likelihood likelihood : kAllLikelihoods)
        for (DType dtype : {DType::f32, DType::f64}) {
          CAPTURE(std::string(name(likelihood)));
          CAPTURE(size.n);
          CAPTURE(std::string(name(dtype)));
          const ThreadCount two(2);
          Ensemble ensemble(likelihood, size.n, size.dimensions, size.hidden, dtype);
          ensemble.samples = size.samples;
          if (likelihood == Likelihood::bernoulli) ensemble.objective.penalty = Objective::Penalty::free_bits;
          if (likelihood == Likelihood::diagonal_gaussian)
            ensemble.objective.penalty = Objective::Penalty::capacity;
          const int64_t steps = 6;
          std::vector<LossTerms> terms;
          const auto all = ensemble.train(steps, terms);
          for (size_t m = 0; m < 3; ++m) {
            CAPTURE(m);
            const ThreadCount one(1);
            const auto member = static_cast<int64_t>(m);
            std::vector<LossTerms> own_terms;
            const auto alone = ensemble.train_alone(m, steps, own_terms);
            compare(*all, member, *alone, [&](const Tensor& a, const Tensor& b) { CHECK(same(a, b)); });
            for (size_t step = 0; step < terms.size(); ++step) {
              CHECK(terms[step].probes[0].at(member) == own_terms[step].probes[0].item());
              CHECK(terms[step].probes[1].at(member) == own_terms[step].probes[1].item());
            }
          }
          // They do differ from each other.
          CHECK(all->parameters().at("decoder.0.weight").value.slice(0).to_vector() !=
                all->parameters().at("decoder.0.weight").value.slice(1).to_vector());
        }
  }

  TEST_CASE("deep VAE: a member taken out of an ensemble is the model that it was there") {
    for (Likelihood likelihood : kAllLikelihoods) {
      const Ensemble ensemble(likelihood, 10, 6, {7});
      std::vector<LossTerms> terms;
      const auto all = ensemble.train(5, terms);
      const LossTerms next = differentiate(elbo_loss(*all), ensemble.x, {}, Ensemble::key(9));
      for (int64_t m = 0; m < 3; ++m) {
        const auto alone = member_alone(*all, m);
        CHECK(alone->options().members == 0);
        CHECK(alone->learns_sigma2() == all->learns_sigma2(m));
        compare(*all, m, *alone, [](const Tensor& a, const Tensor& b) { CHECK(same(a, b)); });
        // Its noise is still the member's.
        const LossTerms own = differentiate(elbo_loss(*alone), ensemble.x, {}, Ensemble::key(9));
        CHECK(close(elbo_in(own), elbo_in(next, m), 1e-6));
      }
      CHECK(error_of([&] { member_alone(*all, 3); }) ==
            "[deep vae] there is no member 3; the ensemble has 3");
    }
  }

  TEST_CASE("deep VAE: the noise of members depends on which they are, not on how many are beside them") {
    DeepVaeOptions options = wide(0);
    options.dimensions = 6;
    options.first_member = 4;
    DeepVae later(options, 1);
    options.first_member = 0;
    DeepVae first(options, 1);
    CHECK(later.parameters().at("encoder.0.weight").value.to_vector() !=
          first.parameters().at("encoder.0.weight").value.to_vector());
    randomise(later, 0.5, 1);
    randomise(first, 0.5, 1);
    const Tensor x = draw({5, 6}, 2);
    const auto likelihood = [&](const DeepVae& vae, uint32_t member) {
      return elbo_terms(vae, x, {.seed = 3, .member = member}).log_likelihood.value().to_vector();
    };
    CHECK(likelihood(later, 0) == likelihood(first, 4));
    CHECK(likelihood(later, 0) != likelihood(first, 0));
  }

  TEST_CASE("deep VAE: samples in parts have the gradient of all at once, given the same z") {
    const int64_t n = 64;  // one sample of one member is as large as a part
    struct Cut {
      int64_t points, samples, parts;
    };
    // Every sample a part of its own; parts of three; 5 samples cannot be cut into 2 parts.
    for (const Cut& cut : {Cut{n, 6, 6}, Cut{n / 4, 12, 3}, Cut{n / 2, 5, 5}})
      for (int64_t members : {0, 2}) {
        CAPTURE(cut.samples);
        CAPTURE(members);
        DeepVae vae(wide(members), 1);
        randomise(vae, 0.3, 4);
        const Tensor x = draw({cut.points, 1024}, 5);
        const Objective objective{.penalty = Objective::Penalty::free_bits, .free_nats = 0.3};
        const RandomKey key{.seed = 6, .stream = kLatentNoise, .step = 7};
        std::vector<Tensor> expected;
        double log_likelihood = 0, kl = 0;
        {
          Tape tape;
          const Posterior q = vae.encode(x);
          Variable total = Tensor::zeros({}, DType::f64), cost;
          for (int64_t part = 0; part < cut.parts; ++part) {
            RandomKey own = key;
            own.step = static_cast<uint64_t>(7 * cut.parts + part);
            const PosteriorTerms drawn =
                reparameterize_kl(q.mean, q.log_variance, own, vae.models(), cut.samples / cut.parts);
            total = total + sum(vae.log_likelihood(x, vae.decode(drawn.z)));
            cost = drawn.kl;
          }
          const Variable average = total / static_cast<double>(cut.points * cut.samples);
          const Tensor numbers = penalty_numbers(objective, {}, vae.models());
          tape.backward(sum(weighted_penalty(objective, numbers, q, mean(cost, {-1}))) - average);
          log_likelihood = average.item();
          kl = sum(cost).item() / static_cast<double>(cut.points);
        }
        for (const Parameter& parameter : vae.parameters().all())
          expected.push_back(parameter.gradient.clone());
        vae.parameters().consume_gradients();
        const LossTerms terms = differentiate(elbo_loss(vae, objective, cut.samples), x, {}, key);
        double own_log_likelihood = 0, own_kl = 0;
        for (int64_t m = 0; m < vae.models(); ++m) {
          own_log_likelihood += terms.probes[0].at(m);
          own_kl += terms.probes[1].at(m);
        }
        CHECK(terms.probes[1].rank() == (members > 0 ? 1 : 0));
        CHECK(terms.probes[0].shape() == terms.probes[1].shape());
        CHECK(close(own_log_likelihood, log_likelihood, 1e-12));
        CHECK(close(own_kl, kl, 1e-12));
        for (size_t p = 0; p < expected.size(); ++p) {
          const Parameter& parameter = vae.parameters().all()[p];
          CAPTURE(parameter.name);
          CHECK(relative_distance(expected[p], Tensor::zeros(expected[p].shape(), DType::f64)) == INFINITY);
          CHECK(relative_distance(parameter.gradient, expected[p]) < 1e-12);
        }
      }
  }

  TEST_CASE(
      "VAE: a decoder that does not look at z leaves the encoder the KL's gradient, samples in parts or "
      "not") {
    using namespace parts_models;
    const auto gradients = [](int64_t widest) {
      Vae vae(
          {.dimensions = kDimensions, .latent = kLatent, .dtype = DType::f64},
          [=](ParameterStore& store) {
            Parts parts = own_variance_model(store);
            const auto looking = parts.decoder;
            parts.decoder = [looking](const Variable& z, Mode mode) {
              return looking(stop_gradient(z), mode);
            };
            parts.widest = widest;
            return parts;
          },
          3);
      // What memory held before must not matter.
      { const Tensor dirt = Tensor::full({5, kLatent}, 1e30, DType::f64); }
      differentiate(elbo_loss(vae, {}, 6), draw({5, kDimensions}, 4), {},
                    {.seed = 5, .stream = kLatentNoise});
      std::vector<double> found;
      for (const Parameter& parameter : vae.parameters().all())
        if (parameter.name.starts_with("encoder"))
          for (const double value : parameter.gradient.to_vector()) found.push_back(value);
      return found;
    };
    const std::vector<double> whole = gradients(1), parts = gradients(int64_t{1} << 40);
    REQUIRE(whole.size() == parts.size());
    for (size_t i = 0; i < whole.size(); ++i) CHECK(close(parts[i], whole[i], 1e-12));
  }

  TEST_CASE("deep VAE: samples in parts are the same bits on one to five threads, added to what was there") {
    // As a paper's nets: eleven parts in as many shares, and 40 in 16.
    for (int64_t samples : {11, 40}) {
      CAPTURE(samples);
      DeepVae vae({.dimensions = 10, .latent = 2, .encoder_hidden = {50, 50}, .decoder_hidden = {50, 50}}, 1);
      const Tensor x = draw({2700, 10}, 2).to(DType::f32);
      std::vector<Tensor> expected;
      for (int threads = 1; threads <= 5; ++threads) {
        CAPTURE(threads);
        const ThreadCount count(threads);
        vae.parameters().consume_gradients();
        std::vector<Tensor> found;
        for (uint64_t step : {0, 1}) {  // the second adds to the first's gradient
          const LossTerms terms = differentiate(elbo_loss(vae, {}, samples), x, {},
                                                {.seed = 3, .stream = kLatentNoise, .step = step});
          found.push_back(vae.parameters().gradients().clone());
          found.push_back(terms.cost);
          for (const Tensor& probe : terms.probes) found.push_back(probe);
        }
        if (threads == 1) expected = found;
        REQUIRE(found.size() == expected.size());
        for (size_t i = 0; i < found.size(); ++i) CHECK(same(found[i], expected[i]));
      }
    }
  }

  TEST_CASE(
      "deep VAE: whether threads share samples follows from a member's numbers, not from their places") {
    // 65531 numbers, which alone take more than 256 KiB with what keeps parameters on cache lines.
    const auto make = [](size_t members) {
      return std::make_unique<DeepVae>(
          DeepVaeOptions{.dimensions = 10,
                         .latent = 2,
                         .encoder_hidden = {150, 202},
                         .decoder_hidden = {202, 150},
                         .sigma2 = std::vector<double>(std::max<size_t>(members, 1), 0.5),
                         .learn_sigma2 = std::vector<bool>(std::max<size_t>(members, 1), false),
                         .members = static_cast<int64_t>(members)},
          1);
    };
    const auto alone = make(0), all = make(16);
    CHECK(alone->parameters().count() <= 1 << 16);
    CHECK(alone->parameters().values().elements() > 1 << 16);
    const Tensor x = draw({40, 10}, 2).to(DType::f32);
    for (DeepVae* vae : {alone.get(), all.get()})
      differentiate(elbo_loss(*vae, {}, 36), x, {}, {.seed = 3, .stream = kLatentNoise});
    for (size_t p = 0; p < alone->parameters().all().size(); ++p) {
      const Parameter &own = alone->parameters().all()[p], &together = all->parameters().all()[p];
      CAPTURE(own.name);
      if (own.trained) CHECK(same(together.gradient.slice(0), own.gradient));
    }
  }

  TEST_CASE("deep VAE: the memory of a step does not grow with the number of samples") {
    const ThreadCount two(2);
    const auto peak = [](int64_t members, int64_t samples) {
      DeepVae vae(wide(members), 1);
      const Tensor x = draw({16, 1024}, 5);
      const size_t before = memory_counters().live;
      reset_peak_memory();
      differentiate(elbo_loss(vae, {}, samples), x, {}, {.stream = kLatentNoise});
      return memory_counters().peak - before;
    };
    for (int64_t members : {0, 3}) {
      // In 32 parts and in 128; up to 16, each has gradients of its own.
      const size_t few = peak(members, 128), many = peak(members, 512);
      CAPTURE(members);
      MESSAGE(few << " bytes for 128 samples, " << many << " for 512");
      CHECK(static_cast<double>(many) < 1.3 * static_cast<double>(few));
    }
    DeepVae vae(wide(0), 1);
    CHECK(error_of([&] { elbo_loss(vae, {}, 0); }) ==
          "[train] the number of latent samples must be at least 1, got 0");
  }

  TEST_CASE("deep VAE: a member that breaks is named and left alone, and the others never notice") {
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t samples : {1, 16})
        for (const char* spoiled : {"encoder.0.weight", "encoder.log_variance.bias", "decoder.1.bias"}) {
          CAPTURE(std::string(name(likelihood)));
          CAPTURE(samples);
          Ensemble ensemble(likelihood, 64, 260, {12});
          ensemble.samples = samples;
          std::vector<LossTerms> terms;
          const auto whole = ensemble.train(6, terms);
          const auto broken = Ensemble::make(ensemble.options);
          Adam adam(broken->parameters());
          const Loss loss = elbo_loss(*broken, ensemble.objective, samples);
          std::vector<double> rates = ensemble.rates;
          Numbers values, first, second;
          for (int64_t step = 0; step < 6; ++step) {
            const RandomKey key = Ensemble::key(step);
            if (step == 3) broken->parameters().at(spoiled).value.slice(1).fill(std::nan(""));
            const LossTerms own = differentiate(loss, ensemble.x, Ensemble::time(step), key);
            const std::vector<int64_t> bad = members_not_finite(own);
            if (step < 3) CHECK(bad.empty());
            if (step >= 3) {
              CHECK(bad == std::vector<int64_t>{1});
              CHECK(first_not_finite(*broken, ensemble.x, key, 1) == spoiled);
              CHECK(first_not_finite(*broken, ensemble.x, key, 0) == "the objective");
              rates[1] = 0;
            }
            for (int64_t m : {0, 2}) {
              CHECK(own.probes[0].at(m) == terms[static_cast<size_t>(step)].probes[0].at(m));
              CHECK(own.probes[1].at(m) == terms[static_cast<size_t>(step)].probes[1].at(m));
            }
            // The bytes of the broken member, NaN included.
            Numbers* const now[] = {&values, &first, &second};
            const Tensor arenas[] = {broken->parameters().values(), adam.first_moment(),
                                     adam.second_moment()};
            const auto of_member = [&](size_t which) {
              Numbers all;
              for (const ParameterStore::Span& span : broken->parameters().spans())
                if (span.member == 1)
                  for (int64_t i = span.begin; i < span.end; ++i) all.push_back(arenas[which].at(i));
              return all;
            };
            for (size_t which = 0; which < 3; ++which) *now[which] = of_member(which);
            adam.step(rates);
            for (size_t which = 0; which < 3; ++which) {
              const Numbers after = of_member(which);
              const bool kept =
                  std::memcmp(after.data(), now[which]->data(), after.size() * sizeof(double)) == 0;
              CHECK(kept == (step >= 3));
              if (which > 0)
                CHECK(std::none_of(after.begin(), after.end(), [](double v) { return std::isnan(v); }));
            }
          }
          for (int64_t m : {0, 2})
            for (size_t p = 0; p < whole->parameters().all().size(); ++p)
              CHECK(same(whole->parameters().all()[p].value.slice(m),
                         broken->parameters().all()[p].value.slice(m)));
        }
  }

  TEST_CASE("deep VAE: the first tensor that leaves the range of floats is named, wherever it is") {
    const auto named = [](Likelihood likelihood, int64_t members, const std::string& parameter,
                          double value) {
      DeepVaeOptions options{.dimensions = 5,
                             .latent = 2,
                             .encoder_hidden = {4},
                             .decoder_hidden = {4},
                             .likelihood = likelihood,
                             .members = members};
      DeepVae vae(options, 1);
      const Tensor whole = vae.parameters().at(parameter).value;
      (members > 0 ? whole.slice(1) : whole).fill(value);
      const Tensor x = Tensor::full({3, 5}, 0.5);
      const int64_t member = members > 0 ? 1 : 0;
      const LossTerms terms = differentiate(elbo_loss(vae), x, {}, {.stream = kLatentNoise});
      const std::string what = first_not_finite(vae, x, {.stream = kLatentNoise}, member);
      CHECK(members_not_finite(terms) ==
            (what == "the objective" ? std::vector<int64_t>{} : std::vector<int64_t>{member}));
      if (members > 0) CHECK(first_not_finite(vae, x, {.stream = kLatentNoise}, 0) == "the objective");
      return what;
    };
    using enum Likelihood;
    for (int64_t members : {0, 2}) {
      CAPTURE(members);
      const double infinity = INFINITY;
      CHECK(named(gaussian, members, "encoder.mean.bias", 0.5) == "the objective");
      CHECK(named(gaussian, members, "log_sigma2", infinity) == "log_sigma2");
      CHECK(named(bernoulli, members, "decoder.1.weight", -infinity) == "decoder.1.weight");
      // Finite weights, whose products in f32 are not: 4e38 is out of range, e^100 too, 1e30 squared too.
      CHECK(named(gaussian, members, "encoder.0.weight", 3e38) == "the posterior's mean");
      CHECK(named(gaussian, members, "encoder.log_variance.bias", 200) == "z");
      CHECK(named(gaussian, members, "encoder.log_variance.bias", 100) == "the KL");
      CHECK(named(gaussian, members, "encoder.mean.bias", 1e30) == "the KL");
      CHECK(named(gaussian, members, "decoder.1.bias", 1e30) == "the log-likelihood");
      CHECK(named(gaussian, members, "log_sigma2", -200) == "the log-likelihood");
      CHECK(named(diagonal_gaussian, members, "decoder.log_variance.bias", -200) == "the log-likelihood");
    }
  }
}
