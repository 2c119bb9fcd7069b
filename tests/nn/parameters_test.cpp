// The parameter store: where the numbers lie, which of them training may touch, and how they start.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>

#include "nn/parameters.h"
#include "tests/error_of.h"

using namespace elbo;

namespace {

using Kind = Initializer::Kind;
constexpr Initializer kNormal{Kind::normal, 1};

/// Elements from the start of the arena to a view of it.
int64_t offset_in(const Tensor& arena, const Tensor& view) {
  return visit_floating(arena.dtype(), "test", [&](auto zero) -> int64_t {
    using T = decltype(zero);
    return view.data<T>() - arena.data<T>();
  });
}

struct Moments {
  double mean = 0, variance = 0, kurtosis = 0, largest = 0;
};

Moments moments_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Moments m;
  for (double v : values) m.mean += v / n;
  double fourth = 0;
  for (double v : values) {
    const double square = (v - m.mean) * (v - m.mean);
    m.variance += square / n;
    fourth += square * square / n;
    m.largest = std::max(m.largest, std::abs(v));
  }
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

std::vector<double> member_values(ParameterStore& store, const std::string& name, int64_t member) {
  return store.at(name).value.slice(member).to_vector();
}

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("parameters are aligned, contiguous views of one arena, member axis first") {
    for (DType dtype : {DType::f32, DType::f64}) {
      ParameterStore store(dtype, 3);
      store.add("a", {2, 3}, kNormal);
      store.add("fixed", {5}, kNormal, false);
      store.add("b", {7}, kNormal);
      store.add("scalar", {}, kNormal);
      store.initialise(1);
      CHECK(store.at("a").value.shape() == Shape{3, 2, 3});
      CHECK(store.at("fixed").value.shape() == Shape{3, 5});
      CHECK(store.at("scalar").value.shape() == Shape{3});
      CHECK(store.values().shape() == store.gradients().shape());
      int64_t end = 0;
      for (const Parameter& parameter : store.all()) {
        CAPTURE(parameter.name);
        CHECK(parameter.value.dtype() == dtype);
        CHECK(parameter.gradient.dtype() == dtype);
        CHECK(parameter.gradient.shape() == parameter.value.shape());
        CHECK_FALSE(parameter.has_gradient);
        CHECK(reinterpret_cast<uintptr_t>(parameter.value.bytes()) % 64 == 0);
        const bool trained = parameter.name != "fixed";
        CHECK(parameter.value.shares_storage(store.values()) == trained);
        CHECK(parameter.gradient.shares_storage(store.gradients()) == trained);
        if (!trained) continue;
        const int64_t begin = offset_in(store.values(), parameter.value);
        CHECK(begin >= end);  // no overlap
        CHECK(offset_in(store.gradients(), parameter.gradient) == begin);
        end = begin + parameter.value.elements();
      }
      CHECK(end <= store.values().elements());
      // A member's part is one stretch of its parameter.
      const Tensor a = store.at("a").value;
      CHECK(offset_in(a, a.slice(2)) == 2 * 6);
      CHECK(store.count() == 3 * (6 + 7 + 1));
    }
  }

  TEST_CASE("without members there is no member axis") {
    ParameterStore store;
    store.add("w", {4, 2}, kNormal);
    store.initialise(1);
    CHECK(store.at("w").value.shape() == Shape{4, 2});
    CHECK(store.members() == 0);
    CHECK(store.count() == 8);
    REQUIRE(store.spans().size() == 1);
    CHECK(store.spans()[0].member == 0);
  }

