// map_reduce: sums and maxima over every choice of axes against a loop that adds one element at a time.
#include <doctest/doctest.h>

#include <cmath>

#include "tensor/map_loops.h"
#include "tests/error_of.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

struct Plus {
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return T(2) * a + b;
  }
};

const double kNan = std::numeric_limits<double>::quiet_NaN();

/// Plus{}(a, b) reduced into a copy of `out`: the twin of map_reduce_into.
template <class Combine>
std::vector<double> map_reduce_twin(const Tensor& out, bool accumulate, const Tensor& a, const Tensor& b) {
  std::vector<double> totals = out.to_vector();
  if (!accumulate) totals.assign(totals.size(), Combine::template identity<double>());
  const Shape space = broadcast(broadcast(a.shape(), b.shape(), "test"), out.shape(), "test");
  const std::vector<double> as = a.to_vector(), bs = b.to_vector();
  const auto place = [&](const Tensor& x, int64_t flat) {
    return static_cast<size_t>(offset_twin(x.shape(), space, flat));
  };
  for (int64_t flat = 0; flat < space.elements(); ++flat) {
    double& total = totals[place(out, flat)];
    const double value = 2 * as[place(a, flat)] + bs[place(b, flat)];
    if (std::is_same_v<Combine, Sum>)
      total += value;
    else if (std::isnan(value) || value > total)
      total = value;  // nothing is greater than a NaN
  }
  return totals;
}

