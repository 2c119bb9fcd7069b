// The objectives: KL weights over time, and penalties, by numbers worked out by hand.
#include "vae/objective.h"

#include <doctest/doctest.h>

#include "autograd/tape.h"
#include "tests/check_row.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"

using namespace elbo;

namespace {

using Annealing = KlWeight::Annealing;
using Penalty = Objective::Penalty;

const double kLog2 = std::log(2.0);

/// Two points, two units: KL per unit is {1/2, 0} and {(1 - ln 2)/2, (4 + 1 - ln 2)/2}.
Posterior by_hand(DType dtype = DType::f64) {
  return {Tensor::from<double>({2, 2}, {1, 0, 0, 2}).to(dtype),
          Tensor::from<double>({2, 2}, {0, 0, kLog2, kLog2}).to(dtype)};
}
const double kUnit0 = (0.5 + 0.5 * (1 - kLog2)) / 2, kUnit1 = 0.5 * (5 - kLog2) / 2;  // batch means

Variable kl_of(const Posterior& q) { return sum(gaussian_kl(q.mean, q.log_variance), {-1}); }

Variable penalised(const Objective& objective, const TrainingTime& time, const Posterior& q) {
  const Variable kl = mean(kl_of(q), {-1});
  const int64_t models = kl.value().elements();
  const Tensor numbers = penalty_numbers(objective, time, models);
  return weighted_penalty(objective, numbers.to(q.mean.dtype()), q, kl);
}

/// As a row of an op table, in mean and log variance.
OpRow row_of(const Objective& objective, const TrainingTime& time, const Shape& shape) {
  return {name(objective.penalty),
          [=](const std::vector<Variable>& in) {
            return std::vector{penalised(objective, time, {in[0], in[1]})};
          },
          {shape, shape}};
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("KL weight: constant, linear and cyclical, at chosen steps") {
    const auto at = [](const KlWeight& weight, int64_t step, int64_t per_epoch, int64_t total) {
      return weight.at({.step = step, .steps_per_epoch = per_epoch, .total_steps = total});
    };
    CHECK(KlWeight{}.at({}) == 1);
    CHECK(at({.beta = 4}, 0, 7, 100) == 4);
    CHECK(at({.beta = 4}, 99, 7, 100) == 4);
    CHECK(TrainingTime{.step = 7, .steps_per_epoch = 2}.epochs() == 3.5);
    // From 0 to beta over 10 epochs of 5 steps, that is over 50 steps.
    const KlWeight linear{.beta = 3, .annealing = Annealing::linear, .epochs = 10};
    CHECK(at(linear, 0, 5, 1000) == 0);
    CHECK(close(at(linear, 1, 5, 1000), 3 * 0.02, 1e-15));
    CHECK(close(at(linear, 7, 5, 1000), 3 * 0.14, 1e-15));
    CHECK(close(at(linear, 25, 5, 1000), 1.5, 1e-15));
    CHECK(close(at(linear, 49, 5, 1000), 3 * 0.98, 1e-15));
    CHECK(at(linear, 50, 5, 1000) == 3);
    CHECK(at(linear, 999, 5, 1000) == 3);
    CHECK(at({.beta = 3, .annealing = Annealing::linear, .epochs = 0}, 0, 5, 10) == 3);
    // Fu et al. 2019, Eqs. 6-7: with T = 100 and M = 4 a cycle has 25 steps, and t' = (step mod 25) / 25
    // rises to R = 0.5 in 12.5 of them.
    const KlWeight cyclical{.beta = 2, .annealing = Annealing::cyclical, .cycles = 4, .rise = 0.5};
    for (int64_t cycle : {0, 25, 50, 75}) {
      CHECK(at(cyclical, cycle, 1, 100) == 0);
      CHECK(close(at(cyclical, cycle + 1, 1, 100), 2 * 0.08, 1e-15));
      CHECK(close(at(cyclical, cycle + 5, 1, 100), 2 * 0.4, 1e-15));
      CHECK(close(at(cyclical, cycle + 12, 1, 100), 2 * 0.96, 1e-15));
      CHECK(at(cyclical, cycle + 13, 1, 100) == 2);
      CHECK(at(cyclical, cycle + 24, 1, 100) == 2);
    }
    // T / M = 10 / 3 is not whole: a cycle begins every 4 steps, t' = (step mod 4) / (10/3).
    const KlWeight uneven{.annealing = Annealing::cyclical, .cycles = 3, .rise = 0.75};
    const double expected[] = {0, 0.4, 0.8, 1, 0, 0.4, 0.8, 1, 0, 0.4};
    for (int64_t step = 0; step < 10; ++step) CHECK(close(at(uneven, step, 3, 10), expected[step], 1e-15));
    // One cycle that rises all the time is linear.
    const KlWeight whole{.annealing = Annealing::cyclical, .cycles = 1, .rise = 1};
    CHECK(close(at(whole, 30, 3, 120), 0.25, 1e-15));
  }

  TEST_CASE("penalties of a batch, by hand, weighted over time and for each member") {
    const Posterior q = by_hand();
    const TrainingTime halfway{.step = 5, .steps_per_epoch = 1, .total_steps = 20};
    const auto value = [&](const Objective& objective) { return penalised(objective, halfway, q).item(); };
    const double kl = kUnit0 + kUnit1;
    CHECK(close(value({}), kl, 1e-14));
    CHECK(close(value({.weights = {{.beta = 0.25}}}), 0.25 * kl, 1e-14));
    CHECK(close(value({.weights = {{.beta = 3, .annealing = Annealing::linear, .epochs = 10}}}), 1.5 * kl,
                1e-14));
    // Unit 0 costs 0.327 nats, unit 1 1.077.
    CHECK(close(value({.penalty = Penalty::free_bits, .free_nats = 0.1}), kl, 1e-14));
    CHECK(close(value({.penalty = Penalty::free_bits, .free_nats = 0.5}), 0.5 + kUnit1, 1e-14));
    CHECK(close(value({.penalty = Penalty::free_bits, .free_nats = 2}), 4, 1e-14));
    CHECK(close(value({.penalty = Penalty::free_bits, .free_nats = 0.5, .weights = {{.beta = 2}}}),
                2 * (0.5 + kUnit1), 1e-14));
    // The capacity is at 5/8 of 4 = 2.5, above the KL; then at 0.5, below; then at the end.
    CHECK(close(value({.penalty = Penalty::capacity, .capacity = 4, .capacity_epochs = 8}), 2.5 - kl, 1e-14));
    CHECK(
        close(value({.penalty = Penalty::capacity, .capacity = 1, .capacity_epochs = 10}), kl - 0.5, 1e-14));
    CHECK(close(value({.penalty = Penalty::capacity, .capacity = 4, .capacity_epochs = 2}), 4 - kl, 1e-14));
    CHECK(close(value({.penalty = Penalty::capacity, .capacity = 4, .capacity_epochs = 0}), 4 - kl, 1e-14));
    CHECK(close(
        value(
            {.penalty = Penalty::capacity, .capacity = 1, .capacity_epochs = 10, .weights = {{.beta = 100}}}),
        100 * (kl - 0.5), 1e-13));
    CHECK(penalised({}, halfway, q).rank() == 0);
    // Members: the second one's means are twice as large, its weight is another.
    const Posterior both{concat({reshape(q.mean, {1, 2, 2}), reshape(2.0 * q.mean, {1, 2, 2})}, 0),
                         concat({reshape(q.log_variance, {1, 2, 2}), reshape(q.log_variance, {1, 2, 2})}, 0)};
    const double more0 = kUnit0 + 0.25 * 3, more1 = kUnit1 + 0.5 * 2 * 3;
    const std::vector<KlWeight> weights{{.beta = 2},
                                        {.beta = 6, .annealing = Annealing::linear, .epochs = 10}};
    const auto values = [&](const Objective& objective) {
      const Variable result = penalised(objective, halfway, both);
      REQUIRE(result.shape() == Shape{2});
      return result.value();
    };
    const Tensor plain = values({.weights = weights}), shared = values({.weights = {{.beta = 2}}}),
                 bits = values({.penalty = Penalty::free_bits, .free_nats = 0.5, .weights = weights}),
                 capacity = values({.penalty = Penalty::capacity,
                                    .capacity = 4,
                                    .capacity_epochs = 10,
                                    .weights = weights});
    CHECK(close(plain.at(0), 2 * kl, 1e-14));
    CHECK(close(plain.at(1), 3 * (more0 + more1), 1e-14));
    CHECK(close(shared.at(0), 2 * kl, 1e-14));
    CHECK(close(shared.at(1), 2 * (more0 + more1), 1e-14));
    CHECK(close(bits.at(0), 2 * (0.5 + kUnit1), 1e-14));
    CHECK(close(bits.at(1), 3 * (more0 + more1), 1e-14));
    CHECK(close(capacity.at(0), 2 * (2 - kl), 1e-14));
    CHECK(close(capacity.at(1), 3 * (more0 + more1 - 2), 1e-14));
    CHECK(penalised({}, halfway, by_hand(DType::f32)).dtype() == DType::f32);
    CHECK_FALSE(error_of([&] { values({.weights = {{}, {}, {}}}); }).empty());
    CHECK_FALSE(error_of([&] { values({.weights = {}}); }).empty());
  }

  TEST_CASE("penalties have the gradients of finite differences") {
    const TrainingTime time{.step = 5, .steps_per_epoch = 1, .total_steps = 20};
    const std::vector<KlWeight> weights{{.beta = 2}, {.annealing = Annealing::linear, .epochs = 10}};
    for (bool members : {false, true}) {
      const Shape shape = members ? Shape{2, 5, 3} : Shape{5, 3};
      Objective objective;
      if (members) objective.weights = weights;
      check_row(row_of(objective, time, shape));
      objective.penalty = Penalty::free_bits;
      for (double free_nats : {0.0, 0.6, 0.9}) {
        objective.free_nats = free_nats;
        check_row(row_of(objective, time, shape));
      }
      objective.penalty = Penalty::capacity;
      for (double capacity : {0.0, 2.0, 100.0}) {
        objective.capacity = capacity;
        objective.capacity_epochs = 10;
        check_row(row_of(objective, time, shape));
      }
    }
    // A unit below its free nats is pushed nowhere, one above is pushed as by the KL.
    const Posterior q = by_hand();
    Parameter mean{"", q.mean.value(), Tensor::zeros({2, 2}, DType::f64), false},
        log_variance{"", q.log_variance.value(), Tensor::zeros({2, 2}, DType::f64), false};
    Tape tape;
    tape.backward(penalised({.penalty = Penalty::free_bits, .free_nats = 0.5}, time, {mean, log_variance}));
    const double of_mean[] = {0, 0, 0, 1}, of_log_variance[] = {0, 0, 0, 0.25};  // mean / 2, (e^lv - 1) / 4
    for (int64_t i = 0; i < 4; ++i) {
      CHECK(close(mean.gradient.at(i), of_mean[i], 1e-15));
      CHECK(close(log_variance.gradient.at(i), of_log_variance[i], 1e-15));
    }
  }

  TEST_CASE("names of penalties and annealings are read, and others refused") {
    for (Annealing annealing : {Annealing::none, Annealing::linear, Annealing::cyclical})
      CHECK(parse_annealing(name(annealing)) == annealing);
    for (Penalty penalty : {Penalty::kl, Penalty::free_bits, Penalty::capacity})
      CHECK(parse_penalty(name(penalty)) == penalty);
    CHECK(parse_penalty("free-bits") == Penalty::free_bits);
    CHECK(error_of([&] { parse_annealing("cosine"); }) ==
          "[annealing] unknown annealing 'cosine'; there are none, linear, cyclical");
    CHECK(error_of([&] { parse_penalty("l2"); }) ==
          "[penalty] unknown penalty 'l2'; there are kl, free-bits, capacity");
  }
}