  TEST_CASE("spans cover each trained number once, tell its member, and miss padding and fixed parameters") {
    ParameterStore store(DType::f64, 2);
    store.add("a", {3, 3}, {Kind::constant, 10});
    store.add("fixed", {4}, {Kind::constant, 20}, false);
    store.add("b", {5}, {Kind::constant, 30});
    store.initialise(1);
    std::vector<int> times(static_cast<size_t>(store.values().elements()), 0);
    int64_t covered = 0;
    for (const ParameterStore::Span& span : store.spans()) {
      covered += span.end - span.begin;
      for (int64_t i = span.begin; i < span.end; ++i) {
        ++times[static_cast<size_t>(i)];
        store.values().data<double>()[i] = static_cast<double>(span.member + 1);
      }
    }
    CHECK(covered == store.count());
    CHECK(covered == 2 * (9 + 5));
    for (int64_t i = 0; i < store.values().elements(); ++i) {
      const int count = times[static_cast<size_t>(i)];
      CHECK(count <= 1);
      if (count == 0) CHECK(store.values().at(i) == 0);  // padding
    }
    for (int64_t m = 0; m < 2; ++m)
      for (const char* name : {"a", "b"})
        for (double value : member_values(store, name, m)) CHECK(value == static_cast<double>(m + 1));
    for (double value : store.at("fixed").value.to_vector()) CHECK(value == 20);
  }

  TEST_CASE("what is held is drawn as it would be, and is a constant that no sweep and no gradient reaches") {
    ParameterStore free(DType::f64, 2), held(DType::f64, 2);
    for (ParameterStore* store : {&free, &held}) {
      for (const char* name : {"encoder.a", "decoder.a", "decoder.b"}) store->add(name, {3}, kNormal);
      if (store == &held) store->hold("decoder.");
      store->initialise(1);
    }
    CHECK(held.count() == 6);
    CHECK(held.spans().size() == 2);
    REQUIRE(held.trained().size() == 1);
    CHECK(held.trained()[0]->name == "encoder.a");
    for (const Parameter& parameter : free.all())
      CHECK(held.at(parameter.name).value.to_vector() == parameter.value.to_vector());
    CHECK(Variable(held.at("encoder.a")).needs_gradient());
    CHECK_FALSE(Variable(held.at("decoder.b")).needs_gradient());
    CHECK_THROWS_WITH_AS(held.hold("encoder."), "[parameters] 'encoder.' was to be held after initialise",
                         Error);
    ParameterStore store;
    store.add("encoder.a", {3}, kNormal);
    CHECK_THROWS_WITH_AS(store.hold("prior."),
                         "[parameters] no parameter declared so far has a name that begins with 'prior.'",
                         Error);
  }

  TEST_CASE("initialisers have the variance, the range and the shape of distribution of their papers") {
    // 60 000 draws: the variance of a normal sample is off by 0.6%, so 3% is five times that.
    constexpr int64_t out = 200, in = 300;
    const auto n = static_cast<double>(out * in);
    struct Expected {
      const char* text;
      double variance;
      bool is_uniform;
    };
    const Expected table[] = {
        {"xavier_normal", 2.0 / (in + out), false},
        {"xavier_uniform", 2.0 / (in + out), true},
        {"kaiming_normal", 2.0 / in, false},
        {"kaiming_uniform", 2.0 / in, true},
        {"normal:0.5", 0.25, false},
        {"uniform:0.5", 0.25 / 3, true},
    };
    // The member axis is not a fan.
    for (int64_t members : {0, 3}) {
      for (const Expected& expected : table) {
        CAPTURE(expected.text);
        CAPTURE(members);
        ParameterStore store(DType::f32, members);
        store.add("w", {out, in}, parse_initializer(expected.text));
        store.initialise(3);
        const Tensor w = members > 0 ? store.at("w").value.slice(1) : store.at("w").value;
        const Moments m = moments_of(w.to_vector());
        CHECK(std::abs(m.mean) < 5 * std::sqrt(expected.variance / n));
        CHECK(std::abs(m.variance / expected.variance - 1) < 0.03);
        CHECK(std::abs(m.kurtosis / (expected.is_uniform ? 1.8 : 3) - 1) < 0.05);
        if (expected.is_uniform) CHECK(m.largest <= std::sqrt(3 * expected.variance) * 1.0000001);
      }
    }
    ParameterStore store;
    store.add("w", {2, 2}, parse_initializer("constant:-1.5"));
    store.initialise(3);
    CHECK(store.at("w").value.to_vector() == std::vector<double>(4, -1.5));
  }

