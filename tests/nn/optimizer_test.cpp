// Optimisers against their papers' recurrences, written out in plain ops and in plain double loops; schedules
// and clipping against values worked out by hand.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "nn/optimizer.h"
#include "tests/error_of.h"
#include "tests/thread_count.h"

using namespace elbo;

namespace {

constexpr Initializer kNormal{Initializer::Kind::normal, 1};

/// Two parameters of sizes that fill no vector register, so that loops have tails. 20 + 7 numbers a member.
void declare(ParameterStore& store, uint64_t seed = 1) {
  store.add("w", {4, 5}, kNormal);
  store.add("b", {7}, kNormal);
  store.initialise(seed);
}

/// What a backward pass would have left: random numbers, of very different sizes, the same for member m
/// whatever else there is.
void set_gradients(ParameterStore& store, int step, uint32_t first_member = 0) {
  uint64_t place = 0;
  for (Parameter& parameter : store.all()) {
    const RandomKey key{.seed = 77,
                        .member = first_member,
                        .stream = kTestInput,
                        .step = 10 * static_cast<uint64_t>(step) + place++};
    const double scale = std::pow(10, static_cast<double>(step % 5) - 2);
    const Tensor draw =
        normal(parameter.value.shape(), store.dtype(), key, std::max<int64_t>(store.members(), 1));
    parameter.gradient.copy_from((draw * scale).value());
    parameter.has_gradient = true;
  }
}

std::vector<double> all_values(const ParameterStore& store) { return store.values().to_vector(); }

std::vector<double> member_of(const ParameterStore& store, int64_t member) {
  std::vector<double> result;
  for (const Parameter& parameter : store.all())
    for (double value : parameter.value.slice(member).to_vector()) result.push_back(value);
  return result;
}

std::vector<double> numbers_of(const ParameterStore& store) {
  std::vector<double> result;
  for (const Parameter& parameter : store.all())
    for (double value : parameter.value.to_vector()) result.push_back(value);
  return result;
}

void copy_member(ParameterStore& to, const ParameterStore& from, int64_t member) {
  for (size_t p = 0; p < to.all().size(); ++p) to.all()[p].value.copy_from(from.all()[p].value.slice(member));
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  return largest;
}

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("Adam is Algorithm 1 of Kingma & Ba, in a double loop, over many steps") {
    for (DType dtype : {DType::f64, DType::f32}) {
      ParameterStore store(dtype);
      declare(store);
      const AdamOptions options{.beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-3};
      Adam adam(store, options);
      std::vector<double> w = all_values(store), m(w.size(), 0.0), v(w.size(), 0.0);
      for (int t = 1; t <= 300; ++t) {
        set_gradients(store, t);
        const std::vector<double> g = store.gradients().to_vector();
        const double rate = 0.01 / t + 0.001;
        for (size_t i = 0; i < w.size(); ++i) {
          m[i] = options.beta1 * m[i] + (1 - options.beta1) * g[i];
          v[i] = options.beta2 * v[i] + (1 - options.beta2) * g[i] * g[i];
          const double m_hat = m[i] / (1 - std::pow(options.beta1, t)),
                       v_hat = v[i] / (1 - std::pow(options.beta2, t));
          w[i] -= rate * m_hat / (std::sqrt(v_hat) + options.epsilon);
        }
        adam.step(rate);
      }
      CHECK(adam.steps() == 300);
      CHECK(largest_difference(all_values(store), w) < (dtype == DType::f64 ? 1e-13 : 1e-5));
      CHECK(largest_difference(adam.first_moment().to_vector(), m) < (dtype == DType::f64 ? 1e-13 : 1e-4));
    }
  }

  // The twin of the fused sweep.
  TEST_CASE("Adam's sweep equals its definition in plain ops") {
    ParameterStore store(DType::f64);
    declare(store);
    const double b1 = 0.9, b2 = 0.999, eps = 1e-8, rate = 0.01;
    Adam adam(store);
    Variable w = store.values().clone(), m = Tensor::zeros(w.shape(), DType::f64), v = m;
    for (int t = 1; t <= 50; ++t) {
      set_gradients(store, t);
      const Variable g = store.gradients().clone();
      m = b1 * m + (1 - b1) * g;
      v = b2 * v + (1 - b2) * square(g);
      const Variable m_hat = m / (1 - std::pow(b1, t)), v_hat = v / (1 - std::pow(b2, t));
      w = w - rate * (m_hat / (sqrt(v_hat) + eps));
      adam.step(rate);
    }
    CHECK(largest_difference(all_values(store), w.value().to_vector()) < 1e-13);
    CHECK(largest_difference(adam.second_moment().to_vector(), v.value().to_vector()) < 1e-9);
  }

