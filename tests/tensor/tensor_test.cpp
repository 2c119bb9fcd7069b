// Tensor: views share, copies do not, numbers print, and misuse is refused.
#include "tensor/tensor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/error_of.h"

namespace elbo {
namespace {

/// 0, 1, 2, ... in a shape.
template <class T = float>
Tensor counting(const Shape& shape) {
  std::vector<T> values(static_cast<size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), T(0));
  return Tensor::from(shape, values);
}

using Values = std::vector<double>;

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("element types have a name, a size, and are found from C++ types") {
    CHECK(std::string(name(DType::f32)) + name(DType::f64) + name(DType::u8) + name(DType::i64) ==
          "f32f64u8i64");
    CHECK(size_of(DType::f32) == 4);
    CHECK(size_of(DType::f64) == 8);
    CHECK(size_of(DType::u8) == 1);
    CHECK(size_of(DType::i64) == 8);
    CHECK(dtype_of<float>() == DType::f32);
    CHECK(dtype_of<double>() == DType::f64);
    CHECK(dtype_of<uint8_t>() == DType::u8);
    CHECK(dtype_of<int64_t>() == DType::i64);
    for (DType dtype : {DType::f32, DType::f64, DType::u8, DType::i64})
      visit(dtype, [&](auto zero) { CHECK(dtype_of<decltype(zero)>() == dtype); });
    visit_floating(DType::f64, "here", [](auto zero) { CHECK(sizeof(zero) == 8); });
    CHECK(is_floating(DType::f32));
    CHECK_FALSE(is_floating(DType::u8));
    CHECK(error_of([] { visit_floating(DType::u8, "here", [](auto) {}); }) ==
          "[here] needs f32 or f64 elements, got u8");
  }

  TEST_CASE("tensors are made from values, zeros and constants of every element type") {
    for (DType dtype : {DType::f32, DType::f64, DType::u8, DType::i64}) {
      CHECK(Tensor::zeros({2, 2}, dtype).to_vector() == Values{0, 0, 0, 0});
      CHECK(Tensor::full({3}, 7, dtype).to_vector() == Values{7, 7, 7});
      CHECK(Tensor::scalar(5, dtype).item() == 5);
      CHECK(Tensor::empty({2, 3}, dtype).byte_count() == 6 * size_of(dtype));
    }
    const Tensor x = counting({2, 3});
    CHECK(x.dtype() == DType::f32);
    CHECK(x.rank() == 2);
    CHECK(x.size(-1) == 3);
    CHECK(x.elements() == 6);
    CHECK(x.span<float>().size() == 6);
    CHECK(x.to_vector() == Values{0, 1, 2, 3, 4, 5});
    CHECK(reinterpret_cast<uintptr_t>(Tensor::empty({1}).bytes()) % 64 == 0);
    CHECK(mentions(error_of([] { Tensor::from<float>({2}, {1, 2, 3}); }), "3 values cannot fill shape (2,)"));
    CHECK(mentions(error_of([&] { x.data<double>(); }), "asked for f64 elements of a f32 tensor (2, 3)"));
  }

  TEST_CASE("a tensor without a value says so instead of crashing") {
    const Tensor none;
    CHECK_FALSE(none.defined());
    CHECK(none.str() == "(undefined tensor)");
    const std::string complaint = "[tensor] used before it was given a value";
    CHECK(error_of([&] { none.data<float>(); }) == complaint);
    CHECK(error_of([&] { none.clone(); }) == complaint);
    CHECK(error_of([&] { none.fill(1); }) == complaint);
    CHECK(error_of([&] { none.to(DType::f64); }) == complaint);
    CHECK(error_of([&] { Tensor::scalar(1).copy_from(none); }) == complaint);
    CHECK(mentions(error_of([&] { (void)none.item(); }), "[item]"));
    CHECK(mentions(error_of([&] { none.slice(0); }), "[slice]"));
    CHECK(mentions(error_of([&] { none.view_at(0, {}); }), "[view_at]"));
    CHECK(mentions(error_of([&] { none.reshape({-1, 1, 2}).bytes(); }), "["));
  }

  TEST_CASE("a size too large to allocate is an error, not a crash") {
    CHECK(mentions(error_of([] { Tensor::empty({int64_t{1} << 50}); }), "out of memory"));
    CHECK(mentions(error_of([] { Tensor::empty({int64_t{1} << 62, 4}, DType::f64); }), "more elements than"));
  }