  TEST_CASE("a member's values depend on the seed, the member and the parameter's place only") {
    const auto make = [](ParameterStore& store, Shape first, uint64_t seed, bool more) {
      store.add("first", first, kNormal);
      store.add("w", {6, 7}, kNormal);
      if (more) store.add("last", {50}, kNormal);
      store.initialise(seed);
    };
    ParameterStore base(DType::f32, 2);
    make(base, {3}, 5, false);
    {
      ParameterStore other(DType::f32, 7);  // more members, another neighbour, one more parameter
      make(other, {40, 40}, 5, true);
      for (int64_t m = 0; m < 2; ++m) CHECK(member_values(other, "w", m) == member_values(base, "w", m));
    }
    {
      ParameterStore alone;  // a single model is member 0
      make(alone, {3}, 5, false);
      CHECK(alone.at("w").value.to_vector() == member_values(base, "w", 0));
    }
    {
      ParameterStore fixed(DType::f32, 2);
      fixed.add("first", {3}, kNormal);
      fixed.add("w", {6, 7}, kNormal, false);
      fixed.initialise(5);
      CHECK(member_values(fixed, "w", 1) == member_values(base, "w", 1));
    }
    {
      ParameterStore doubles(DType::f64, 2);
      make(doubles, {3}, 5, false);
      const std::vector<double> a = member_values(doubles, "w", 1), b = member_values(base, "w", 1);
      for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
    }
    CHECK(member_values(base, "w", 0) != member_values(base, "w", 1));
    ParameterStore reseeded(DType::f32, 2), moved(DType::f32, 2);
    make(reseeded, {3}, 6, false);
    CHECK(member_values(reseeded, "w", 0) != member_values(base, "w", 0));
    moved.add("w", {6, 7}, kNormal);
    moved.initialise(5);
    CHECK(member_values(moved, "w", 0) != member_values(base, "w", 0));
  }

  TEST_CASE(
      "an initialiser is read from text, and what is not one is told with the list of those there are") {
    CHECK(parse_initializer("normal:0.001").kind == Kind::normal);
    CHECK(parse_initializer("normal:0.001").value == 0.001);
    CHECK(parse_initializer("constant:-2e-3").value == -0.002);
    CHECK(parse_initializer("uniform:3").kind == Kind::uniform);
    CHECK(parse_initializer("xavier_normal").kind == Kind::xavier_normal);
    CHECK(parse_initializer("kaiming_uniform").kind == Kind::kaiming_uniform);
    for (const char* text :
         {"", ":", "xavier", "normal", "normal:", "normal:x", "normal:1x", "normal: 1", "normal:inf",
          "normal:nan", "normal:1e999", "xavier_normal:1", "Normal:1", "constant"}) {
      CAPTURE(text);
      const std::string error = error_of([&] { parse_initializer(text); });
      CHECK(mentions(error, "[initializer] cannot read '" + std::string(text) + "'"));
      CHECK(mentions(error,
                     "constant:VALUE, normal:VALUE, uniform:VALUE, xavier_normal, xavier_uniform, "
                     "kaiming_normal, kaiming_uniform"));
    }
    for (const char* text : {"normal:-1", "uniform:-1e-9", "normal:1e39", "uniform:1e39"})
      CHECK(mentions(error_of([&] { parse_initializer(text); }),
                     std::string(text) + "': the width must be 0 or above"));
    CHECK(mentions(error_of([&] { parse_initializer("constant:-1e39"); }),
                   "the value is beyond single precision"));
    CHECK(parse_initializer("normal:0").value == 0);
  }

