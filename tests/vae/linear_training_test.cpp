// Training linear VAEs: where it must end, what an ensemble's member must equal, how it stops, and that a
// repeated step allocates nothing.
#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/tape.h"
#include "tests/error_of.h"
#include "tests/heap_counter.h"
#include "tests/thread_count.h"
#include "tests/vae/helpers.h"
#include "vae/decoder_alignment.h"
#include "vae/linear_training.h"

using namespace elbo;

namespace {

struct Data {
  Tensor x, f32, f64;  // as it is, and centred
  DataMoments moments;
  Eigen eigen;
  Data(int64_t n, int64_t dimensions, uint64_t seed)
      : x(correlated_data(n, dimensions, seed)),
        moments(data_moments(x)),
        eigen(principal_components(moments)) {
    f32 = centred(x, moments.mean, DType::f32);
    f64 = centred(x, moments.mean, DType::f64);
  }
  const Tensor& in(DType dtype) const { return dtype == DType::f32 ? f32 : f64; }
};

void copy_member(LinearVae& to, LinearVae& from, int64_t member) {
  for (size_t p = 0; p < to.parameters().all().size(); ++p)
    to.parameters().all()[p].value.copy_from(from.parameters().all()[p].value.slice(member));
}

std::vector<double> numbers_of(LinearVae& vae, int64_t member = -1) {
  std::vector<double> result;
  for (const Parameter& parameter : vae.parameters().all())
    for (double value : (member < 0 ? parameter.value : parameter.value.slice(member)).to_vector())
      result.push_back(value);
  return result;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("full-batch training lands on the pPCA maximum, with the scaled eigenvectors as columns") {
    const Data data(200, 8, 30);
    const int64_t k = 3;
    const double maximum = ppca_max_log_likelihood(data.eigen.values, k),
                 sigma2 = ppca_mle_sigma2(data.eigen.values, k);
    LinearVae vae({.dimensions = 8, .latent = k}, 1);
    const ElboTrace trace = train_full_batch(
        vae, data.f32, data.moments, {.steps = 3000, .rates = {1e-2}, .evaluate_every = 500}, nullptr);
    CHECK(trace.step == std::vector<int64_t>{0, 500, 1000, 1500, 2000, 2500, 3000});
    for (const std::vector<double>& elbo : trace.elbo) {
      REQUIRE(elbo.size() == 1);
      CHECK(elbo[0] <= maximum + 1e-9);
    }
    CHECK(trace.elbo.front()[0] < maximum - 1);
    const LinearVaeWeights weights = linear_vae_weights(vae);
    const LinearVaeMetrics metrics = evaluate_linear_vae(weights, data.moments);
    MESSAGE("ELBO " << metrics.elbo << ", pPCA's maximum " << maximum);
    CHECK(trace.elbo.back()[0] == metrics.elbo);
    CHECK(metrics.elbo > maximum - 1e-3);
    CHECK(metrics.sigma2 == doctest::Approx(sigma2).epsilon(1e-3));
    CHECK(metrics.active_units == k);
    CHECK(weights.mean.at(0) == doctest::Approx(data.moments.mean.at(0)));
    const std::vector<double> cosines = decoder_alignment(weights, data.eigen).cosines;
    std::vector<double> lengths;
    for (int64_t i = 0; i < k; ++i) {
      CHECK(cosines[static_cast<size_t>(i)] > 0.999);
      double square = 0;
      for (int64_t j = 0; j < 8; ++j) square += std::pow(weights.decoder.at(j * k + i), 2);
      lengths.push_back(std::sqrt(square));
    }
    std::sort(lengths.rbegin(), lengths.rend());
    for (int64_t i = 0; i < k; ++i)
      CHECK(lengths[static_cast<size_t>(i)] ==
            doctest::Approx(std::sqrt(data.eigen.values.at(i) - sigma2)).epsilon(1e-3));
  }

  TEST_CASE("the batch form of the gradient trains as the covariance form does") {
    const Data data(5, 8, 31);  // so few points that a pass over them is cheaper
    const Data many(200, 8, 31);
    for (const Data* d : {&data, &many}) {
      const bool from_covariance = covariance_form_is_cheaper(d->f64.size(0), 8, 3);
      CHECK(from_covariance == (d == &many));
      LinearVae vae({.dimensions = 8, .latent = 3, .dtype = DType::f64}, 1);
      LinearVae other({.dimensions = 8, .latent = 3, .dtype = DType::f64}, 1);
      train_full_batch(vae, d->f64, d->moments, {.steps = 50, .rates = {1e-2}}, nullptr);
      Adam adam(other.parameters());
      for (int step = 0; step < 50; ++step) {
        Tape tape;
        tape.backward(-(from_covariance ? other.analytic_elbo(d->f64)
                                        : other.analytic_elbo_from_covariance(covariance(d->moments))));
        adam.step(1e-2);
      }
      other.set_mean(d->moments.mean);
      const std::vector<double> a = numbers_of(vae), b = numbers_of(other);
      for (size_t i = 0; i < a.size(); ++i) CHECK(close(a[i], b[i], 1e-7));
    }
  }

  TEST_CASE("the stochastic gradient climbs too, and the recorded ELBO is exact: never above the maximum") {
    const Data data(200, 8, 30);
    const double maximum = ppca_max_log_likelihood(data.eigen.values, 3);
    LinearVae vae({.dimensions = 8, .latent = 3}, 1);
    FullBatchOptions options{.gradient = ElboGradient::stochastic, .steps = 1500, .rates = {1e-2}, .seed = 4};
    const ElboTrace trace = train_full_batch(vae, data.f32, data.moments, options, nullptr);
    for (const std::vector<double>& elbo : trace.elbo) CHECK(elbo[0] <= maximum + 1e-9);
    CHECK(trace.elbo.back()[0] > maximum - 0.2);
    CHECK(trace.elbo.back()[0] == evaluate_linear_vae(linear_vae_weights(vae), data.moments).elbo);
    // The noise of step t is that of the key (seed, latent noise, t).
    LinearVae traced({.dimensions = 8, .latent = 3}, 1), by_hand({.dimensions = 8, .latent = 3}, 1);
    FullBatchOptions brief = options;
    brief.steps = 10;
    train_full_batch(traced, data.f32, data.moments, brief, nullptr);
    by_hand.set_mean(data.moments.mean);
    Adam adam(by_hand.parameters());
    for (uint64_t step = 0; step < 10; ++step) {
      Tape tape;
      tape.backward(-by_hand.stochastic_elbo(data.f32, {.seed = 4, .stream = kLatentNoise, .step = step}));
      adam.step(1e-2);
    }
    const std::vector<double> a = numbers_of(traced), b = numbers_of(by_hand);
    for (size_t i = 0; i < a.size(); ++i) CHECK(close(a[i], b[i], 1e-6));
    // Other noise, other path; the same noise, the same path.
    LinearVae again({.dimensions = 8, .latent = 3}, 1), other({.dimensions = 8, .latent = 3}, 1);
    CHECK(train_full_batch(again, data.f32, data.moments, options, nullptr).elbo == trace.elbo);
    options.seed = 5;
    CHECK(train_full_batch(other, data.f32, data.moments, options, nullptr).elbo != trace.elbo);
  }

  TEST_CASE("a fixed sigma^2 collapses exactly the units whose eigenvalues are below it") {
    const Data data(100, 6, 32);
    const Tensor& lambda = data.eigen.values;
    const double sigma2[] = {1.5 * lambda.at(0), std::sqrt(lambda.at(0) * lambda.at(1)),
                             std::sqrt(lambda.at(1) * lambda.at(2)), 0.5 * lambda.at(2)};
    LinearVae vae({.dimensions = 6, .latent = 3, .learn_sigma2 = false, .members = 4}, 2);
    for (int64_t m = 0; m < 4; ++m)
      vae.parameters().at("log_sigma2").value.slice(m).fill(std::log(sigma2[m]));
    train_full_batch(vae, data.f32, data.moments, {.steps = 3000, .rates = {1e-2}, .evaluate_every = 3000},
                     nullptr);
    for (int64_t m = 0; m < 4; ++m) {
      CAPTURE(m);
      const LinearVaeWeights weights = linear_vae_weights(vae, m);
      const LinearVaeMetrics metrics = evaluate_linear_vae(weights, data.moments);
      CHECK(metrics.sigma2 == doctest::Approx(sigma2[m]).epsilon(1e-6));
      CHECK(linear_vae_collapse_percent(weights, data.x, {0.01})[0] ==
            doctest::Approx(100.0 * static_cast<double>(3 - m) / 3));
      CHECK(metrics.active_units == m);
      const double best =
          ppca_log_likelihood(ppca_solution(data.moments, data.eigen, 3, metrics.sigma2), data.moments);
      CHECK(metrics.elbo > best - 1e-3);
      CHECK(metrics.elbo <= best + 1e-9);
    }
  }

  TEST_CASE("a member of an ensemble trains as it would alone, on another number of threads, bit for bit") {
    const ThreadCount two(2);
    const std::vector<double> rates{1e-2, 1e-3, 3e-2};
    LinearVaeOptions options{.dimensions = 7, .latent = 3, .weights = {Initializer::Kind::normal, 0.3}};
    const auto ensemble = [&] {
      LinearVaeOptions together = options;
      together.members = 3;
      return together;
    };
    SUBCASE("analytic, from points and from the covariance") {
      for (int64_t n : {4, 60}) {
        const Data data(n, 7, 33);
        LinearVae all(ensemble(), 5), start(ensemble(), 5);
        const FullBatchOptions training{.steps = 40, .rates = rates, .evaluate_every = 10};
        const ElboTrace trace = train_full_batch(all, data.f32, data.moments, training, nullptr);
        for (int64_t m = 0; m < 3; ++m) {
          CAPTURE(m);
          const ThreadCount one(1);
          LinearVae alone(options, 99);
          copy_member(alone, start, m);
          FullBatchOptions own = training;
          own.rates = {rates[static_cast<size_t>(m)]};
          const ElboTrace own_trace = train_full_batch(alone, data.f32, data.moments, own, nullptr);
          CHECK(numbers_of(alone) == numbers_of(all, m));
          for (size_t t = 0; t < trace.step.size(); ++t)
            CHECK(own_trace.elbo[t][0] == trace.elbo[t][static_cast<size_t>(m)]);
        }
        LinearVae first(options, 5);  // drawn alone, a model is member 0
        CHECK(numbers_of(first) == numbers_of(start, 0));
      }
    }
    SUBCASE("stochastic: member m draws what key.member = m draws alone") {
      const Data data(60, 7, 33);
      LinearVae all(ensemble(), 5), start(ensemble(), 5);
      const auto train = [&](LinearVae& vae, std::span<const double> own_rates, uint32_t member) {
        Adam adam(vae.parameters());
        for (uint64_t step = 0; step < 20; ++step) {
          Tape tape;
          const RandomKey key{.seed = 2, .member = member, .stream = kLatentNoise, .step = step};
          tape.backward(-sum(vae.stochastic_elbo(data.f32, key)));
          adam.step(own_rates);
        }
      };
      train(all, rates, 0);
      for (uint32_t m = 0; m < 3; ++m) {
        LinearVae alone(options, 99);
        copy_member(alone, start, m);
        train(alone, {&rates[m], 1}, m);
        CHECK(numbers_of(alone) == numbers_of(all, m));
        CHECK(numbers_of(alone) != numbers_of(start, m));
      }
    }
  }

  TEST_CASE("training in f32 ends where f64 does") {
    const Data data(100, 6, 34);
    for (ElboGradient gradient : {ElboGradient::analytic, ElboGradient::stochastic}) {
      std::vector<double> ends;
      for (DType dtype : {DType::f32, DType::f64}) {
        LinearVae vae({.dimensions = 6, .latent = 2, .dtype = dtype}, 1);
        const FullBatchOptions options{
            .gradient = gradient, .steps = 1000, .rates = {1e-2}, .evaluate_every = 1000};
        ends.push_back(train_full_batch(vae, data.in(dtype), data.moments, options, nullptr).elbo.back()[0]);
      }
      CAPTURE(name(gradient));
      CHECK(ends[0] == doctest::Approx(ends[1]).epsilon(gradient == ElboGradient::analytic ? 1e-5 : 1e-3));
    }
  }

  TEST_CASE("the schedule scales every member's rate, and the caller may stop early") {
    const Data data(50, 5, 35);
    const auto run = [&](FullBatchOptions options,
                         const std::function<bool(int64_t, const std::vector<double>&)>& after) {
      LinearVae vae({.dimensions = 5, .latent = 2, .members = 2}, 1);
      const ElboTrace trace = train_full_batch(vae, data.f32, data.moments, options, after);
      return std::pair(trace, numbers_of(vae));
    };
    FullBatchOptions options{.steps = 30, .evaluate_every = 10};
    options.schedule = {.kind = Schedule::Kind::step, .base = 1, .step_every = 10, .step_factor = 0};
    options.rates = {1e-2, 1e-3};
    const auto [trace, numbers] = run(options, nullptr);  // from step 10 on the rate is 0
    CHECK(trace.elbo[0] != trace.elbo[1]);
    CHECK(trace.elbo[1] == trace.elbo[2]);
    CHECK(trace.elbo[1] == trace.elbo[3]);
    CHECK(trace.elbo[1][0] != trace.elbo[1][1]);

    std::vector<int64_t> seen;
    options.schedule = {.base = 1};
    const auto [stopped, stopped_numbers] =
        run(options, [&](int64_t done, const std::vector<double>& latest) {
          seen.push_back(done);
          CHECK(latest.size() == 2);
          return done < 13;
        });
    CHECK(seen.size() == 13);
    CHECK(seen.front() == 1);
    CHECK(stopped.step == std::vector<int64_t>{0, 10, 13});
    options.steps = 13;
    const auto [short_trace, short_numbers] = run(options, nullptr);
    CHECK(short_numbers == stopped_numbers);
    CHECK(short_trace.step == stopped.step);  // the end is evaluated whatever the interval
    options.steps = 0;
    CHECK(run(options, nullptr).first.step == std::vector<int64_t>{0});
  }

  TEST_CASE("numbers that leave their range stop the training, told with step, member and tensor") {
    const Data data(50, 5, 35);
    const auto train = [&](int64_t evaluate_every, const std::string& spoiled) {
      return error_of([&] {
        LinearVae vae({.dimensions = 5, .latent = 2, .members = 2}, 1);
        const FullBatchOptions options{
            .steps = 20, .rates = {1e-3, spoiled.empty() ? 1e30 : 1e-3}, .evaluate_every = evaluate_every};
        train_full_batch(vae, data.f32, data.moments, options, [&](int64_t done, const std::vector<double>&) {
          if (done == 5 && !spoiled.empty()) vae.parameters().at(spoiled).value.slice(1).fill(std::nan(""));
          return true;
        });
      });
    };
    const std::string late = train(1000, ""), evaluated = train(1, "");
    CHECK(mentions(late, "[train] the objective is"));
    CHECK(mentions(late, "at step 1, member 1"));
    CHECK(mentions(evaluated, "after step 1, member 1"));
    CHECK(mentions(evaluated, "try a smaller learning rate"));
    for (const char* name : {"decoder.weight", "encoder.weight", "log_variance", "log_sigma2"}) {
      const std::string error = train(1000, name);
      CHECK(mentions(error,
                     "at step 5, member 1: the first tensor that is not finite is " + std::string(name)));
      CHECK(mentions(error, "the objective is nan"));
      CHECK(mentions(train(6, name), "step 5, member 1"));
    }
    // NaN that an evaluation meets before the objective does.
    LinearVae vae({.dimensions = 5, .latent = 2}, 1);
    vae.parameters().at("encoder.weight").value.fill(INFINITY);
    CHECK(mentions(error_of([&] { train_full_batch(vae, data.f32, data.moments, {}, nullptr); }),
                   "[train] encoder.weight left the range of numbers after step 0, member 0"));
  }

  TEST_CASE("options that make no sense are told in one line") {
    const Data data(50, 5, 35);
    LinearVae vae({.dimensions = 5, .latent = 2, .members = 3}, 1);
    const auto train = [&](const FullBatchOptions& options) {
      return error_of([&] { train_full_batch(vae, data.f32, data.moments, options, nullptr); });
    };
    CHECK(
        train({.rates = {1, 2}}) ==
        "[training] phase 'full batch' has 2 learning rates for 3 members; give one for all or one for each");
    CHECK(mentions(train({.rates = {}}), "0 learning rates for 3 members"));
    CHECK(mentions(train({.evaluate_every = 0}), "[train] cannot take 12000 steps and evaluate every 0"));
    CHECK(mentions(train({.steps = -1}), "[train] cannot take -1 steps"));
    CHECK(mentions(error_of([&] { train_full_batch(vae, data.f32, Data(20, 4, 1).moments, {}, nullptr); }),
                   "5"));
    CHECK(parse_elbo_gradient("analytic") == ElboGradient::analytic);
    CHECK(parse_elbo_gradient(name(ElboGradient::stochastic)) == ElboGradient::stochastic);
    CHECK(error_of([] { parse_elbo_gradient("exact"); }) ==
          "[gradient] unknown gradient 'exact'; there are analytic, stochastic");
  }

  TEST_CASE(
      "a repeated step touches neither the system's memory nor the heap, and holds no more than before") {
    const Data data(300, 40, 36);
    const Tensor covariance = elbo::covariance(data.moments).to(DType::f32);
    for (int64_t members : {0, 3}) {
      for (int form = 0; form < 3; ++form) {
        CAPTURE(members);
        CAPTURE(form);
        LinearVae vae({.dimensions = 40, .latent = 6, .members = members}, 1);
        Adam adam(vae.parameters());
        const std::vector<double> rates(static_cast<size_t>(std::max<int64_t>(members, 1)), 1e-3);
        uint64_t count = 0;
        const auto step = [&] {
          Tape tape;
          const RandomKey key{.seed = 1, .stream = kLatentNoise, .step = count++};
          const Variable elbo = form == 0   ? vae.analytic_elbo(data.f32)
                                : form == 1 ? vae.analytic_elbo_from_covariance(covariance)
                                            : vae.stochastic_elbo(data.f32, key);
          tape.backward(-sum(elbo));
          adam.step(rates);
        };
        for (int i = 0; i < 3; ++i) step();
        reset_peak_memory();
        const MemoryCounters before = memory_counters();
        step();
        const size_t peak = memory_counters().peak;
        const int64_t heap = heap_allocations();
        for (int i = 0; i < 20; ++i) step();
        CHECK(heap_allocations() == heap);
        const MemoryCounters after = memory_counters();
        CHECK(after.system_allocations == before.system_allocations);
        CHECK(after.live == before.live);
        CHECK(after.cached == before.cached);
        CHECK(after.peak == peak);
        CHECK(after.requests > before.requests);  // the counters do count
      }
    }
    // The same inside train_full_batch, between two evaluations.
    for (ElboGradient gradient : {ElboGradient::analytic, ElboGradient::stochastic}) {
      LinearVae vae({.dimensions = 40, .latent = 6, .members = 2}, 1);
      int64_t heap[2] = {};
      uint64_t system[2] = {};
      const FullBatchOptions options{
          .gradient = gradient, .steps = 60, .rates = {1e-3, 1e-2}, .evaluate_every = 1000};
      train_full_batch(vae, data.f32, data.moments, options, [&](int64_t done, const std::vector<double>&) {
        if (done == 5 || done == 50) {
          heap[done == 50] = heap_allocations();
          system[done == 50] = memory_counters().system_allocations;
        }
        return true;
      });
      CHECK((heap[0] > 0) == counts_heap());
      CHECK(heap[1] == heap[0]);
      CHECK(system[1] == system[0]);
    }
  }
}
