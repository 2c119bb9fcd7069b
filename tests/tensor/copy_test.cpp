// Copies: blocks, gathered rows and scattered sums against loops over single elements.
#include "tensor/copy.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/error_of.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("copy_range moves a block of any axis and leaves the rest") {
    Engine engine(1);
    for (DType dtype : {DType::f32, DType::u8, DType::i64})
      for (int axis = 0; axis < 3; ++axis) {
        Shape from{5, 6, 7}, to = from;
        to[axis] = 9;
        const Tensor source = small_numbers(from, DType::f32, engine);
        for (float& value : source.span<float>()) value += 10;
        const Tensor target = Tensor::full(to, 1, dtype);
        copy_range(target, 4, source.to(dtype), 1, axis - 3, 4);
        for (int64_t flat = 0; flat < target.elements(); ++flat) {
          int64_t index[3] = {flat / (to[1] * to[2]), flat / to[2] % to[1], flat % to[2]};
          const int64_t along = index[axis];
          index[axis] += 1 - 4;
          const double moved =
              along < 4 || along >= 8 ? 1 : source.at((index[0] * from[1] + index[1]) * from[2] + index[2]);
          REQUIRE(target.at(flat) == moved);
        }
      }
    copy_range(Tensor::zeros({2, 0}), 0, Tensor::zeros({2, 3}), 3, 1, 0);
  }

  TEST_CASE("copy_range refuses what does not fit") {
    const Tensor x = Tensor::zeros({4, 5}), y = Tensor::zeros({4, 6});
    CHECK(mentions(error_of([&] { copy_range(x, 0, y, 0, 0, 1); }),
                   "[copy_range] (4, 5) and (4, 6) must agree in every axis but 0"));
    CHECK(error_of([&] { copy_range(x, 0, x.to(DType::f64), 0, 0, 1); }) ==
          "[copy_range] the target is f32, the source f64");
    CHECK(mentions(error_of([&] { copy_range(x, 0, Tensor::zeros({5}), 0, 0, 1); }), "must agree"));
    CHECK(mentions(error_of([&] { copy_range(x, 3, y, 0, 1, 3); }), "3 indices from 0 to 3 do not fit"));
    CHECK(mentions(error_of([&] { copy_range(x, 0, y, 4, 1, 3); }), "do not fit"));
    CHECK(mentions(error_of([&] { copy_range(x, -1, y, 0, 1, 1); }), "do not fit"));
    CHECK(mentions(error_of([&] { copy_range(x, 0, y, -1, 1, 1); }), "do not fit"));
    CHECK(mentions(error_of([&] { copy_range(x, 0, y, 0, 1, -1); }), "do not fit"));
    constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
    CHECK(mentions(error_of([&] { copy_range(x, 2, y, 2, 1, kHuge); }), "do not fit"));
    CHECK(mentions(error_of([&] { copy_range(x, kHuge, y, 0, 1, 2); }), "do not fit"));
    CHECK(mentions(error_of([&] { copy_range(x, 0, y, 0, 2, 1); }), "[copy_range] axis 2 is out of range"));
  }

  TEST_CASE("gather_rows takes rows by index, and scatter_add_rows adds them back, repeats included") {
    Engine engine(2);
    for (int count : {1, 3}) {
      const ThreadCount scope(count);
      for (const Shape& row : {Shape{}, Shape{3}, Shape{2, 700}}) {
        const Tensor x = small_numbers(Shape{20}.concatenated(row), DType::f32, engine);
        const Tensor indices = Tensor::empty({200}, DType::i64);
        for (int64_t& index : indices.span<int64_t>()) index = pick(engine, {0, 3, 3, 7, 19});
        const Tensor rows = gather_rows(x, indices), sums = x.clone();
        scatter_add_rows(sums, indices, rows);
        std::vector<double> expected = x.to_vector();
        const int64_t width = row.elements();
        for (int64_t i = 0; i < 200; ++i)
          for (int64_t j = 0; j < width; ++j) {
            const int64_t from = indices.data<int64_t>()[i] * width + j;
            REQUIRE(rows.at(i * width + j) == x.at(from));
            expected[static_cast<size_t>(from)] += x.at(from);
          }
        CHECK(rows.shape() == Shape{200}.concatenated(row));
        CHECK(sums.to_vector() == expected);
      }
    }
    const Tensor images = Tensor::from<uint8_t>({3, 2}, {1, 2, 3, 4, 5, 6});
    CHECK(gather_rows(images, Tensor::from<int64_t>({2}, {2, 0})).to_vector() ==
          std::vector<double>{5, 6, 1, 2});
    CHECK(gather_rows(images, Tensor::empty({0}, DType::i64)).shape() == Shape{0, 2});
  }

  TEST_CASE("indices outside the rows, or of another type, are refused") {
    const Tensor x = Tensor::zeros({3, 2}), two = Tensor::zeros({2, 2});
    const auto indices = [](int64_t a, int64_t b) { return Tensor::from<int64_t>({2}, {a, b}); };
    CHECK(error_of([&] { gather_rows(x, indices(0, 3)); }) == "[gather_rows] index 3 is outside 0..2");
    CHECK(mentions(error_of([&] { gather_rows(x, indices(-1, 0)); }), "index -1"));
    CHECK(mentions(error_of([&] { gather_rows(x, Tensor::zeros({2})); }), "asked for i64"));
    CHECK(mentions(error_of([&] {
                     gather_rows(x, indices(0, 0).reshape({2, 1}));
                   }),
                   "indices must be one axis"));
    CHECK(mentions(error_of([&] { gather_rows(Tensor::scalar(1), indices(0, 0)); }), "at least one axis"));
    CHECK(mentions(error_of([&] { scatter_add_rows(x, indices(0, 5), two); }), "[scatter_add_rows] index 5"));
    CHECK(mentions(error_of([&] { scatter_add_rows(x, indices(0, 1), x); }),
                   "rows must be f32 (2, 2), got f32 (3, 2)"));
    CHECK(mentions(error_of([&] { scatter_add_rows(x, indices(0, 1), two.to(DType::f64)); }), "got f64"));
    CHECK(x.to_vector() == std::vector<double>(6, 0));
  }
}

}  // namespace elbo