/// Equal, NaN counting as equal to NaN.
bool agree(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

Tensor sum(const Shape& shape, const Tensor& x) { return map_reduce<Sum>(shape, Identity{}, x); }

/// Numbers with all their bits in use, from -1 to 1.
Tensor rough_numbers(const Shape& shape, Engine& engine) {
  const Tensor x = Tensor::empty(shape);
  for (float& value : x.span<float>()) value = std::uniform_real_distribution<float>(-1, 1)(engine);
  return x;
}

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("map_reduce agrees with an index loop for every choice of axes and broadcasting pattern") {
    Engine engine(3);
    for (int trial = 0; trial < 150; ++trial) {
      const Shape space = random_space(engine);
      const DType dtype = trial % 2 ? DType::f64 : DType::f32;
      const Tensor a = small_numbers(trial % 3 ? space : random_operand(space, engine), dtype, engine);
      const Tensor b = small_numbers(random_operand(space, engine), dtype, engine);
      for (int mask = 0; mask < 1 << space.rank(); ++mask) {
        if (space.rank() > 3 && mask % 3 != trial % 3) continue;
        Shape kept = space;
        for (int axis = 0; axis < space.rank(); ++axis)
          if (mask >> axis & 1) kept[axis] = 1;
        // Leading axes of size 1 may as well be missing.
        while (mask % 2 && kept.rank() > 0 && kept[0] == 1) kept = kept.back(kept.rank() - 1);
        CAPTURE(space.str());
        CAPTURE(kept.str());
        CAPTURE(a.shape().str());
        CAPTURE(b.shape().str());
        const Tensor out = small_numbers(kept, dtype, engine);
        for (bool accumulate : {false, true}) {
          const Tensor total = out.clone(), largest = out.clone();
          map_reduce_into<Sum>(total, accumulate, Plus{}, a, b);
          map_reduce_into<Max>(largest, accumulate, Plus{}, a, b);
          CHECK(total.to_vector() == map_reduce_twin<Sum>(out, accumulate, a, b));
          CHECK(largest.to_vector() == map_reduce_twin<Max>(out, accumulate, a, b));
        }
      }
    }
  }

  TEST_CASE("long reductions, which are cut into chunks, agree too") {
    Engine engine(4);
    for (const Shape& space :
         {Shape{100001}, Shape{2, 66001}, Shape{66001, 2}, Shape{20, 700, 5}, Shape{170, 1, 600}}) {
      const Tensor a = small_numbers(space, DType::f32, engine);
      const Tensor b = small_numbers({space[-1]}, DType::f32, engine);
      for (int mask = 0; mask < 1 << space.rank(); ++mask) {
        Shape kept = space;
        for (int axis = 0; axis < space.rank(); ++axis)
          if (mask >> axis & 1) kept[axis] = 1;
        CAPTURE(space.str());
        CAPTURE(kept.str());
        const Tensor total = Tensor::full(kept, 5), largest = total.clone();
        map_reduce_into<Sum>(total, true, Plus{}, a, b);
        map_reduce_into<Max>(largest, false, Plus{}, a, b);
        CHECK(total.to_vector() == map_reduce_twin<Sum>(Tensor::full(kept, 5), true, a, b));
        CHECK(largest.to_vector() == map_reduce_twin<Max>(total, false, a, b));
      }
    }
  }

  TEST_CASE("a NaN anywhere makes the maxima it belongs to NaN, and no others") {
    Engine engine(5);
    for (const Shape& space : {Shape{700, 3}, Shape{3, 700}, Shape{9, 20, 4}, Shape{20000, 2}}) {
      const Tensor b = Tensor::zeros({});
      for (int trial = 0; trial < 8; ++trial) {
        const Tensor a = small_numbers(space, DType::f32, engine);
        const int64_t where = std::uniform_int_distribution<int64_t>(0, space.elements() - 1)(engine);
        a.data<float>()[trial == 0   ? 0
                        : trial == 1 ? space.elements() - 1
                                     : where] = static_cast<float>(kNan);
        for (int axis = 0; axis < space.rank(); ++axis) {
          Shape kept = space;
          kept[axis] = 1;
          const Tensor largest = map_reduce<Max>(kept, Plus{}, a, b);
          CHECK(agree(largest.to_vector(), map_reduce_twin<Max>(largest, false, a, b)));
        }
        CHECK(std::isnan(map_reduce<Max>({}, Identity{}, a).item()));
        CHECK(std::isnan(sum({}, a).item()));
      }
    }
    // A NaN that is already there stays as well.
    const Tensor out = Tensor::full({}, kNan);
    map_reduce_into<Max>(out, true, Identity{}, Tensor::zeros({5}));
    CHECK(std::isnan(out.item()));
  }

  TEST_CASE("maxima of infinities, and folds of nothing") {
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK(map_reduce<Max>({}, Identity{}, Tensor::full({40}, -infinity)).item() == -infinity);
    CHECK(map_reduce<Max>({2}, Identity{}, Tensor::zeros({0, 2})).to_vector() ==
          std::vector<double>{-infinity, -infinity});
    CHECK(sum({2}, Tensor::zeros({0, 2})).to_vector() == std::vector<double>{0, 0});
    CHECK(sum({0, 1}, Tensor::zeros({0, 2})).elements() == 0);
    const Tensor kept = Tensor::full({2}, 3);
    map_reduce_into<Sum>(kept, true, Identity{}, Tensor::zeros({0, 2}));
    CHECK(kept.to_vector() == std::vector<double>{3, 3});
  }

  TEST_CASE("long sums of floats keep their precision, whichever axis is summed") {
    constexpr int64_t kCount = 10'000'000;
    const Tensor tenths = Tensor::full({kCount}, 0.1f);
    const double tenth = static_cast<double>(0.1f);
    for (int64_t columns : {1, 3, 8, 100, 1000}) {
      const int64_t rows = kCount / columns;
      const Tensor x = tenths.slice(0, rows * columns).reshape({rows, columns});
      CAPTURE(columns);
      for (double y : sum({1, columns}, x).to_vector()) REQUIRE(std::abs(y / (tenth * rows) - 1) < 1.2e-7);
      for (double y : sum({columns, 1}, x.reshape({columns, rows})).to_vector())
        REQUIRE(std::abs(y / (tenth * rows) - 1) < 1.2e-7);
      CHECK(std::abs(sum({}, x).item() / (tenth * rows * columns) - 1) < 1.2e-7);
    }
    // Numbers that cancel: the error is small beside what was added.
    Engine engine(6);
    const Tensor x = rough_numbers({300, 1000}, engine);
    double exact = 0, size = 0;
    for (double value : x.to_vector()) exact += value, size += std::abs(value);
    CHECK(std::abs(sum({}, x).item() - exact) < 1e-8 * size);
  }

  TEST_CASE("map_reduce gives the same bits with 1, 2 and 5 threads") {
    Engine engine(7);
    const Tensor x = rough_numbers({210000}, engine);
    for (const auto& [from, to] : std::vector<std::pair<Shape, Shape>>{{{210000}, {}},
                                                                       {{70000, 3}, {1, 3}},
                                                                       {{70000, 3}, {70000, 1}},
                                                                       {{3, 70000}, {3, 1}},
                                                                       {{10, 30, 700}, {10, 1, 700}},
                                                                       {{10, 7000, 3}, {10, 1, 3}},
                                                                       {{2, 105000}, {1, 105000}}}) {
      const Tensor one = [&, &start = from, &end = to] {
        return ThreadCount(1), sum(end, x.reshape(start));
      }();
      for (int count : {2, 5}) {
        const ThreadCount scope(count);
        CHECK(same_bits(sum(to, x.reshape(from)), one));
      }
    }
  }

  TEST_CASE("a member's sums are the same bits whatever members it runs beside") {
    Engine engine(8);
    const Tensor x = rough_numbers({5, 1, 84000}, engine);
    for (const auto& [from, to] : std::vector<std::pair<Shape, Shape>>{{{84000}, {1}},
                                                                       {{28000, 3}, {1, 3}},
                                                                       {{28000, 3}, {28000, 1}},
                                                                       {{107, 785}, {1, 785}},
                                                                       {{107, 785}, {107, 1}},
                                                                       {{100, 40, 21}, {100, 1, 21}},
                                                                       {{2, 2}, {1, 1}},
                                                                       {{31}, {1}}}) {
      const Tensor members = x.slice(0, 5).reshape({5, 84000});
      Shape all{5};
      Tensor several = Tensor::empty(all.concatenated(from));
      for (int64_t m = 0; m < 5; ++m) several.slice(m).copy_from(members.slice(m).view_at(0, from));
      const Tensor together = sum(all.concatenated(to), several);
      for (int64_t m = 0; m < 5; ++m) CHECK(same_bits(together.slice(m), sum(to, several.slice(m))));
    }
  }

  TEST_CASE("and so they are for every choice of axes, with operands of its own and shared ones") {
    Engine engine(9);
    for (int round = 0; round < 3000; ++round) {
      const Shape space = random_space(engine), kept = random_operand(space, engine);
      Shape to = space;  // the axes that a member's own tensors have
      for (int axis = 0; axis < space.rank(); ++axis)
        if (pick(engine, {0, 0, 1}) == 1) to[axis] = 1;
      const int64_t count = pick(engine, {2, 3, 5});
      const Shape all{count};
      const bool shared = pick(engine, {0, 1}) == 1;
      const Tensor a = rough_numbers(all.concatenated(space), engine);
      const Tensor b = rough_numbers(shared ? kept : all.concatenated(to), engine);
      CAPTURE(a.shape().str());
      CAPTURE(b.shape().str());
      CAPTURE(to.str());
      const Tensor together = map_reduce<Sum>(all.concatenated(to), Plus{}, a, b);
      for (int64_t m = 0; m < count; ++m) {
        const Tensor own = map_reduce<Sum>(to, Plus{}, a.slice(m), shared ? b : b.slice(m));
        CHECK(same_bits(together.slice(m), own));
      }
    }
  }

  TEST_CASE(
      "map_reduce and sum_to refuse what does not fit, and sum_to shares when there is nothing to sum") {
    const Tensor x = Tensor::full({2, 3}, 1);
    CHECK(mentions(error_of([&] {
                     sum({2, 2}, x);
                   }),
                   "[map_reduce] shapes do not broadcast: (2, 2) and (2, 3)"));
    CHECK(mentions(error_of([&] { sum({}, x.to(DType::i64)); }), "[map_reduce] needs f32 or f64"));
    CHECK(mentions(error_of([&] { map_reduce<Sum>({}, Plus{}, x, x.to(DType::f64)); }), "f64 tensor"));
    CHECK(sum_to(x, {3}).to_vector() == std::vector<double>{2, 2, 2});
    CHECK(sum_to(x, {2, 1}).to_vector() == std::vector<double>{3, 3});
    CHECK(sum_to(x, {}).item() == 6);
    CHECK(sum_to(x, {2, 3}).shares_storage(x));
    CHECK(sum_to(x.reshape({1, 2, 3}), {2, 3}).shape() == Shape{2, 3});
    CHECK(error_of([&] { sum_to(x, {3, 2}); }) == "[sum_to] (2, 3) was not broadcast from (3, 2)");
    CHECK(mentions(error_of([&] { sum_to(x, {4, 2, 3}); }), "[sum_to]"));
  }
}

}  // namespace elbo
