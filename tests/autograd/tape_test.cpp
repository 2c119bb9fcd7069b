// The tape: recording, order, accumulation, misuse, and that a repeated step allocates nothing at all.
#include <doctest/doctest.h>

#include <optional>

#include "autograd/gradients_apart.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/random.h"
#include "tests/heap_counter.h"

using namespace elbo;

namespace {

Parameter parameter(const Tensor& value) {
  return {"p", value, Tensor::zeros(value.shape(), value.dtype()), false};
}

}  // namespace

TEST_SUITE("autograd") {
  TEST_CASE("without a tape nothing is recorded, and constants never are") {
    Parameter w = parameter(Tensor::full({3}, 2, DType::f64));
    CHECK_FALSE(square(w).needs_gradient());
    Tape tape;
    CHECK_FALSE(square(Tensor::full({3}, 2, DType::f64)).needs_gradient());
    CHECK(tape.size() == 0);
    CHECK(square(w).needs_gradient());
    CHECK(tape.size() == 1);
  }

  TEST_CASE("a value used twice receives both gradients, and sharing a gradient tensor does not corrupt it") {
    Parameter w = parameter(Tensor::from<double>({2}, {3, 4}));
    Tape tape;
    const Variable a = w + w;      // both inputs get one gradient tensor
    const Variable b = a * a + a;  // a is used three times
    tape.backward(sum(b + reshape(b, {2})));
    // b = 4 w^2 + 2 w, loss = 2 sum b.
    CHECK(w.gradient.to_vector() == std::vector<double>{2 * (8 * 3 + 2), 2 * (8 * 4 + 2)});
  }

  TEST_CASE("gradients of parameters accumulate until they are consumed") {
    Parameter w = parameter(Tensor::from<double>({1}, {3}));
    for (int pass = 1; pass <= 3; ++pass) {
      Tape tape;
      tape.backward(sum(square(w)));
      CHECK(w.gradient.item() == 6 * pass);
    }
    w.has_gradient = false;  // what an optimiser's step does
    Tape tape;
    tape.backward(sum(square(w)));
    CHECK(w.gradient.item() == 6);
  }

  TEST_CASE(
      "gradients gathered apart reach the parameters when they are added, and others' never leave them") {
    std::vector<Parameter> known{parameter(Tensor::from<double>({2}, {3, 4})),
                                 parameter(Tensor::from<double>({1}, {5}))};
    Parameter other = parameter(Tensor::from<double>({1}, {7}));
    GradientsApart apart(known);
    for (int pass = 1; pass <= 2; ++pass) {
      Tape tape(apart);
      tape.backward(sum(square(known[0])) * other);
    }
    CHECK_FALSE(known[0].has_gradient);
    CHECK(other.gradient.item() == 2 * (9 + 16));
    apart.add_to_parameters();
    CHECK(known[0].gradient.to_vector() == std::vector<double>{2 * 2 * 3 * 7, 2 * 2 * 4 * 7});
    CHECK_FALSE(known[1].has_gradient);  // the loss did not reach it
    apart.add_to_parameters();
    CHECK(known[0].gradient.to_vector() == std::vector<double>{2 * 4 * 3 * 7, 2 * 4 * 4 * 7});
    // A tape without them puts gradients where they belong.
    known[0].has_gradient = false;
    Tape tape;
    tape.backward(sum(square(known[0])));
    CHECK(known[0].gradient.to_vector() == std::vector<double>{6, 8});
  }

  TEST_CASE("a parameter that the loss does not reach keeps its gradient") {
    Parameter w = parameter(Tensor::from<double>({1}, {3})),
              unused = parameter(Tensor::from<double>({1}, {5}));
    Tape tape;
    const Variable dead_end = square(unused);
    tape.backward(sum(square(w)));
    CHECK_FALSE(unused.has_gradient);
    CHECK(dead_end.item() == 25);
  }

  TEST_CASE("misuse is told in one line") {
    Parameter w = parameter(Tensor::from<double>({2}, {3, 4}));
    Variable old;
    {
      Tape tape;
      CHECK_THROWS_AS(Tape second, Error);
      old = square(w);
      CHECK_THROWS_WITH_AS(tape.backward(old),
                           "[backward] the loss must be one number, got shape (2,); sum or average it",
                           Error);
      tape.backward(sum(old));
      CHECK_THROWS_AS(tape.backward(sum(old)), Error);
    }
    Tape tape;
    CHECK_THROWS_WITH_AS(
        square(old), "[square] an input was recorded on a tape that has ended; pass it through stop_gradient",
        Error);
    CHECK_THROWS_AS(tape.backward(sum(Variable(Tensor::full({2}, 1, DType::f64)))), Error);
    // An op that was refused left nothing on the tape.
    const Variable loss = sum(square(w));
    CHECK_THROWS_AS(loss * old, Error);
    CHECK(tape.size() == 2);
    w.has_gradient = false;
    tape.backward(loss);
    CHECK(w.gradient.at(0) == 2 * w.value.at(0));
  }

  TEST_CASE("a pass that ends by an exception leaves no gradient that a later one would add to") {
    Parameter w = parameter(Tensor::from<double>({1}, {3}));
    std::vector<Parameter> known{w};
    GradientsApart apart(known);
    for (const bool is_apart : {false, true}) {
      Parameter& own = is_apart ? known[0] : w;
      {
        std::optional<Tape> tape;
        is_apart ? tape.emplace(apart) : tape.emplace();
        const Variable variable = own, squared = square(variable);
        const Variable loss =
            Tape::record("breaks", {&squared, &variable}, squared.value(), [](Backward& pass) {
              pass.add(1, pass.dy());
              fail("[breaks] as it should");
            });
        CHECK_THROWS_WITH_AS(tape->backward(loss), "[breaks] as it should", Error);
        CHECK(!own.has_gradient);
      }
      {
        std::optional<Tape> tape;
        is_apart ? tape.emplace(apart) : tape.emplace();
        tape->backward(sum(square(own)));
      }
      if (is_apart) apart.add_to_parameters();
      CHECK(own.gradient.item() == 6);
    }
  }

  TEST_CASE("a pass tells once of each parameter that an op has read, when its gradient is complete") {
    Parameter first = parameter(Tensor::from<double>({2}, {2, 3})),
              twice = parameter(Tensor::full({2}, 5, DType::f64)),
              last = parameter(Tensor::full({2}, 7, DType::f64)),
              unreached = parameter(Tensor::full({2}, 1, DType::f64));
    std::vector<std::pair<const Parameter*, std::vector<double>>> told;
    const auto note = [&](const Parameter& p) { told.emplace_back(&p, p.gradient.to_vector()); };
    const GradientFunction ready = note;
    Tape tape;
    const Variable x = Variable(first) * twice;
    square(Variable(unreached));  // nothing depends on it
    const Variable y = x * last + Variable(twice) * twice;
    tape.backward(y, Tensor::full({2}, 1, DType::f64), &ready);
    REQUIRE(told.size() == 4);
    CHECK(told[0].first == &last);
    CHECK(told[1].first == &unreached);
    for (const auto& [p, gradient] : told) {
      CHECK(p->has_gradient == (p != &unreached));
      CHECK(gradient == p->gradient.to_vector());
    }
    CHECK(told[0].second == std::vector<double>{10, 15});
    CHECK(first.gradient.to_vector() == std::vector<double>{35, 35});
    CHECK(twice.gradient.to_vector() == std::vector<double>{24, 31});
  }

  TEST_CASE("a long chain needs no stack") {
    Parameter w = parameter(Tensor::from<double>({1}, {1}));
    Tape tape;
    Variable x = w;
    for (int i = 0; i < 200000; ++i) x = x + 1.0;
    tape.backward(x);
    CHECK(w.gradient.item() == 1);
  }

  TEST_CASE("backward frees what the rules saved") {
    Parameter w = parameter(Tensor::full({1 << 16}, 0.5));
    const size_t before = memory_counters().live;
    {
      Tape tape;
      Variable loss;
      {
        Variable x = w;
        for (int i = 0; i < 10; ++i) x = tanh(x);
        loss = sum(x);
      }
      CHECK(memory_counters().live >= before + (10 << 18));
      tape.backward(loss);
      CHECK(memory_counters().live <= before + 4096);
    }
    CHECK(memory_counters().live <= before);
  }

  TEST_CASE("a repeated step touches neither the system's memory nor the heap") {
    Parameter w = parameter(normal({32, 16}, DType::f32, {.seed = 1})), b = parameter(Tensor::zeros({32}));
    const Tensor x = normal({64, 16}, DType::f32, {.seed = 2});
    const auto step = [&] {
      Tape tape;
      const Variable h = linear(x, w, b, Activation::tanh);
      const Variable loss = mean(square(h - 0.5) * exp(h));
      tape.backward(loss);
      w.has_gradient = b.has_gradient = false;
    };
    for (int i = 0; i < 3; ++i) step();
    const uint64_t system = memory_counters().system_allocations;
    const int64_t heap = heap_allocations();
    for (int i = 0; i < 10; ++i) step();
    CHECK(memory_counters().system_allocations == system);
    CHECK(heap_allocations() == heap);
  }
}
