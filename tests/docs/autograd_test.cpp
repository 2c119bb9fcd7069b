// docs/autograd.md: its two tapes run, and print the numbers that the page prints.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "autograd/trace.h"
#include "tensor/file.h"
#include "tests/source_file.h"

namespace elbo {

// The page's; not all of either is used here.
namespace scalars {
#include "docs_code/autograd.1.inc"
#include "docs_code/autograd.2.inc"
}  // namespace scalars

namespace tensors {
#include "docs_code/autograd.3.inc"
#include "docs_code/autograd.4.inc"
}  // namespace tensors

namespace {

#include "docs_code/add-an-op.12.inc"

std::string page() { return read_file(source_file("docs/autograd.md")); }

bool is_printed(const std::string& table) {
  return page().find("```\n" + table + "```\n") != std::string::npos;
}

struct Net {
  Tensor x = Tensor::from<double>({1, 2}, {1, 2});
  Parameter w{"w", Tensor::from<double>({1, 2}, {0.5, -0.25}), Tensor::zeros({1, 2}, DType::f64), false};
  Parameter b{"b", Tensor::from<double>({1}, {0.3}), Tensor::zeros({1}, DType::f64), false};
};

}  // namespace

TEST_SUITE("docs") {
  TEST_CASE("the scalar tape of the page has the numbers that the page prints") {
    std::vector<scalars::Entry> tape;
    const std::vector<scalars::Scalar> net = scalars::net(tape);
    const std::vector<double> gradient = scalars::backward(net.back());
    REQUIRE(tape.size() == net.size());
    const char* names[] = {"w1", "w2", "b", "first", "second", "both", "a", "y", "error", "loss"};
    std::string table = " #  number  made from  derivatives by them      value   gradient\n";
    for (size_t i = 0; i < tape.size(); ++i) {
      const auto input = [](int entry) { return entry < 0 ? "" : fmt::format("#{} ", entry); };
      const auto by = [](int entry, double value) { return entry < 0 ? "" : fmt::format("{:.6f} ", value); };
      table +=
          fmt::format("{:>2}  {:<6}  {:<9}  {:<19}  {:>9.6f}  {:>9.6f}\n", i, names[i],
                      input(tape[i].a) + input(tape[i].b),
                      by(tape[i].a, tape[i].by_a) + by(tape[i].b, tape[i].by_b), net[i].value, gradient[i]);
    }
    CAPTURE(table);
    CHECK(is_printed(table));
  }

  TEST_CASE("the real tape of the page has the entries and the numbers that the page prints") {
    Net net;
    TapeTrace trace;
    const double loss = tensors::step(net.x, net.w, net.b);
    REQUIRE(trace.tapes().size() == 1);
    const std::vector<TapeTrace::Op> ops = trace.tapes()[0].ops;

    // The same once more, with each result's gradient kept.
    Net again;
    std::vector<Tensor> gradients(5);
    std::vector<double> values;
    {
      Tape tape;
      const auto keep = [&](size_t i, const Variable& x) {
        values.push_back(x.item());
        return keep_gradient(x, gradients[i]);
      };
      const Variable a = keep(0, linear(again.x, again.w, again.b));
      const Variable y = keep(1, tanh(a));
      const Variable error = keep(2, y - 1.0);
      const Variable squared = keep(3, square(error));
      tape.backward(keep(4, sum(squared)));
    }
    REQUIRE(ops.size() == 5);
    std::string table = "#  op      made from          shape       value   gradient\n";
    for (size_t i = 0; i < ops.size(); ++i) {
      std::string from;
      for (const TapeTrace::Input& input : ops[i].inputs)
        from += (input.op >= 0              ? fmt::format("#{}", input.op + 1)
                 : !input.parameter.empty() ? input.parameter
                                            : std::string("x")) +
                " ";
      table += fmt::format("{}  {:<6}  {:<17}  {:<6}  {:>9.6f}  {:>9.6f}\n", i + 1, ops[i].name, from,
                           ops[i].outputs[0].str(), values[i], gradients[i].item());
    }
    table += fmt::format("\nw.gradient {:.6f} {:.6f}   b.gradient {:.6f}\n", net.w.gradient.at(0),
                         net.w.gradient.at(1), net.b.gradient.at(0));
    CAPTURE(table);
    CHECK(is_printed(table));
    CHECK(loss == values.back());
    CHECK(again.w.gradient.to_vector() == net.w.gradient.to_vector());

    // And both tapes agree to the last digits.
    std::vector<scalars::Entry> tape;
    const std::vector<scalars::Scalar> numbers = scalars::net(tape);
    const std::vector<double> expected = scalars::backward(numbers.back());
    CHECK(loss == doctest::Approx(numbers.back().value).epsilon(1e-14));
    CHECK(net.w.gradient.at(0) == doctest::Approx(expected[0]).epsilon(1e-14));
    CHECK(net.w.gradient.at(1) == doctest::Approx(expected[1]).epsilon(1e-14));
    CHECK(net.b.gradient.at(0) == doctest::Approx(expected[2]).epsilon(1e-14));
    const size_t same[] = {6, 7, 8, 9};
    for (size_t i = 0; i < 4; ++i)
      CHECK(gradients[i].item() == doctest::Approx(expected[same[i]]).epsilon(1e-14));
  }

  TEST_CASE("the scalar tape of the page is that of the ladder, in forty lines or so") {
    const std::string text = page(), ladder = read_file(source_file("docs/ladder/2_scalars.cpp"));
    const size_t begin = text.find("```cpp\n") + 7, end = text.find("\n```", begin);
    const std::string tape = text.substr(begin, end - begin);
    CHECK(ladder.find(tape) != std::string::npos);
    CHECK(std::count(tape.begin(), tape.end(), '\n') <= 41);
  }
}

}  // namespace elbo
