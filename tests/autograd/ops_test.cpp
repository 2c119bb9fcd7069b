// Every op's value and gradient, from the op table; and proof that the table is complete and can fail.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/pointwise.h"
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
  ELBO_HD T forward(T x) const {
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
          total = total + sum(square(batch_norm(y, gain, bias, batch_statistics(y.value(), false))));
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
    CHECK_THROWS_AS(concat({a, b}, 0), Error);
    CHECK_THROWS_AS(split(a, 1, {700, 80}), Error);
    CHECK_THROWS_AS(gather_rows(a, Tensor::from<int64_t>({1}, {128})), Error);
    CHECK_THROWS_AS(sum(a, {2}), Error);
    CHECK_THROWS_AS(leaky_relu(a, 0), Error);
    CHECK_THROWS_WITH_AS(
        parse_activation("gelu"),
        "[activation] unknown activation 'gelu'; there are none, relu, leaky_relu, elu, softplus, "
        "sigmoid, tanh",
        Error);
  }
}
