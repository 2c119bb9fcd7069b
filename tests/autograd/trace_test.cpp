// TapeTrace: what it says of a small net, whose tape can be written down beforehand.
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "autograd/trace.h"
#include "tests/heap_counter.h"

using namespace elbo;

namespace {

constexpr int64_t kRows = 256;  // blocks of 1024 bytes and their multiples hold what was asked for, no more

struct Net {
  Parameter w{"w", Tensor::full({4, 4}, 0.1), Tensor::zeros({4, 4}), false};
  Parameter b{"b", Tensor::zeros({4}), Tensor::zeros({4}), false};
  Tensor x = Tensor::full({kRows, 4}, 1);

  /// loss = sum(h^2 + exp h), h = tanh(x W^T + b); a dead end beside.
  void step() {
    Tape tape;
    Variable loss;
    {
      const Variable h = tanh(linear(x, w, b));
      const Variable dead_end = square(h);
      const Variable squared = square(h), exponential = exp(h);
      loss = sum(squared + exponential);
    }
    tape.backward(loss);
    w.has_gradient = b.has_gradient = false;
  }
};

}  // namespace

TEST_SUITE("autograd") {
  TEST_CASE("a trace names ops, where their inputs come from, and where gradients met") {
    Net net;
    TapeTrace trace;
    {  // of an op with several outputs, which the next tape has not
      Tape tape;
      const std::vector<DenseLayer> layers(3, {net.w, net.b});
      dense_layers(net.x, layers, 2);
    }
    net.step();
    REQUIRE(trace.tapes().size() == 2);
    CHECK(trace.tapes()[0].ops[0].outputs.size() == 2);
    const std::vector<TapeTrace::Op>& ops = trace.tapes()[1].ops;
    std::vector<std::string> names;
    for (const TapeTrace::Op& op : ops) names.push_back(op.name);
    REQUIRE(fmt::format("{}", fmt::join(names, " ")) == "linear tanh square square exp add sum");

    REQUIRE(ops[0].inputs.size() == 3);
    CHECK(ops[0].inputs[0].op == -1);
    CHECK(ops[0].inputs[0].parameter.empty());  // x is a constant
    CHECK_FALSE(ops[0].inputs[0].reached);
    CHECK(ops[0].inputs[1].parameter == "w");
    CHECK(ops[0].inputs[2].parameter == "b");
    CHECK(ops[0].inputs[1].reached);
    CHECK_FALSE(ops[0].inputs[1].met);
    CHECK(ops[1].inputs[0].op == 0);
    for (size_t user : {2u, 3u, 4u}) CHECK(ops[user].inputs[0].op == 1);
    CHECK(ops[5].inputs[0].op == 3);
    CHECK(ops[5].inputs[1].op == 4);
    CHECK(ops[0].outputs[0] == Shape{kRows, 4});
    CHECK(ops[0].output_bytes == kRows * 4 * 4);
    CHECK(ops[6].outputs[0] == Shape{});

    // exp comes first in the backward pass; the gradient of h that square has is added to its.
    CHECK(ops[4].inputs[0].reached);
    CHECK_FALSE(ops[4].inputs[0].met);
    CHECK(ops[3].inputs[0].met);
    // Nothing depends on the dead end.
    CHECK_FALSE(ops[2].reached);
    CHECK_FALSE(ops[2].inputs[0].reached);
    CHECK(ops[2].backward_seconds == 0);
    for (size_t i : {0u, 1u, 3u, 4u, 5u, 6u}) CHECK(ops[i].reached);
    for (const TapeTrace::Op& op : ops) CHECK(op.forward_seconds >= 0);
  }

  TEST_CASE("memory that a rule alone kept counts for it, and what several saved for the first") {
    Net net;
    TapeTrace trace;
    net.step();
    net.step();
    const std::vector<TapeTrace::Op>& ops = trace.tapes()[1].ops;
    constexpr int64_t kBlock = kRows * 4 * 4;
    CHECK(ops[1].saved_bytes == kBlock);  // h, which both squares save as well
    CHECK(ops[2].saved_bytes == 0);
    CHECK(ops[3].saved_bytes == 0);
    CHECK(ops[4].saved_bytes == kBlock);  // exp h
    CHECK(ops[0].saved_bytes == kBlock);  // its output; x belongs to somebody else, and w to its parameter
  }

  TEST_CASE("a gradient that two ops give a parameter meets there") {
    Parameter w{"w", Tensor::full({3}, 2, DType::f64), Tensor::zeros({3}, DType::f64), false};
    TapeTrace trace;
    Tape tape;
    const Variable loss = sum(square(w) + exp(w));
    tape.backward(loss);
    const std::vector<TapeTrace::Op>& ops = trace.tapes().at(0).ops;
    CHECK(ops[0].inputs[0].met);
    CHECK_FALSE(ops[1].inputs[0].met);
    CHECK_THROWS_AS(TapeTrace second, Error);
  }

  TEST_CASE("a trace that has ended is told nothing, and a step then costs no memory again") {
    Net net;
    {
      TapeTrace trace;
      net.step();
      CHECK(trace.tapes().size() == 1);
    }
    for (int i = 0; i < 3; ++i) net.step();
    const int64_t heap = heap_allocations();
    net.step();
    CHECK(heap_allocations() == heap);
    Tape tape;
    CHECK_THROWS_WITH_AS(TapeTrace late,
                         "[trace] a tape is alive; a trace must begin before it and end after it", Error);
  }
}