  TEST_CASE("reshape is a view, and works out one size") {
    const Tensor x = counting({2, 6});
    const Tensor y = x.reshape({3, -1});
    CHECK(y.shape() == Shape{3, 4});
    CHECK(y.shares_storage(x));
    y.data<float>()[5] = 50;
    CHECK(x.at(5) == 50);
    CHECK(x.reshape({-1}).shape() == Shape{12});
    CHECK(x.reshape({-1, 12}).shape() == Shape{1, 12});
    CHECK(x.reshape(Shape{4, 3}).shape() == Shape{4, 3});
    CHECK(Tensor::scalar(1).reshape({1, 1}).reshape(Shape{}).rank() == 0);
    CHECK(Tensor::empty({0, 3}).reshape({3, -1}).shape() == Shape{3, 0});
    CHECK(Tensor::empty({0, 3}).reshape({0, -1}).elements() == 0);
    CHECK(error_of([&] { x.reshape({5, 2}); }) == "[reshape] (2, 6) cannot become (5, 2)");
    CHECK(mentions(error_of([&] {
                     x.reshape({5, -1});
                   }),
                   "(2, 6) cannot become (5, 1), whatever the size of axis 1"));
    CHECK(mentions(error_of([&] { x.reshape({0, -1}); }), "cannot become"));
    CHECK(mentions(error_of([&] { x.reshape({-1, -1}); }), "only one size may be -1"));
    CHECK(mentions(error_of([&] { x.reshape({-2, -6}); }), "negative"));
  }

  TEST_CASE("slices are views of the first axis, and views of views add up") {
    const Tensor x = counting({4, 2, 3});
    const Tensor middle = x.slice(1, 3);
    CHECK(middle.shape() == Shape{2, 2, 3});
    CHECK(middle.to_vector() == Values{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17});
    const Tensor row = middle.slice(1).slice(0);
    CHECK(row.shape() == Shape{3});
    CHECK(row.to_vector() == Values{12, 13, 14});
    CHECK(row.shares_storage(x));
    row.fill(-1);
    CHECK(x.at(13) == -1);
    CHECK(x.at(11) == 11);
    CHECK(x.at(15) == 15);
    CHECK(x.slice(2, 2).elements() == 0);
    CHECK(x.slice(4, 4).shape() == Shape{0, 2, 3});
    CHECK(Tensor::empty({0, 3}).slice(0, 0).elements() == 0);
    CHECK(Tensor::empty({2, 0}).slice(1).shape() == Shape{0});
    CHECK(mentions(error_of([&] { x.slice(4); }), "[slice] rows 4..5 are outside (4, 2, 3)"));
    CHECK(mentions(error_of([&] { x.slice(-1); }), "[slice]"));
    CHECK(mentions(error_of([&] { x.slice(3, 2); }), "[slice]"));
    CHECK(mentions(error_of([&] { x.slice(0, 5); }), "[slice]"));
    CHECK(mentions(error_of([] { Tensor::scalar(1).slice(0); }), "a scalar has no first axis"));
  }

  TEST_CASE("view_at cuts any stretch out of a tensor") {
    const Tensor arena = counting<double>({10});
    const Tensor part = arena.view_at(4, {2, 3});
    CHECK(part.to_vector() == Values{4, 5, 6, 7, 8, 9});
    CHECK(part.shares_storage(arena));
    CHECK(part.view_at(2, {}).item() == 6);
    CHECK(arena.view_at(10, {0}).elements() == 0);
    CHECK(mentions(error_of([&] { arena.view_at(5, {2, 3}); }), "[view_at] (2, 3) at 5 is outside (10,)"));
    CHECK(mentions(error_of([&] { arena.view_at(-1, {1}); }), "[view_at]"));
    CHECK(mentions(error_of([&] { arena.view_at(std::numeric_limits<int64_t>::max(), {1}); }), "[view_at]"));
    CHECK(mentions(error_of([&] { part.view_at(4, {3}); }), "[view_at]"));
  }

  TEST_CASE("copies share, clones do not, copy_from asks for the same shape and type") {
    const Tensor x = counting({2, 2});
    const Tensor shared = x, cloned = x.slice(1).clone();
    CHECK_FALSE(x.sole_owner());
    CHECK(cloned.sole_owner());
    x.fill(9);
    CHECK(shared.at(0) == 9);
    CHECK(cloned.to_vector() == Values{2, 3});
    x.slice(0).copy_from(cloned);
    CHECK(x.to_vector() == Values{2, 3, 9, 9});
    CHECK(error_of([&] { x.copy_from(cloned); }) == "[copy_from] f32 (2,) cannot be copied into f32 (2, 2)");
    CHECK(mentions(error_of([&] { x.copy_from(Tensor::empty({2, 2}, DType::f64)); }), "f64 (2, 2)"));
    // Overlapping views move as if through a copy.
    const Tensor line = counting({5});
    line.slice(1, 5).copy_from(line.slice(0, 4));
    CHECK(line.to_vector() == Values{0, 0, 1, 2, 3});
  }

