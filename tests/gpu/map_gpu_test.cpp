// map and map_reduce on the GPU against the CPU: every way that operands can broadcast, packs and single
// elements, short and long sums, both directions of folding.
#include <doctest/doctest.h>

#include "tensor/map_loops.h"
#include "tensor/random.h"
#include "tests/gpu/near.h"

namespace elbo {
namespace {

struct Mix {
  template <class T>
  ELBO_HD T operator()(T a, T b, T c) const {
    return a * b + T(2) * c;
  }
};

Tensor draw(const Shape& shape, DType dtype, uint64_t step) {
  return normal(shape, dtype, {.seed = 4, .stream = kTestInput, .step = step});
}

TEST_SUITE("gpu") {
  TEST_CASE("a map is the CPU's, whatever broadcasts") {
    const std::vector<std::array<Shape, 3>> cases{
        {Shape{5}, Shape{5}, Shape{5}},
        {Shape{4096}, Shape{4096}, Shape{1}},
        {Shape{33, 64}, Shape{64}, Shape{33, 1}},       // packs along rows, a row vector, a column vector
        {Shape{33, 63}, Shape{63}, Shape{33, 1}},       // rows that no pack fits
        {Shape{2, 1, 8}, Shape{3, 8}, Shape{2, 3, 1}},  // members
        {Shape{}, Shape{7, 3, 5}, Shape{3, 1}},
        {Shape{2, 3, 1, 5}, Shape{4, 1}, Shape{3, 4, 5}},
        {Shape{1}, Shape{1}, Shape{}},
        {Shape{0, 4}, Shape{4}, Shape{1}},
    };
    for (DType dtype : {DType::f32, DType::f64})
      for (const auto& shapes : cases) {
        const std::string text = shapes[0].str() + shapes[1].str() + shapes[2].str();
        CAPTURE(text);
        const Tensor x = draw(shapes[0], dtype, 1), y = draw(shapes[1], dtype, 2),
                     z = draw(shapes[2], dtype, 3);
        const auto there = [](const Tensor& t) { return t.to(Device::cuda); };
        CHECK(near(map(Mix{}, there(x), there(y), there(z)), map(Mix{}, x, y, z)));
      }
  }

  TEST_CASE("views that begin inside a pack") {
    const Tensor x = draw({10, 12}, DType::f32, 1), flat = x.reshape({120});
    const Tensor there = flat.to(Device::cuda);
    for (int64_t begin : {0, 1, 2, 3, 4})
      CHECK(near(map(Product{}, there.slice(begin, 101), there.slice(0, 101 - begin)),
                 map(Product{}, flat.slice(begin, 101), flat.slice(0, 101 - begin))));
  }

  TEST_CASE("a map onto one of its inputs") {
    const Tensor x = draw({7, 12}, DType::f32, 1), row = draw({12}, DType::f32, 2),
                 there = x.to(Device::cuda);
    map_into(there, Product{}, there, row.to(Device::cuda));
    CHECK(near(there, map(Product{}, x, row)));
  }

  TEST_CASE("sums and maxima are the CPU's, along any axes") {
    const std::vector<std::pair<Shape, Shape>> cases{
        {{6, 8}, {6, 1}},      // rows, packs
        {{6, 7}, {6, 1}},      // rows, single elements
        {{6, 8}, {1, 8}},      // columns
        {{300, 70}, {1, 70}},  // columns, several chunks
        {{9001, 3}, {1, 3}},   // columns, fewer than a warp has threads
        {{5, 901, 5}, {5, 1, 5}},
        {{3, 40000}, {3, 1}},  // rows, several chunks
        {{70001}, {}},         // all
        {{2, 3, 4, 5}, {2, 1, 4, 1}},
        {{2, 3, 4, 5}, {1, 3, 1, 5}},
        {{2, 3, 4, 5}, {4, 1}},
        {{5, 1, 6}, {5, 1, 6}},  // nothing to fold
        {{1, 1}, {1, 1}},
        {{1000, 2}, {1, 2}},
        {{0, 3}, {1, 3}},  // nothing at all
    };
    for (DType dtype : {DType::f32, DType::f64})
      for (const auto& shapes : cases) {
        const Shape &from = shapes.first, &to = shapes.second;
        CAPTURE(from.str());
        CAPTURE(to.str());
        const Tensor x = draw(from, dtype, 1), y = draw(to, dtype, 2);
        const Tensor x_there = x.to(Device::cuda), y_there = y.to(Device::cuda);
        CHECK(near(map_reduce<Sum>(to, Product{}, x_there, y_there), map_reduce<Sum>(to, Product{}, x, y)));
        CHECK(near(map_reduce<Max>(to, Identity{}, x_there), map_reduce<Max>(to, Identity{}, x)));
        const Tensor total = draw(to, dtype, 3), total_there = total.to(Device::cuda);
        map_reduce_into<Sum>(total, true, SquareOf{}, x);
        map_reduce_into<Sum>(total_there, true, SquareOf{}, x_there);
        CHECK(near(total_there, total));
      }
  }

  TEST_CASE("a member's sums do not depend on the members beside it") {
    for (const Shape& each : {Shape{333, 50}, Shape{9001, 3}, Shape{40000, 1}, Shape{1, 40000}})
      for (const bool columns : {false, true}) {
        const Shape all = Shape{5}.concatenated(each);
        const Tensor x = draw(all, DType::f64, 1).to(Device::cuda);  // f32 would hide the order of a sum
        const Shape one = columns ? Shape{1, each[1]} : Shape{each[0], 1};
        const Tensor sums = map_reduce<Sum>(Shape{5}.concatenated(one), Identity{}, x);
        for (int64_t m = 0; m < 5; ++m)
          CHECK(map_reduce<Sum>(one, Identity{}, x.slice(m)).to_vector() == sums.slice(m).to_vector());
      }
  }

  TEST_CASE("NaN reaches the result of a sum and of a maximum") {
    const Tensor x = draw({40}, DType::f32, 1);
    x.data<float>()[17] = std::nanf("");
    CHECK(std::isnan(map_reduce<Sum>({}, Identity{}, x.to(Device::cuda)).item()));
    CHECK(std::isnan(map_reduce<Max>({}, Identity{}, x.to(Device::cuda)).item()));
  }

  TEST_CASE("operands on two devices are an error") {
    const Tensor x = draw({3}, DType::f32, 1);
    CHECK_THROWS_WITH_AS(map(Sum{}, x, x.to(Device::cuda)),
                         "[map] operands are on cpu and on cuda; move one with to(Device)", Error);
  }
}

}  // namespace
}  // namespace elbo
