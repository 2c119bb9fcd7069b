// Sprites and faces: the pictures show what the factors say.
#include <cmath>

#include "datasets/canvas.h"
#include "datasets/generators.h"
#include "datasets/polygon.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

enum { kShape, kScale, kRotation, kX, kY };

/// Sums over a 64x64 picture: area, centre of mass, and the central second moments.
struct Shown {
  double area = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;

  explicit Shown(const uint8_t* pixels) {
    const auto sum = [&](auto term) {
      double total = 0;
      for (int row = 0; row < 64; ++row)
        for (int column = 0; column < 64; ++column)
          total += pixels[64 * row + column] / 255.0 * term(column + 0.5, row + 0.5);
      return total;
    };
    area = sum([](double, double) { return 1.0; });
    x = sum([](double px, double) { return px; }) / area;
    y = sum([](double, double py) { return py; }) / area;
    xx = sum([&](double px, double) { return (px - x) * (px - x); }) / area;
    yy = sum([&](double, double py) { return (py - y) * (py - y); }) / area;
    xy = sum([&](double px, double py) { return (px - x) * (py - y); }) / area;
  }
};

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("a polygon covers each pixel as far as fine sampling says") {
    const std::vector<Vertex> polygon{{2.3f, 1.7f}, {8.9f, 3.2f}, {5.0f, 4.0f}, {7.25f, 9.6f}, {1.1f, 6.0f}};
    std::vector<float> coverage(120);
    add_coverage(polygon, 10, 12, coverage);
    const auto inside = [&](double x, double y) {  // an odd number of edges to the left
      bool odd = false;
      for (size_t i = 0; i < polygon.size(); ++i) {
        const Vertex &a = polygon[i], &b = polygon[(i + 1) % polygon.size()];
        if ((a.y <= y) != (b.y <= y) && a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x) < x) odd = !odd;
      }
      return odd;
    };
    double total = 0;
    for (int row = 0; row < 10; ++row)
      for (int column = 0; column < 12; ++column) {
        constexpr int kFine = 64;
        int hits = 0;
        for (int i = 0; i < kFine * kFine; ++i)
          hits += inside(column + (i % kFine + 0.5) / kFine, row + (i / kFine + 0.5) / kFine);
        const double covered = coverage[static_cast<size_t>(12 * row + column)];
        CHECK(std::abs(covered - hits / double{kFine * kFine}) < 0.01);
        total += covered;
      }
    CHECK(total == doctest::Approx(moments(polygon).area).epsilon(1e-5));
  }

  TEST_CASE("sprites lie where their factors say, as large and as turned") {
    const Dataset data = make_sprites(3000, 5);
    REQUIRE(data.factors.names == std::vector<std::string>{"shape", "scale", "rotation", "x", "y"});
    REQUIRE(data.factors.levels == std::vector<int64_t>{3, 6, 40, 32, 32});
    std::vector<double> unit_area(3);
    double worst_place = 0, worst_area = 0, worst_turn = 0;
    for (int64_t i = 0; i < data.points(); ++i) {
      const uint8_t* pixels = data.x.data<uint8_t>() + 4096 * i;
      const double* value = data.factors.values.data<double>() + 5 * i;
      const Shown shown(pixels);
      worst_place = std::max({worst_place, std::abs(shown.x - value[kX]), std::abs(shown.y - value[kY])});
      double& unit = unit_area[static_cast<size_t>(value[kShape])];
      const double area = shown.area / (value[kScale] * value[kScale]);
      if (unit == 0) unit = area;
      worst_area = std::max(worst_area, std::abs(area / unit - 1));
      // The long axis of an ellipse: half the angle of (xx - yy, 2 xy), against the rotation modulo half a
      // turn.
      if (value[kShape] == 1) {
        const double axis = std::atan2(2 * shown.xy, shown.xx - shown.yy) / 2;
        worst_turn = std::max(worst_turn, std::abs(std::remainder(axis - value[kRotation], math::kPi)));
      }
      for (int k = 0; k < 64; ++k)
        CHECK(pixels[k] + pixels[4032 + k] + pixels[64 * k] + pixels[64 * k + 63] == 0);
      CHECK(data.labels.at(i) == value[kShape]);
    }
    CHECK(worst_place < 0.02);  // pixels
    CHECK(worst_area < 0.02);
    CHECK(worst_turn < 0.02);                                                  // radians
    CHECK(unit_area[0] == doctest::Approx(2 * 144).epsilon(0.01));             // a square of diagonal 24
    CHECK(unit_area[1] == doctest::Approx(math::kPi * 12 * 6).epsilon(0.01));  // half axes 12 and 6
  }

  TEST_CASE("an upright heart is symmetric, has its notch above and its tip below") {
    const Dataset data = make_sprites(20000, 9);
    int hearts = 0;
    for (int64_t i = 0; i < data.points(); ++i) {
      const double* value = data.factors.values.data<double>() + 5 * i;
      if (value[kShape] != 2 || value[kRotation] != 0) continue;
      ++hearts;
      const uint8_t* pixels = data.x.data<uint8_t>() + 4096 * i;
      const auto top = [&](double column) {  // the first row that is covered
        int row = 0;
        while (pixels[64 * row + static_cast<int>(column)] < 128) ++row;
        return row;
      };
      const double lobe = 5 * value[kScale];
      CHECK(top(value[kX]) > top(value[kX] - lobe));
      CHECK(top(value[kX]) > top(value[kX] + lobe));
      double skewness = 0;
      for (int p = 0; p < 4096; ++p) skewness += pixels[p] * std::pow(p / 64 + 0.5 - value[kY], 3);
      CHECK(skewness > 0);
      CHECK(std::abs(Shown(pixels).xy) < 0.3);
    }
    CHECK(hearts > 50);
  }

  TEST_CASE("factors are uniform, independent, and the same as numbers and as indices") {
    for (const auto& data : {make_sprites(10000, 1), make_faces(1000, 1)}) {
      const auto factors = static_cast<int64_t>(data.factors.names.size());
      const int64_t points = data.points();
      REQUIRE(data.factors.levels.size() == static_cast<size_t>(factors));
      REQUIRE(data.factors.indices.shape() == Shape{points, factors});
      REQUIRE(data.factors.values.shape() == Shape{points, factors});
      REQUIRE(data.factors.indices.dtype() == DType::i64);
      REQUIRE(data.factors.values.dtype() == DType::f64);
      const int64_t* index = data.factors.indices.data<int64_t>();
      const double* value = data.factors.values.data<double>();
      for (int64_t f = 0; f < factors; ++f) {
        const int64_t levels = data.factors.levels[static_cast<size_t>(f)];
        std::vector<double> count(static_cast<size_t>(levels));
        for (int64_t i = 0; i < points; ++i) {
          REQUIRE(index[i * factors + f] >= 0);
          REQUIRE(index[i * factors + f] < levels);
          count[static_cast<size_t>(index[i * factors + f])] += 1;
          // A larger index is a larger value.
          const int64_t next = (i + 1) % points;
          if (index[i * factors + f] < index[next * factors + f])
            REQUIRE(value[i * factors + f] < value[next * factors + f]);
        }
        const double expected = static_cast<double>(points) / static_cast<double>(levels);
        double chi_squared = 0;
        for (const double n : count) chi_squared += (n - expected) * (n - expected) / expected;
        // Its mean is levels - 1 and its variance twice that; six standard deviations.
        const auto freedom = static_cast<double>(levels - 1);
        CHECK(chi_squared < freedom + 6 * std::sqrt(2 * freedom));
        for (int64_t g = 0; g < f; ++g) {
          double fg = 0, ff = 0, gg = 0;
          const auto other = static_cast<double>(data.factors.levels[static_cast<size_t>(g)] - 1);
          for (int64_t i = 0; i < points; ++i) {
            const double a = static_cast<double>(index[i * factors + f]) - freedom / 2;
            const double b = static_cast<double>(index[i * factors + g]) - other / 2;
            fg += a * b, ff += a * a, gg += b * b;
          }
          CHECK(std::abs(fg / std::sqrt(ff * gg)) < 5 / std::sqrt(static_cast<double>(points)));
        }
      }
    }
  }

  TEST_CASE("every factor of a face shows where it should, and a small change of it is a small one") {
    const std::vector<std::string> names = make_faces(1, 0).factors.names;
    const auto face = [&](const std::string& name, double value, double others = 0.5) {
      std::vector<double> factors(names.size(), others);
      for (size_t f = 0; f < names.size(); ++f)
        if (names[f] == name) factors[f] = value;
      std::vector<uint8_t> pixels(12288);
      draw_face(factors, pixels);
      return pixels;
    };
    const auto apart = [](const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
      double sum = 0;
      for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
      return sum;
    };
    for (const std::string& name : names) {
      CAPTURE(name);
      const double whole = apart(face(name, 0.1), face(name, 0.9));
      CHECK(whole > 500);
      // A hundredth of the way is near a hundredth of the change wherever on the way; no jump hides.
      for (double at = 0.1; at < 0.9; at += 0.02)
        CHECK(apart(face(name, at), face(name, at + 0.008)) < 0.06 * whole + 200);
    }
    // Red of a pixel with the factor at each end.
    const auto red = [&](const std::string& name, double value, int row, int column) {
      return int{face(name, value)[static_cast<size_t>((64 * row + column) * 3)]};
    };
    CHECK(red("light", 0.9, 36, 41) > red("light", 0.1, 36, 41) + 20);
    CHECK(red("light", 0.9, 36, 23) < red("light", 0.1, 36, 23) - 20);
    CHECK(red("skin", 0.9, 36, 38) > red("skin", 0.1, 36, 38) + 60);
    CHECK(std::abs(red("skin", 0.9, 4, 4) - red("skin", 0.1, 4, 4)) == 0);
    CHECK(std::abs(red("background", 0.9, 4, 4) - red("background", 0.1, 4, 4)) > 10);
    CHECK(std::abs(red("clothes", 0.9, 62, 32) - red("clothes", 0.1, 62, 32)) > 10);
    const std::vector<uint8_t> left = face("gaze", 0), right = face("gaze", 1);
    CHECK(apart(left, right) > 500);
    for (size_t i = 0; i < 12288; ++i)
      if (i / 192 < 24 || i / 192 > 38) CHECK(left[i] == right[i]);  // in the eyes' rows alone
    CHECK(mentions(error_of([&] {
                     std::vector<uint8_t> pixels(12288);
                     draw_face(std::vector<double>(3), pixels);
                   }),
                   "16 factors"));
  }

  TEST_CASE("hues are the six corners of the colour circle and what lies between") {
    const auto near = [](Colour a, Colour b) {
      return std::abs(a.r - b.r) + std::abs(a.g - b.g) + std::abs(a.b - b.b) < 1e-5f;
    };
    CHECK(near(from_hue(0, 1, 1), {1, 0, 0}));
    CHECK(near(from_hue(1 / 6.0f, 1, 1), {1, 1, 0}));
    CHECK(near(from_hue(2 / 6.0f, 1, 1), {0, 1, 0}));
    CHECK(near(from_hue(3 / 6.0f, 1, 1), {0, 1, 1}));
    CHECK(near(from_hue(4 / 6.0f, 1, 1), {0, 0, 1}));
    CHECK(near(from_hue(5 / 6.0f, 1, 1), {1, 0, 1}));
    CHECK(near(from_hue(1 / 12.0f, 0.5f, 0.8f), {0.8f, 0.6f, 0.4f}));
  }
}

}  // namespace elbo