  TEST_CASE("Adam's first step is the learning rate long, whatever the gradient's size; padding stays 0") {
    ParameterStore store(DType::f64);
    declare(store);
    const std::vector<double> before = numbers_of(store);
    Adam adam(store);
    set_gradients(store, 1);
    std::vector<double> g;
    for (const Parameter& parameter : store.all())
      for (double value : parameter.gradient.to_vector()) g.push_back(value);
    adam.step(0.125);
    const std::vector<double> after = numbers_of(store);
    for (size_t i = 0; i < g.size(); ++i)
      CHECK(after[i] - before[i] == doctest::Approx(g[i] > 0 ? -0.125 : 0.125).epsilon(1e-5));
    double outside = 0;
    for (double value : all_values(store)) outside += std::abs(value);
    for (double value : after) outside -= std::abs(value);
    CHECK(std::abs(outside) < 1e-12);
  }

  TEST_CASE("SGD is PyTorch's: u = momentum u + g, w -= rate u, with the first u = g") {
    for (double momentum : {0.0, 0.9}) {
      for (DType dtype : {DType::f64, DType::f32}) {
        ParameterStore store(dtype);
        declare(store);
        Sgd sgd(store, momentum);
        std::vector<double> w = all_values(store), u;
        for (int t = 0; t < 100; ++t) {
          set_gradients(store, t);
          const std::vector<double> g = store.gradients().to_vector();
          const double rate = 0.001 * (1 + t % 3);
          if (t == 0) u = g;  // PyTorch clones the first gradient
          for (size_t i = 0; i < w.size(); ++i) {
            if (t > 0) u[i] = momentum * u[i] + g[i];
            w[i] -= rate * u[i];
          }
          sgd.step(rate);
        }
        CHECK(largest_difference(all_values(store), w) < (dtype == DType::f64 ? 1e-12 : 1e-3));
      }
    }
  }

  TEST_CASE_TEMPLATE("learning rates per member give what separate runs give, bit for bit", Optimizer, Adam,
                     Sgd) {
    for (DType dtype : {DType::f32, DType::f64}) {
      const double rates[] = {0.1, 0.001, 0.02};
      ParameterStore together(dtype, 3), start(dtype, 3);
      declare(together);
      declare(start);
      Optimizer optimizer(together);
      for (int t = 0; t < 20; ++t) {
        set_gradients(together, t);
        optimizer.step(rates);
      }
      for (uint32_t m = 0; m < 3; ++m) {
        ParameterStore alone(dtype);
        declare(alone);
        copy_member(alone, start, m);
        Optimizer own(alone);
        for (int t = 0; t < 20; ++t) {
          set_gradients(alone, t, m);
          own.step(rates[m]);
        }
        CHECK(numbers_of(alone) == member_of(together, m));
        CHECK(numbers_of(alone) != member_of(start, m));
      }
    }
  }

  TEST_CASE("members that take different numbers of Adam's steps get what each would get alone") {
    const double rates[] = {0.1, 0.001, 0.02};
    const int every[] = {1, 2, 3};  // member m takes a step at each so many
    for (DType dtype : {DType::f32, DType::f64}) {
      ParameterStore together(dtype, 3), start(dtype, 3);
      declare(together);
      declare(start);
      Adam adam(together);
      int64_t taken[3] = {};
      for (int t = 1; t <= 20; ++t) {
        set_gradients(together, t);
        double now[3];
        for (int m = 0; m < 3; ++m) {
          now[m] = t % every[m] == 0 ? rates[m] : 0;
          taken[m] += now[m] != 0;
        }
        adam.step_at(taken, now);
        CHECK(together.at("w").has_gradient);
        together.consume_gradients();
      }
      CHECK(adam.steps() == 0);
      for (uint32_t m = 0; m < 3; ++m) {
        ParameterStore alone(dtype);
        declare(alone);
        copy_member(alone, start, m);
        Adam own(alone);
        for (int t = every[m]; t <= 20; t += every[m]) {
          set_gradients(alone, t, m);
          own.step(rates[m]);
        }
        CHECK(numbers_of(alone) == member_of(together, m));
      }
    }
  }