  TEST_CASE("assignment, moves and self-assignment keep the count of owners") {
    Tensor x = counting({3});
    Tensor y = x;
    Tensor& same = x;
    x = same;
    CHECK(x.at(2) == 2);
    y = std::move(x);
    CHECK(y.sole_owner());
    CHECK(y.at(2) == 2);
    y = Tensor();
    CHECK_FALSE(y.defined());
  }

  TEST_CASE("conversions keep values, and refuse what does not fit an integer") {
    const Tensor x = Tensor::from<double>({4}, {0.75, -0.5, 255.9, 3});
    CHECK(x.to(DType::u8).to_vector() == Values{0, 0, 255, 3});
    CHECK(x.to(DType::i64).to_vector() == Values{0, 0, 255, 3});
    CHECK(x.to(DType::f32).at(0) == 0.75);
    CHECK(x.to(DType::f64).shares_storage(x));
    CHECK(counting<uint8_t>({3}).to(DType::f32).to_vector() == Values{0, 1, 2});
    CHECK(counting<int64_t>({3}).to(DType::u8).to_vector() == Values{0, 1, 2});
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (double value : {256.0, -1.0, nan, 1e300}) {
      const Tensor wrong = Tensor::scalar(value, DType::f64);
      CHECK(mentions(error_of([&] { wrong.to(DType::u8); }), "[to]"));
      CHECK(mentions(error_of([&] { Tensor::scalar(value, DType::u8); }), "does not fit into u8"));
    }
    for (double value : {0x1p63, -0x1.1p63, nan, 1e300}) {
      const Tensor wrong = Tensor::scalar(value, DType::f64);
      CHECK(mentions(error_of([&] { wrong.to(DType::i64); }), "does not fit into i64"));
    }
    CHECK(Tensor::scalar(-0x1p63, DType::i64).data<int64_t>()[0] == std::numeric_limits<int64_t>::min());
    CHECK(mentions(error_of([] { Tensor::from<int64_t>({1}, {-1}).to(DType::u8); }),
                   "[to] -1 does not fit into u8"));
    CHECK(std::isinf(Tensor::scalar(1e300, DType::f64).to(DType::f32).item()));
  }

  TEST_CASE("item and at give single elements and refuse the rest") {
    const Tensor x = counting<int64_t>({2, 2});
    CHECK(x.at(3) == 3);
    CHECK(x.slice(1).slice(0).item() == 2);
    CHECK(Tensor::full({1, 1}, 4).item() == 4);
    CHECK(error_of([&] { (void)x.item(); }) == "[item] needs exactly one element, got shape (2, 2)");
    CHECK(mentions(error_of([] { (void)Tensor::empty({0}).item(); }), "[item]"));
    CHECK(error_of([&] { (void)x.at(4); }) == "[at] index 4 is outside (2, 2)");
    CHECK(mentions(error_of([&] { (void)x.at(-1); }), "[at]"));
  }

  TEST_CASE("tensors print as nested brackets with type and shape") {
    CHECK(Tensor::scalar(1.5).str() == "1.5 f32 ()");
    CHECK(counting({2, 3}).str() == "[[0, 1, 2],\n [3, 4, 5]] f32 (2, 3)");
    CHECK(counting<uint8_t>({3}).str() == "[0, 1, 2] u8 (3,)");
    CHECK(counting<double>({1, 2, 1}).str() == "[[[0],\n  [1]]] f64 (1, 2, 1)");
    CHECK(Tensor::from<int64_t>({2}, {9007199254740993, -1}).str() == "[9007199254740993, -1] i64 (2,)");
    CHECK(Tensor::empty({0}).str() == "[] f32 (0,)");
    CHECK(Tensor::empty({2, 0}).str() == "[[],\n []] f32 (2, 0)");
    CHECK(Tensor::from<double>({3}, {1.0 / 3, 1e-10, std::nan("")}).str() ==
          "[0.33333, 1e-10, nan] f64 (3,)");
  }

  TEST_CASE("printing abbreviates axes longer than six") {
    CHECK(counting({6}).str() == "[0, 1, 2, 3, 4, 5] f32 (6,)");
    CHECK(counting({7}).str() == "[0, 1, 2, ..., 4, 5, 6] f32 (7,)");
    CHECK(counting<int64_t>({1000}).str() == "[0, 1, 2, ..., 997, 998, 999] i64 (1000,)");
    CHECK(counting({8, 2}).str() ==
          "[[0, 1],\n [2, 3],\n [4, 5],\n ...,\n [10, 11],\n [12, 13],\n [14, 15]] f32 (8, 2)");
    CHECK(counting({2, 8}).slice(1).str() == "[8, 9, 10, ..., 13, 14, 15] f32 (8,)");
  }
}

}  // namespace elbo
