// map: every broadcasting pattern against index arithmetic done one element at a time.
#include "tensor/map_loops.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

/// Tells its operands apart; exact for small whole numbers.
struct Mix {
  template <class T>
  ELBO_HD T operator()(T a) const {
    return T(2) * a + T(1);
  }
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return T(2) * a - T(3) * b;
  }
  template <class T>
  ELBO_HD T operator()(T a, T b, T c) const {
    return a * b + T(5) * c;
  }
};

/// Something whose last bits would show a different order of operations.
struct Rough {
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return math::exp(a) * b + math::tanh(a - b) * T(0.3);
  }
};

template <class... In>
std::vector<double> map_twin(const Shape& space, const In&... in) {
  std::vector<double> values;
  for (int64_t flat = 0; flat < space.elements(); ++flat)
    values.push_back(Mix{}(in.at(offset_twin(in.shape(), space, flat))...));
  return values;
}

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("map agrees with an index loop for every broadcasting pattern of one to three operands") {
    Engine engine(1);
    for (int trial = 0; trial < 600; ++trial) {
      const Shape space = random_space(engine);
      const DType dtype = trial % 2 ? DType::f64 : DType::f32;
      const Tensor a = small_numbers(random_operand(space, engine), dtype, engine);
      const Tensor b = small_numbers(random_operand(space, engine), dtype, engine);
      const Tensor c = small_numbers(random_operand(space, engine), dtype, engine);
      CAPTURE(space.str());
      CAPTURE(a.shape().str());
      CAPTURE(b.shape().str());
      CAPTURE(c.shape().str());
      CHECK(map(Mix{}, a).to_vector() == map_twin(a.shape(), a));
      const Shape ab = broadcast(a.shape(), b.shape(), "test"), abc = broadcast(ab, c.shape(), "test");
      const Tensor two = map(Mix{}, a, b), three = map(Mix{}, a, b, c);
      CHECK(two.shape() == ab);
      CHECK(two.dtype() == dtype);
      CHECK(two.to_vector() == map_twin(ab, a, b));
      CHECK(three.shape() == abc);
      CHECK(three.to_vector() == map_twin(abc, a, b, c));
      // In place, and into a shape that no operand fills.
      const Tensor out = small_numbers(space, dtype, engine), before = out.clone();
      map_into(out, Mix{}, out, b);
      CHECK(out.to_vector() == map_twin(space, before, b));
      map_into(out, Mix{}, a, b, c);
      CHECK(out.to_vector() == map_twin(space, a, b, c));
    }
  }

  TEST_CASE("map writes its own elements and no others") {
    const Tensor arena = Tensor::full({1000}, 7);
    map_into(arena.view_at(13, {3, 100}), Mix{}, Tensor::full({3, 1}, 1), Tensor::full({100}, 0));
    for (int64_t i = 0; i < 1000; ++i) REQUIRE(arena.at(i) == (i >= 13 && i < 313 ? 2 : 7));
  }

  TEST_CASE("map gives the same bits with 1, 2 and 5 threads") {
    Engine engine(2);
    for (const auto& [a_shape, b_shape] : std::vector<std::pair<Shape, Shape>>{
             {{100003}, {100003}}, {{33334, 3}, {3}}, {{33334, 1}, {1, 3}}, {{7, 113, 131}, {7, 1, 131}}}) {
      const Tensor a = map(Mix{}, small_numbers(a_shape, DType::f32, engine), Tensor::scalar(0.2371));
      const Tensor b = small_numbers(b_shape, DType::f32, engine);
      const Tensor one = [&] { return ThreadCount(1), map(Rough{}, a, b); }();
      for (int count : {2, 5}) {
        const ThreadCount scope(count);
        CHECK(same_bits(map(Rough{}, a, b), one));
      }
    }
  }

  TEST_CASE("map refuses shapes and element types that do not fit") {
    const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({4, 3});
    CHECK(error_of([&] { map(Mix{}, a, b); }) ==
          "[map] shapes do not broadcast: (2, 3) and (4, 3) differ in axis -2");
    CHECK(error_of([&] { map_into(Tensor::zeros({3}), Mix{}, a); }) ==
          "[map] (2, 3) does not broadcast to (3,)");
    CHECK(mentions(error_of([&] { map(Mix{}, a, a.to(DType::f64)); }),
                   "asked for f32 elements of a f64 tensor"));
    CHECK(
        mentions(error_of([&] { map(Mix{}, a.to(DType::u8)); }), "[map] needs f32 or f64 elements, got u8"));
    CHECK(mentions(error_of([&] { map(Mix{}, a, Tensor()); }), "used before it was given a value"));
  }

  TEST_CASE("add_into adds a broadcast operand in place") {
    const Tensor x = Tensor::from<float>({2, 2}, {1, 2, 3, 4});
    add_into(x, Tensor::from<float>({2}, {10, 20}));
    CHECK(x.to_vector() == std::vector<double>{11, 22, 13, 24});
  }
}

}  // namespace elbo