  TEST_CASE("gradients are completed with zeros where there are none, and consumed without being touched") {
    ParameterStore store;
    Parameter& a = store.add("a", {3}, {});
    Parameter& b = store.add("b", {2}, {});
    Parameter& fixed = store.add("fixed", {2}, {}, false);
    store.initialise(1);
    for (Parameter* parameter : {&a, &b, &fixed}) parameter->gradient.fill(7);
    a.has_gradient = fixed.has_gradient = true;
    store.complete_gradients();
    CHECK(a.gradient.to_vector() == std::vector<double>(3, 7));
    CHECK(b.gradient.to_vector() == std::vector<double>(2, 0));
    store.consume_gradients();
    CHECK_FALSE(a.has_gradient);
    CHECK_FALSE(b.has_gradient);
    CHECK_FALSE(fixed.has_gradient);
  }

  TEST_CASE("misuse of a store is told in one line, and a refused declaration leaves nothing behind") {
    CHECK(error_of([] { ParameterStore store(DType::u8); }) ==
          "[parameters] parameters are f32 or f64, not u8");
    CHECK(mentions(error_of([] { ParameterStore store(DType::f32, -1); }), "members cannot be -1"));
    ParameterStore store(DType::f32, 2);
    Parameter& kept = store.add("w", {3}, {Kind::constant, 4});
    CHECK(error_of([&] { store.add("w", {3}, {}); }) == "[parameters] there are two parameters named 'w'");
    CHECK(mentions(error_of([&] { store.add("deep", {1, 1, 1, 1, 1, 1, 1, 1}, {}); }), "[shape]"));
    store.add("b", {1}, {Kind::constant, 5});
    store.initialise(1);
    REQUIRE(store.all().size() == 2);
    CHECK(kept.value.to_vector() == std::vector<double>(6, 4));
    CHECK(store.at("b").value.to_vector() == std::vector<double>(2, 5));
    CHECK(error_of([&] { store.add("late", {3}, {}); }) ==
          "[parameters] 'late' was declared after initialise");
    CHECK(error_of([&] { store.initialise(1); }) == "[parameters] initialise was already called");
    CHECK(error_of([&] { store.at("c"); }) == "[parameters] there is no 'c'; there are w, b");
  }

  TEST_CASE("gradients are complete from where on all have been told of, and 0 where nothing gave one") {
    ParameterStore store(DType::f32, 2);
    Parameter& a = store.add("a", {20}, {});
    store.add("fixed", {3}, {}, false);
    Parameter& b = store.add("b", {5}, {});
    Parameter& c = store.add("c", {1}, {});
    store.initialise(1);
    store.gradients().fill(9);
    a.has_gradient = c.has_gradient = true;
    CompleteGradients complete(store);
    const int64_t begins[] = {0, 48, 64}, end = store.gradients().elements();  // of cache lines
    CHECK(end == 80);
    CHECK(complete.with(b) == end);
    CHECK(complete.with(store.at("fixed")) == end);
    CHECK(complete.with(c) == begins[1]);
    CHECK(complete.with(c) == begins[1]);
    CHECK(complete.with(a) == begins[0]);
    CHECK(b.has_gradient);
    CHECK(b.gradient.to_vector() == std::vector<double>(10, 0));
    CHECK(c.gradient.to_vector() == std::vector<double>(2, 9));
  }

  TEST_CASE("a store with nothing in it, or nothing to train, works") {
    ParameterStore empty, fixed_only;
    empty.initialise(1);
    CHECK(empty.count() == 0);
    CHECK(mentions(error_of([&] { empty.initialise(1); }), "already"));
    fixed_only.add("w", {3}, {Kind::constant, 2}, false);
    fixed_only.initialise(1);
    CHECK(fixed_only.count() == 0);
    CHECK(fixed_only.at("w").value.to_vector() == std::vector<double>(3, 2));
  }
}
