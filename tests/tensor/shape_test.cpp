// Shape: sizes, broadcasting, and the messages of everything it refuses.
#include "tensor/shape.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("a shape knows its axes from both ends, its elements and its text") {
    const Shape shape{2, 3, 5};
    CHECK(shape.rank() == 3);
    CHECK(shape[0] == 2);
    CHECK(shape[-1] == 5);
    CHECK(shape[-3] == 2);
    CHECK(shape.elements() == 30);
    CHECK(shape.str() == "(2, 3, 5)");
    CHECK(Shape{4}.str() == "(4,)");
    CHECK(Shape{}.str() == "()");
    CHECK(Shape{}.elements() == 1);
    CHECK(Shape{3, 0, 2}.elements() == 0);
    CHECK(Shape(std::vector<int64_t>{2, 3, 5}) == shape);
    CHECK_FALSE(Shape{2, 3} == shape);
    CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
    CHECK_FALSE(Shape{1} == Shape{});
  }

  TEST_CASE("shapes are taken apart and put together at the end") {
    const Shape shape{2, 3, 5};
    CHECK(shape.drop_back(0) == shape);
    CHECK(shape.drop_back(2) == Shape{2});
    CHECK(shape.drop_back(3) == Shape{});
    CHECK(shape.back(2) == Shape{3, 5});
    CHECK(shape.back(0) == Shape{});
    CHECK(shape.back(7) == shape);
    CHECK(Shape{2}.concatenated({3, 5}) == shape);
    CHECK(Shape{}.concatenated({}) == Shape{});
    Shape changed = shape;
    changed[-2] = 7;
    CHECK(changed == Shape{2, 7, 5});
  }

  TEST_CASE("impossible shapes are refused in one line") {
    CHECK(mentions(error_of([] {
                     Shape{2, -3};
                   }),
                   "[shape] a size cannot be negative: (2,) plus one of size -3"));
    CHECK(mentions(error_of([] { (Shape{1, 2, 3, 4, 5, 6, 7, 8, 9}); }), "[shape] more than 8 axes"));
    CHECK(mentions(error_of([] { (Shape{1, 2, 3, 4, 5}.concatenated({1, 2, 3, 4})); }), "more than 8 axes"));
    CHECK(mentions(error_of([] {
                     (void)Shape{int64_t{1} << 40, int64_t{1} << 40}.elements();
                   }),
                   "more elements than"));
    CHECK(mentions(error_of([] { (void)Shape{int64_t{1} << 59}.elements(); }), "more elements than"));
    CHECK(Shape{(int64_t{1} << 59) - 1}.elements() == (int64_t{1} << 59) - 1);
    CHECK(Shape{int64_t{1} << 40, 0, int64_t{1} << 40}.elements() == 0);
  }

  TEST_CASE("an axis that a shape does not have is refused, for reading and for writing") {
    Shape shape{2, 3};
    CHECK(error_of([&] { (void)shape[2]; }) == "[shape] there is no axis 2 in (2, 3), which has 2");
    CHECK(error_of([&] { (void)shape[-3]; }) == "[shape] there is no axis -3 in (2, 3), which has 2");
    CHECK(mentions(error_of([&] { shape[2] = 5; }), "no axis 2"));
    CHECK(mentions(error_of([&] { (void)shape[1 << 30]; }), "no axis 1073741824"));
    CHECK(mentions(error_of([] { (void)Shape{}[0]; }), "no axis 0 in ()"));
    CHECK(mentions(error_of([] { (void)Shape{}[-1]; }), "no axis -1 in ()"));
    CHECK(mentions(error_of([&] { (void)shape.drop_back(-1); }),
                   "[shape] -1 axes cannot be dropped from (2, 3)"));
    CHECK(shape == Shape{2, 3});
  }

  TEST_CASE("broadcasting aligns at the end and lets 1 and missing axes stretch") {
    CHECK(broadcast({}, {}, "x") == Shape{});
    CHECK(broadcast({3}, {}, "x") == Shape{3});
    CHECK(broadcast({5, 1, 3}, {4, 1}, "x") == Shape{5, 4, 3});
    CHECK(broadcast({1, 1}, {2}, "x") == Shape{1, 2});
    CHECK(broadcast({0}, {1}, "x") == Shape{0});
    CHECK(broadcast({2, 1}, {1, 0}, "x") == Shape{2, 0});
    CHECK(error_of([] {
            broadcast({5, 3}, {4, 1}, "add");
          }) == "[add] shapes do not broadcast: (5, 3) and (4, 1) differ in axis -2");
    CHECK(mentions(error_of([] { broadcast({0}, {2}, "add"); }), "differ in axis -1"));
  }

  TEST_CASE("broadcasts_to asks for exactly the target") {
    CHECK(broadcasts_to({}, {2, 3}));
    CHECK(broadcasts_to({3}, {2, 3}));
    CHECK(broadcasts_to({2, 1}, {2, 3}));
    CHECK(broadcasts_to({2, 3}, {2, 3}));
    CHECK_FALSE(broadcasts_to({2}, {2, 3}));
    CHECK_FALSE(broadcasts_to({2, 3}, {2, 1}));
    CHECK_FALSE(broadcasts_to({1, 2, 3}, {2, 3}));
    CHECK(broadcasts_to({1}, {0}));
    CHECK_FALSE(broadcasts_to({0}, {1}));
  }

  TEST_CASE("axes count from either end, within the rank") {
    CHECK(normalize_axis(0, 3, "sum") == 0);
    CHECK(normalize_axis(-1, 3, "sum") == 2);
    CHECK(normalize_axis(-3, 3, "sum") == 0);
    CHECK(error_of([] { normalize_axis(3, 3, "sum"); }) == "[sum] axis 3 is out of range for rank 3");
    CHECK(mentions(error_of([] { normalize_axis(-4, 3, "sum"); }), "axis -4"));
    CHECK(mentions(error_of([] { normalize_axis(0, 0, "sum"); }), "rank 0"));
  }
}

}  // namespace elbo
