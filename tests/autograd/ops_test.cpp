// Every op's value and gradient, from the op table; and proof that the table is complete and can fail.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <set>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/pointwise.h"
#include "autograd/tape.h"
#include "tensor/random.h"
#include "tests/check_row.h"
#include "tests/declared_ops.h"

using namespace elbo;

namespace {

/// y = x^2 with the derivative of x^3: what a careless formula looks like.
struct WrongSquare {
  static constexpr const char* name = "wrong_square";
  static constexpr Saves saves = Saves::input;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x * x;
  }
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    return T(3) * x * x * dy;
  }
};

/// Right but for one part in ten thousand.
struct SlightlyWrongSquare : WrongSquare {
  template <class T>
  ELBO_HD T backward(T x, T dy) const {
    return T(2.0002) * x * dy;
  }
};

template <class Formula>
OpRow row_of(Formula formula) {
  return {"square",
          [=](const std::vector<Variable>& in) { return std::vector{pointwise(formula, in[0])}; },
          {{3, 5}}};
}

}  // namespace

TEST_SUITE("autograd") {
  TEST_CASE("every op of the table: f64 gradient, f32 against f64, fused against twin") {
    for (const OpRow& row : autograd_op_table()) check_row(row);
  }

  TEST_CASE("every op declared in ops.h has a row") {
    const std::set<std::string> ops = declared_ops("autograd/ops.h");
    CHECK(ops.size() >= 35);
    CHECK(ops.contains("gather_rows"));
    std::set<std::string> rows;
    for (const OpRow& row : autograd_op_table()) rows.insert(row.name);
    for (const std::string& op : ops) {
      CAPTURE(op);
      CHECK(rows.contains(op));
    }
    for (const std::string& row : rows) CHECK(ops.contains(row));
  }

  TEST_CASE("a wrong rule is rejected, even when it is nearly right") {
    CHECK_FALSE(passes(check_op(row_of(WrongSquare{}))));
    CHECK_FALSE(passes(check_op(row_of(SlightlyWrongSquare{}))));
    OpRow wrong_twin = row_of(WrongSquare{});
    wrong_twin.op = op_function<Variable, const Variable&>(square);
    CHECK(passes(check_op(wrong_twin)));
    wrong_twin.twin = [](const std::vector<Variable>& in) { return std::vector{square(in[0]) * 1.000001}; };
    CHECK_FALSE(passes(check_op(wrong_twin)));
  }

  TEST_CASE("a wrong rule is told by input, element, and what the gradient is and should be") {
    // a b with the derivative of b wrong at one element, by a factor.
    const OpRow row{
        "wrong_product",
        [](const std::vector<Variable>& in) {
          const Variable &a = in[0], &b = in[1];
          const Tensor factors = Tensor::from<double>({2, 3}, {1, 1, 1, 1, 1, 1.5}).to(a.dtype());
          return std::vector{Tape::record("wrong_product", {&a, &b}, mul(a.value(), b.value()).value(),
                                          [a = a.value(), b = b.value(), factors](Backward& pass) {
                                            pass.add(0, mul(pass.dy(), b).value());
                                            pass.add(1, mul(mul(pass.dy(), a), factors).value());
                                          })};
        },
        {{2, 3}, {2, 3}}};
    const OpCheck check = check_op(row);
    CHECK(check.gradient_at.place == "gradient of input 1 (2, 3) at [1, 2]");
    CHECK(check.gradient_at.found == doctest::Approx(1.5 * check.gradient_at.expected).epsilon(1e-9));
    CHECK(check.gradient_error == doctest::Approx(1 - 1 / 1.5).epsilon(1e-9));
    const std::vector<Comparison> all = comparisons(check);
    REQUIRE(all.size() == 3);
    CHECK_FALSE(all[0].passes());
    CHECK(all[0].str().starts_with(
        "gradient against central differences: gradient of input 1 (2, 3) at [1, 2] is "));
    CHECK(all[1].passes());
    CHECK(all[2].passes());

    // Of two errors the larger one is told, whichever input it is of; and NaN is the largest.
    OpRow square_of_one{
        "square",
        [](const std::vector<Variable>& in) { return std::vector{pointwise(WrongSquare{}, in[0])}; },
        {{1}}};
    CHECK(check_op(square_of_one).gradient_at.place == "gradient of input 0 (1,) at [0]");
    OpRow with_nan = row_of(WrongSquare{});
    with_nan.op = op_function<Variable, const Variable&>(square);
    with_nan.twin = [](const std::vector<Variable>& in) {
      const Tensor nan = Tensor::from<double>({3, 5}, {0, 0, 0, 0, 0, 0, 0, NAN, 0, 0, 0, 0, 0, 0, 0});
      return std::vector{square(in[0]) + nan};
    };
    const OpCheck broken = check_op(with_nan);
    CHECK(broken.twin_at.place == "output 0 (3, 5) at [1, 2]");
    CHECK(broken.twin_error == INFINITY);
  }

  TEST_CASE("a twin with outputs of another shape, or another number of them, is rejected") {
    const auto with_twin = [](OpFunction twin) {
      OpRow row = row_of(WrongSquare{});
      row.op = op_function<Variable, const Variable&>(square);
      row.twin = std::move(twin);
      return check_op(row);
    };
    using In = const std::vector<Variable>&;
    CHECK(passes(with_twin([](In in) { return std::vector{in[0] * in[0]}; })));
    const std::vector<OpFunction> wrong{[](In in) {
                                          return std::vector{reshape(square(in[0]), {3, 5, 1})};
                                        },
                                        [](In in) { return std::vector{reshape(square(in[0]), {15})}; },
                                        [](In in) { return std::vector{sum(square(in[0]), {0}, true)}; },
                                        [](In in) {
                                          return std::vector{square(in[0]), square(in[0])};
                                        },
                                        [](In) { return std::vector<Variable>{}; }};
    for (const OpFunction& twin : wrong) {
      const OpCheck check = with_twin(twin);
      CHECK(check.twin_error == INFINITY);
      CHECK(check.gradient_error <= kGradientTolerance);
      CHECK_FALSE(passes(check));
    }
  }

  TEST_CASE("an op that gives another shape, number or type of outputs in f32 is rejected") {
    using In = const std::vector<Variable>&;
    const std::vector<OpFunction> wrong{
        [](In in) {
          const Variable y = square(in[0]);
          return std::vector{in[0].dtype() == DType::f32 ? reshape(y, {5, 3}) : y};
        },
        [](In in) { return std::vector<Variable>(in[0].dtype() == DType::f32 ? 2 : 1, square(in[0])); },
        [](In in) {
          const Variable y = square(in[0]);
          return std::vector{in[0].dtype() == DType::f32 ? Variable(y.value().to(DType::f64)) : y};
        }};
    for (const OpFunction& op : wrong) CHECK(check_op({"wrong", op, {{3, 5}}}).float_error == INFINITY);
  }

  TEST_CASE("a rule that writes over a gradient instead of adding to it is rejected") {
    const OpRow row{"scaled",
                    [](const std::vector<Variable>& in) {
                      return std::vector{Tape::record(
                          "scaled", {&in[0]}, map(Scaled{3}, in[0].value()),
                          [](Backward& pass) { map_into(pass.target(0).tensor, Scaled{3}, pass.dy()); })};
                    },
                    {{3, 5}}};
    const OpCheck check = check_op(row);
    CHECK(check.gradient_error <= kGradientTolerance);
    CHECK(check.float_error <= kFloatTolerance);
    CHECK(check.addition_error > 0.1);
    CHECK_FALSE(passes(check));
  }

  TEST_CASE("pow's gradient: 0 for the exponent 0, at 0 too, and the slope at 0 for whole exponents") {
    const auto gradient = [](double x, double exponent, DType dtype) {
      Parameter p{"x", Tensor::full({}, x, dtype), Tensor::zeros({}, dtype)};
      Tape tape;
      tape.backward(pow(p, exponent));
      return p.gradient.item();
    };
    for (DType dtype : {DType::f32, DType::f64}) {
      for (double x : {0.0, 2.0, -3.0}) CHECK(gradient(x, 0, dtype) == 0);
      CHECK(gradient(0, 1, dtype) == 1);
      CHECK(gradient(0, 2, dtype) == 0);
      CHECK(gradient(-2, 3, dtype) == 12);
      CHECK(gradient(0, 0.5, dtype) == INFINITY);
      CHECK(gradient(0, -1, dtype) == -INFINITY);
    }
    CHECK(gradient(2, 1e-60, DType::f32) == 0);  // which is 0 in f32
  }

  TEST_CASE(
      "gradients are finite in f32 where value and gradient are, though a step on the way would not be") {
    const auto gradients = [](auto op, double a, double b, double dy) {
      Parameter pa{"a", Tensor::full({}, a), Tensor::zeros({})},
          pb{"b", Tensor::full({}, b), Tensor::zeros({})};
      Tape tape;
      const Variable y = op(pa, pb);
      tape.backward(y, Tensor::full({}, dy));
      return std::pair{pa.gradient.item(), pb.gradient.item()};
    };
    const auto quotient = [](const Variable& a, const Variable& b) { return a / b; };
    for (const auto& numbers : {std::array{1e-25, 1e-25, 1.0}, std::array{1e30, 1e25, 1.0},
                                std::array{1e-30, 1e-30, -2.0}, std::array{1e20, 1e25, 1e10}}) {
      CAPTURE(numbers[1]);
      const auto& [a, b, dy] = numbers;
      const auto [da, db] = gradients(quotient, a, b, dy);
      CHECK(da == doctest::Approx(dy / b).epsilon(1e-6));
      CHECK(db == doctest::Approx(-dy * a / (b * b)).epsilon(1e-6));
    }
    const auto squared = [](const Variable& a, const Variable&) { return square(a); };
    CHECK(gradients(squared, 2e38, 0, 1e-10).first == doctest::Approx(4e28));
    const auto power = [](const Variable& a, const Variable&) { return pow(a, 2); };
    CHECK(gradients(power, 2e38, 0, 1e-10).first == doctest::Approx(4e28));
  }

  TEST_CASE("a rule that returns NaN is rejected") {
    const OpRow row{
        "nan", [](const std::vector<Variable>& in) { return std::vector{sqrt(in[0] * 0.0 - 1.0)}; }, {{2}}};
    CHECK_FALSE(passes(check_op(row)));
  }

  TEST_CASE("logsumexp survives large and infinite inputs") {
    const double inf = INFINITY;
    CHECK(logsumexp(Tensor::from<double>({2}, {1000, 1000})).item() == doctest::Approx(1000 + std::log(2)));
    CHECK(logsumexp(Tensor::from<double>({2}, {-inf, 3})).item() == doctest::Approx(3));
    CHECK(logsumexp(Tensor::from<double>({2}, {-inf, -inf})).item() == -inf);
    CHECK(logsumexp(Tensor::from<double>({2}, {inf, 1})).item() == inf);
    for (const std::vector<double>& masked : {std::vector<double>{-inf, -inf}, {-inf, 3}}) {
      Parameter x{"x", Tensor::from<double>({2}, masked), Tensor::zeros({2}, DType::f64)};
      Tape tape;
      tape.backward(logsumexp(x));
      CHECK(x.gradient.to_vector() == std::vector<double>{0, masked[1] == 3 ? 1.0 : 0.0});
    }
  }

  TEST_CASE("elements that tie for the maximum share its gradient") {
    Parameter x{"x", Tensor::from<double>({4}, {1, 3, 3, 2}), Tensor::zeros({4}, DType::f64)};
    Tape tape;
    tape.backward(max(x));
    CHECK(x.gradient.to_vector() == std::vector<double>{0, 0.5, 0.5, 0});
  }

  TEST_CASE("stop_gradient passes the value and not the gradient") {
    Parameter x{"x", Tensor::from<double>({2}, {2, 5}), Tensor::zeros({2}, DType::f64)};
    Tape tape;
    tape.backward(sum(x * stop_gradient(x)));
    CHECK(x.gradient.to_vector() == std::vector<double>{2, 5});
  }

  TEST_CASE("a layer of images used twice has the gradients of both uses, and those of an earlier pass") {
    const auto numbers = [](const Shape& shape, uint64_t seed) {
      return normal(shape, DType::f64, {.seed = seed, .stream = kTestInput});
    };
    const Tensor first = numbers({2, 4, 4, 3}, 1), second = numbers({2, 4, 4, 3}, 2);
    const auto gradients_of = [&](bool transposed, const std::vector<std::vector<Tensor>>& passes) {
      const auto leaf = [](const Tensor& value) {
        return Parameter{"", value, Tensor::zeros(value.shape(), DType::f64), false};
      };
      Parameter weight = leaf(numbers({3, 2, 2, 3}, 3)), bias = leaf(numbers({3}, 4)),
                gain = leaf(numbers({3}, 5));
      for (const std::vector<Tensor>& uses : passes) {
        Tape tape;
        Variable total = Tensor::scalar(0, DType::f64);
        for (const Tensor& x : uses) {
          const Variable y = transposed ? conv_transpose2d(x, weight, bias) : conv2d(x, weight, bias);
          total = total + sum(square(batch_norm(y, gain, bias).y));
          total = total + sum(y);
        }
        tape.backward(total);
      }
      std::vector<double> all = weight.gradient.to_vector();
      for (const Parameter* other : {&bias, &gain})
        for (double value : other->gradient.to_vector()) all.push_back(value);
      return all;
    };
    for (const bool transposed : {false, true}) {
      const std::vector<double> a = gradients_of(transposed, {{first}}),
                                b = gradients_of(transposed, {{second}}),
                                together = gradients_of(transposed, {{first, second}}),
                                in_turn = gradients_of(transposed, {{first}, {second}});
      for (size_t i = 0; i < a.size(); ++i) {
        CHECK(together[i] == doctest::Approx(a[i] + b[i]).epsilon(1e-12).scale(10));
        CHECK(in_turn[i] == doctest::Approx(a[i] + b[i]).epsilon(1e-12).scale(10));
      }
    }
  }

  TEST_CASE("a cube root's slope is 0 at 0, where it would be infinite, and finite at every other number") {
    for (DType dtype : {DType::f32, DType::f64}) {
      const double smallest = dtype == DType::f32 ? std::numeric_limits<float>::denorm_min()
                                                  : std::numeric_limits<double>::denorm_min();
      const std::vector<double> at{0, -0.0, smallest, -smallest, -8};
      Parameter x{"", Tensor::from<double>({5}, at).to(dtype), Tensor::zeros({5}, dtype), false};
      Tape tape;
      tape.backward(sum(cbrt(x)));
      CHECK(x.gradient.at(0) == 0);
      CHECK(x.gradient.at(1) == 0);
      for (int64_t i : {2, 3}) {
        CHECK(std::isfinite(x.gradient.at(i)));
        CHECK(x.gradient.at(i) > 1e20);
      }
      CHECK(x.gradient.at(4) == doctest::Approx(1.0 / 12).epsilon(1e-6));
    }
  }

  TEST_CASE("layers of nothing: without inputs there is the bias, without rows or members nothing") {
    const Tensor bias = Tensor::from<float>({2}, {1, 2});
    const Variable y = linear(Tensor::zeros({3, 0}), Tensor::zeros({2, 0}), bias);
    CHECK(y.shape() == Shape{3, 2});
    for (int64_t row = 0; row < 3; ++row)
      CHECK((y.value().at(2 * row) == 1 && y.value().at(2 * row + 1) == 2));
    CHECK(linear(Tensor::zeros({0, 3}), Tensor::zeros({2, 3}), bias).shape() == Shape{0, 2});
    CHECK(linear(Tensor::zeros({0, 5, 3}), Tensor::zeros({0, 4, 3}), Tensor::zeros({0, 4})).shape() ==
          Shape{0, 5, 4});
  }

  TEST_CASE("mismatched operands are named in one line") {
    const Tensor a = Tensor::zeros({128, 784}), b = Tensor::zeros({512, 1024});
    CHECK_THROWS_WITH_AS(matmul(a, b), "[matmul] inner sizes differ: a (128, 784), b (512, 1024)", Error);
    CHECK_THROWS_WITH_AS(matmul(a, Tensor::zeros({512, 784})),
                         "[matmul] inner sizes differ: a (128, 784), b (512, 784); did you mean matmul_nt?",
                         Error);
    CHECK_THROWS_WITH_AS(add(a, Tensor::zeros({3})),
                         "[add] shapes do not broadcast: (128, 784) and (3,) differ in axis -1", Error);
    CHECK_THROWS_AS(linear(a, Tensor::zeros({5, 783}), Tensor::zeros({5})), Error);
    CHECK_THROWS_AS(linear(a, Tensor::zeros({5, 784}), Tensor::zeros({4})), Error);
    CHECK_THROWS_WITH_AS(linear(a, Tensor::zeros({5, 784}, DType::f64), Tensor::zeros({5})),
                         "[linear] x is f32 on cpu, weight f64 on cpu; make them the same", Error);
    CHECK_THROWS_WITH_AS(linear(a, Tensor::zeros({5, 784}), Tensor::zeros({5}, DType::f64)),
                         "[linear] x is f32 on cpu, bias f64 on cpu; make them the same", Error);
    CHECK_THROWS_AS(concat({a, b}, 0), Error);
    CHECK_THROWS_AS(split(a, 1, {700, 80}), Error);
    CHECK_THROWS_AS(gather_rows(a, Tensor::from<int64_t>({1}, {128})), Error);
    CHECK_THROWS_AS(sum(a, {2}), Error);
    CHECK_THROWS_AS(leaky_relu(a, 0), Error);
    CHECK_THROWS_WITH_AS(
        parse_activation("gelu"),
        "[activation] unknown activation 'gelu'; there are none, relu, leaky_relu, elu, softplus, "
        "sigmoid, tanh, cbrt, cube",
        Error);
  }
}