  TEST_CASE_TEMPLATE(
      "what has the rate 0 is left as it is, memory of gradients included, whatever its gradient", Optimizer,
      Adam, Sgd) {
    for (DType dtype : {DType::f32, DType::f64})
      for (int64_t members : {0, 3}) {
        CAPTURE(members);
        ParameterStore store(dtype, members), untouched(dtype, members);
        declare(store);
        declare(untouched);
        const auto make = [](ParameterStore& of) {
          if constexpr (std::is_same_v<Optimizer, Sgd>)
            return Sgd(of, 0.9);
          else
            return Adam(of);
        };
        Optimizer optimizer = make(store), other = make(untouched);
        const auto step_both = [&](int t) {
          for (ParameterStore* each : {&store, &untouched}) set_gradients(*each, t);
          optimizer.step(0.01);
          other.step(0.01);
        };
        step_both(1);
        const std::vector<double> before = all_values(store);
        for (double bad : {5.0, std::nan(""), double{INFINITY}}) {
          for (const bool each : {false, true}) {
            set_gradients(store, 2);
            for (Parameter& parameter : store.all()) parameter.gradient.fill(bad);
            optimizer.step(each ? std::vector<double>(static_cast<size_t>(std::max<int64_t>(members, 1)), 0.0)
                                : std::vector<double>{0});
            CHECK(all_values(store) == before);
            CHECK_FALSE(store.at("w").has_gradient);
          }
        }
        if constexpr (std::is_same_v<Optimizer, Adam>) {
          CHECK(optimizer.first_moment().to_vector() == other.first_moment().to_vector());
          CHECK(optimizer.second_moment().to_vector() == other.second_moment().to_vector());
          other.count(6);
        }
        step_both(3);
        CHECK(all_values(store) == all_values(untouched));
        CHECK(all_values(store) != before);
      }
  }

  TEST_CASE_TEMPLATE("a sweep is the same on one thread and on several", Optimizer, Adam, Sgd) {
    std::vector<std::vector<double>> results;
    for (bool one : {true, false}) {
      ParameterStore store(DType::f32, 2);
      store.add("w", {123, 457}, kNormal);
      store.initialise(1);
      const int before = threads();
      set_threads(one ? 1 : 3);
      Optimizer optimizer(store);
      for (int t = 0; t < 2; ++t) {
        set_gradients(store, t);
        optimizer.step(0.01);
        set_gradients(store, t);
        const double rates[] = {0.1, 0.2};
        optimizer.step(rates);
      }
      set_threads(before);
      results.push_back(all_values(store));
    }
    CHECK(results[0] == results[1]);
  }

  TEST_CASE_TEMPLATE("a missing gradient counts as zero, and a step consumes all gradients", Optimizer, Adam,
                     Sgd) {
    ParameterStore store(DType::f64), explicit_zeros(DType::f64);
    declare(store);
    declare(explicit_zeros);
    Optimizer optimizer(store), other(explicit_zeros);
    for (int t = 0; t < 5; ++t) {
      set_gradients(store, t);
      set_gradients(explicit_zeros, t);
      if (t % 2 == 1) {  // the last pass did not reach b, whose gradient still holds old numbers
        store.at("b").has_gradient = false;
        explicit_zeros.at("b").gradient.fill(0);
      }
      optimizer.step(0.1);
      other.step(0.1);
      for (const Parameter& parameter : store.all()) CHECK_FALSE(parameter.has_gradient);
    }
    CHECK(all_values(store) == all_values(explicit_zeros));
    // The next pass overwrites what was consumed.
    Tape tape;
    tape.backward(sum(store.at("b")));
    CHECK(store.at("b").gradient.to_vector() == std::vector<double>(7, 1));
  }

  TEST_CASE("parameters that are not trained stay as they are") {
    ParameterStore store(DType::f64);
    Parameter& w = store.add("w", {3}, kNormal);
    Parameter& fixed = store.add("fixed", {3}, kNormal, false);
    store.initialise(1);
    const std::vector<double> before = fixed.value.to_vector(), moving = w.value.to_vector();
    Adam adam(store);
    Tape tape;
    tape.backward(sum(square(w) * fixed));
    adam.step(0.1);
    CHECK(fixed.value.to_vector() == before);
    CHECK(w.value.to_vector() != moving);
  }

  TEST_CASE("a restored Adam goes on bit for bit") {
    ParameterStore unbroken, resumed;
    declare(unbroken);
    declare(resumed, 2);  // other values, to be replaced
    Adam adam(unbroken);
    for (int t = 0; t < 10; ++t) {
      set_gradients(unbroken, t);
      adam.step(0.01);
    }
    resumed.values().copy_from(unbroken.values());
    Adam other(resumed);
    other.restore(adam.steps(), adam.first_moment().clone(), adam.second_moment().clone());
    CHECK(other.steps() == 10);
    for (int t = 10; t < 20; ++t) {
      set_gradients(unbroken, t);
      set_gradients(resumed, t);
      adam.step(0.01);
      other.step(0.01);
    }
    CHECK(all_values(unbroken) == all_values(resumed));
  }

  TEST_CASE("misuse of an optimiser is told in one line and changes nothing") {
    ParameterStore store(DType::f32, 3);
    store.add("w", {4}, kNormal);
    CHECK(error_of([&] { Adam adam(store); }) ==
          "[adam] call the store's initialise before making an optimiser for it");
    CHECK(error_of([&] { Sgd sgd(store); }) ==
          "[sgd] call the store's initialise before making an optimiser for it");
    store.initialise(1);
    for (double momentum : {-0.1, 1.0, std::nan("")})
      CHECK(mentions(error_of([&] { Sgd sgd(store, momentum); }), "[sgd] momentum must be in [0, 1)"));
    for (double beta : {-0.1, 1.0, std::nan("")}) {
      CHECK(mentions(error_of([&] { Adam adam(store, {.beta1 = beta}); }), "[adam] beta1 and beta2"));
      CHECK(mentions(error_of([&] { Adam adam(store, {.beta2 = beta}); }), "[adam] beta1 and beta2"));
    }
    CHECK(mentions(error_of([&] { Adam adam(store, {.epsilon = 0}); }), "[adam] epsilon must be above 0"));

    Adam adam(store);
    Sgd sgd(store);
    set_gradients(store, 0);
    const std::vector<double> before = all_values(store);
    const double rates[] = {1, 2};
    CHECK(error_of([&] { adam.step(rates); }) ==
          "[adam] 2 learning rates for 3 members; give one for all or one for each");
    CHECK(mentions(error_of([&] { sgd.step(rates); }), "[sgd] 2 learning rates for 3 members"));
    CHECK(mentions(error_of([&] { adam.step(std::span<const double>{}); }), "[adam] 0 learning rates"));
    const int64_t t[] = {1, 1};
    CHECK(error_of([&] {
            adam.step_at(t, std::vector<double>{1, 2, 3});
          }) == "[adam] 2 numbers of steps for 3 learning rates; give as many");
    CHECK(adam.steps() == 0);
    CHECK(all_values(store) == before);
    CHECK(store.at("w").has_gradient);

    const Tensor state = Tensor::full(store.values().shape(), 5), wrong = Tensor::full({3}, 5);
    CHECK(mentions(error_of([&] { adam.restore(4, state, wrong); }), "[adam] cannot restore 4 steps"));
    CHECK(mentions(error_of([&] { adam.restore(4, state.to(DType::f64), state); }),
                   "[adam] cannot restore 4 steps"));
    CHECK(mentions(error_of([&] { adam.restore(-1, state, state); }), "[adam] cannot restore -1 steps"));
    CHECK(adam.steps() == 0);
    for (double value : adam.first_moment().to_vector()) CHECK(value == 0);
  }

  TEST_CASE("clipping shortens each member's gradient to the norm, and leaves shorter ones alone") {
    ParameterStore store(DType::f64, 3);
    Parameter& a = store.add("a", {2}, {});
    Parameter& b = store.add("b", {1}, {});
    store.add("missing", {3}, {}).has_gradient = false;
    Parameter& fixed = store.add("fixed", {1}, {}, false);
    store.initialise(1);
    store.at("missing").gradient.fill(1000);  // old numbers that must not count
    a.gradient.copy_from(Tensor::from<double>({3, 2}, {2, 4, 0.2, 0.4, 1, 2}));
    b.gradient.copy_from(Tensor::from<double>({3, 1}, {4, 0.4, 2}));
    fixed.gradient.fill(1000);  // nor must those of a parameter that is not trained
    a.has_gradient = b.has_gradient = fixed.has_gradient = true;
    const std::vector<double> norms = clip_gradient_norm(store, 3).to_vector();  // of lengths 6, 0.6 and 3
    REQUIRE(norms.size() == 3);
    CHECK(norms[0] == doctest::Approx(6));
    CHECK(norms[1] == doctest::Approx(0.6));
    CHECK(norms[2] == doctest::Approx(3));
    CHECK(a.gradient.to_vector() == std::vector<double>{1, 2, 0.2, 0.4, 1, 2});
    CHECK(b.gradient.to_vector() == std::vector<double>{2, 0.4, 2});
    for (double value : store.at("missing").gradient.to_vector()) CHECK(value == 0);
    CHECK(clip_gradient_norm(store, 3).at(0) == doctest::Approx(3));
    for (double bad : {0.0, -1.0, std::nan("")})
      CHECK(mentions(error_of([&] { clip_gradient_norm(store, bad); }),
                     "[clip] the largest norm must be above 0"));

    ParameterStore single;  // one model without member axis, f32
    single.add("w", {2}, {});
    single.initialise(1);
    single.at("w").gradient.copy_from(Tensor::from<float>({2}, {3, 4}));
    single.at("w").has_gradient = true;
    CHECK(clip_gradient_norm(single, 1).to_vector() == std::vector<double>{5});
    CHECK(single.at("w").gradient.at(0) == doctest::Approx(0.6));
    CHECK(single.at("w").gradient.at(1) == doctest::Approx(0.8));
  }

  TEST_CASE("schedules: constant, steps, cosine, each after a linear warm-up") {
    const Schedule constant{.base = 0.5};
    for (int64_t step : {0, 1, 1000}) CHECK(constant.at(step) == 0.5);

    const Schedule warm{.base = 0.5, .warmup_steps = 4};
    CHECK(warm.at(0) == 0.125);
    CHECK(warm.at(1) == 0.25);
    CHECK(warm.at(3) == 0.5);  // the end of the warm-up reaches the base
    CHECK(warm.at(4) == 0.5);

    Schedule steps{.kind = Schedule::Kind::step, .base = 8, .step_every = 10, .step_factor = 0.5};
    CHECK(steps.at(0) == 8);
    CHECK(steps.at(9) == 8);
    CHECK(steps.at(10) == 4);
    CHECK(steps.at(19) == 4);
    CHECK(steps.at(20) == 2);
    steps.warmup_steps = 3;  // boundaries count from the end of the warm-up
    CHECK(steps.at(12) == 8);
    CHECK(steps.at(13) == 4);

    Schedule cosine{.kind = Schedule::Kind::cosine, .base = 2, .total_steps = 100, .final_fraction = 0.1};
    CHECK(cosine.at(0) == doctest::Approx(2));
    CHECK(cosine.at(50) == doctest::Approx(2 * 0.55));
    CHECK(cosine.at(25) == doctest::Approx(2 * (0.1 + 0.9 * (0.5 + std::sqrt(0.125)))));
    CHECK(cosine.at(100) == doctest::Approx(0.2));
    CHECK(cosine.at(1000) == doctest::Approx(0.2));  // and stays there
    cosine.warmup_steps = 20;
    CHECK(cosine.at(19) == doctest::Approx(2));
    CHECK(cosine.at(20) == doctest::Approx(2));
    CHECK(cosine.at(60) == doctest::Approx(2 * 0.55));
    CHECK(cosine.at(100) == doctest::Approx(0.2));

    CHECK(parse_schedule("constant") == Schedule::Kind::constant);
    CHECK(parse_schedule("step") == Schedule::Kind::step);
    CHECK(parse_schedule("cosine") == Schedule::Kind::cosine);
    CHECK(error_of([] { parse_schedule("exponential"); }) ==
          "[schedule] unknown learning-rate schedule 'exponential'; there are constant, step, cosine");
  }
}
