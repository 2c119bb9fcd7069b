// Procedural handwritten-like digits. A digit is one of a few ways to write it: pen strokes through
// hand-placed knots. Each drawing jitters the knots, warps the whole, and paints a soft round pen along the
// curve.
#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <vector>

#include "datasets/draws.h"
#include "datasets/generators.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int kSide = 28;
constexpr int kPixels = kSide * kSide;

/// A point that the pen passes, x to the right and y down, in a box about 0.65 wide and 1 high.
struct Knot {
  enum Kind { smooth, corner, lift };  // lift: the stroke ends here
  float x, y;
  Kind kind = smooth;
};

/// A way to write a digit: the knots "x y" of its strokes, in hundredths; '!' is a corner, '/' lifts the pen.
struct Style {
  int digit;
  const char* strokes;
};
constexpr Style kStyles[] = {
    {0, "40 1, 16 10, 3 48, 12 88, 33 100, 56 86, 64 46, 54 12, 38 0"},
    {0, "34 3, 10 22, 5 62, 22 97, 46 93, 60 58, 54 18, 36 2, 24 8"},
    {1, "34 0, 33 50, 32 100"},
    {1, "36 0, 34 50, 33 100"},
    {1, "17 22, 36 0!, 35 50, 34 100"},
    {1, "16 20, 35 0!, 34 50, 33 99 / 12 100, 56 99"},
    {2, "7 22, 18 5, 40 0, 57 14, 54 36, 33 66, 5 97!, 35 96, 66 97"},
    {2, "6 20, 22 3, 46 3, 57 22, 48 50, 27 82, 9 94, 3 84, 15 76, 36 90, 68 95"},
    {3, "8 12, 28 0, 52 10, 50 31, 25 46!, 50 54, 60 76, 44 97, 20 99, 3 86"},
    {3, "6 4, 31 3, 55 2!, 42 20, 26 40!, 51 50, 60 74, 44 96, 20 100, 3 89"},
    {4, "9 2, 5 30, 7 52!, 33 52, 64 46 / 56 2, 54 50, 50 100"},
    {4, "46 0, 24 32, 2 64!, 34 64, 68 62 / 49 1, 47 50, 45 100"},
    {4, "10 5, 6 32, 18 50, 40 44, 56 20, 58 4!, 54 50, 50 100"},
    {5, "60 2, 36 3, 14 4!, 11 24, 9 42!, 30 37, 52 48, 57 72, 40 95, 16 98, 2 87"},
    {5, "12 6, 10 24, 8 42!, 32 40, 52 54, 54 78, 36 98, 10 95 / 12 5, 36 4, 62 0"},
    {6, "48 0, 24 18, 8 50, 8 82, 28 100, 51 90, 56 70, 41 55, 21 61, 9 80"},
    {6, "30 0, 14 30, 5 66, 16 94, 38 98, 53 80, 44 60, 24 60, 9 78"},
    {7, "3 6, 30 5, 61 3!, 44 36, 31 70, 24 100"},
    {7, "4 16, 8 5!, 33 7, 60 4!, 46 36, 32 70, 26 100"},
    {7, "3 5, 30 5, 61 4!, 42 40, 28 72, 22 100 / 16 52, 36 50, 55 48"},
    {8, "54 12, 34 0, 12 12, 17 34, 36 49, 56 68, 52 92, 30 100, 8 90, 11 68, 32 49, 52 30, 54 10"},
    {8, "48 6, 26 2, 13 18, 26 38, 46 58, 50 84, 30 100, 12 86, 20 62, 40 38, 54 16, 44 4"},
    {9, "55 14, 36 0, 12 10, 6 30, 20 46, 43 40, 56 12!, 55 55, 50 100"},
    {9, "54 12, 34 0, 12 10, 7 30, 22 45, 44 38, 56 14!, 57 56, 46 88, 26 100, 10 94"},
};

struct Glyph {
  int digit;
  std::vector<Knot> knots;
};

const std::vector<Glyph>& glyphs() {
  static const std::vector<Glyph> all = [] {
    std::vector<Glyph> made;
    for (const Style& style : kStyles) {
      Glyph glyph{style.digit, {}};
      std::istringstream strokes(style.strokes);
      for (float x, y; strokes >> x >> y;) {
        char mark = '/';
        strokes >> mark;
        const auto kind = mark == '!' ? Knot::corner : mark == '/' ? Knot::lift : Knot::smooth;
        if (mark == '!') strokes.ignore(1);  // the comma
        glyph.knots.push_back({x / 100, y / 100, kind});
      }
      made.push_back(std::move(glyph));
    }
    return made;
  }();
  return all;
}

struct Dot {
  float x, y;
  bool ends;  // no line leads on from here
};

/// The curve through the knots (Hermite splines with Catmull-Rom tangents, broken at corners) as short lines.
void trace(const std::vector<Knot>& knots, std::vector<Dot>& curve) {
  constexpr int kSteps = 6;
  curve.clear();
  for (size_t i = 0; i < knots.size(); ++i) {
    const Knot& a = knots[i];
    if (a.kind == Knot::lift) {
      curve.push_back({a.x, a.y, true});
      continue;
    }
    const Knot& b = knots[i + 1];
    const bool a_starts = i == 0 || knots[i - 1].kind == Knot::lift;
    const auto tangent = [](const Knot& from, const Knot& to, float Knot::*axis) {
      return (to.*axis - from.*axis) / 2;
    };
    const Knot& before = a_starts || a.kind == Knot::corner ? a : knots[i - 1];
    const Knot& after = b.kind != Knot::smooth ? b : knots[i + 2];
    const auto position = [&](float t, float Knot::*axis) {
      const float from = tangent(before, b, axis), to = tangent(a, after, axis);
      const float d = b.*axis - a.*axis;
      return a.*axis + t * (from + t * (3 * d - 2 * from - to + t * (from + to - 2 * d)));
    };
    for (int step = 0; step < kSteps; ++step) {
      const float t = static_cast<float>(step) / kSteps;
      curve.push_back({position(t, &Knot::x), position(t, &Knot::y), false});
    }
  }
}

/// Slants, turns and stretches the curve, then fits it into a box `size` high and wide and puts its centre of
/// mass in the middle of the image, as MNIST's makers did, but never closer than `margin` to the rim.
void place(std::vector<Dot>& curve, Draws& draws, float size, float margin) {
  const float slant = 0.22f + 0.22f * draws.normal(), turn = 0.07f * draws.normal();
  const float stretch = std::exp(0.12f + 0.2f * draws.normal());
  const float bend = 0.06f * draws.normal();
  const float c = std::cos(turn), s = std::sin(turn);
  float left = 1e9f, right = -1e9f, top = 1e9f, bottom = -1e9f;
  for (Dot& dot : curve) {
    const float v = dot.y - 0.5f;
    const float u = (dot.x - 0.33f) * stretch - slant * v + bend * (4 * v * v - 0.5f);
    dot.x = c * u - s * v;
    dot.y = s * u + c * v;
    left = std::min(left, dot.x), right = std::max(right, dot.x);
    top = std::min(top, dot.y), bottom = std::max(bottom, dot.y);
  }
  const float scale = size / std::max(right - left, bottom - top);
  float length = 0, mass_x = 0, mass_y = 0;
  for (size_t i = 0; i + 1 < curve.size(); ++i) {
    if (curve[i].ends) continue;
    const Dot &a = curve[i], &b = curve[i + 1];
    const float piece = std::hypot(b.x - a.x, b.y - a.y);
    length += piece;
    mass_x += piece * (a.x + b.x) / 2;
    mass_y += piece * (a.y + b.y) / 2;
  }
  const float half = kSide / 2.0f;
  const auto shift = [&](float mass, float low, float high) {
    return std::clamp(half - scale * mass, margin - scale * low, kSide - margin - scale * high);
  };
  const float x0 = shift(mass_x / length, left, right), y0 = shift(mass_y / length, top, bottom);
  for (Dot& dot : curve) {
    dot.x = x0 + scale * dot.x;
    dot.y = y0 + scale * dot.y;
  }
}

/// Paints the curve with a round pen of `radius` pixels whose rim fades over `softness` pixels.
void paint(const std::vector<Dot>& curve, float radius, float softness, uint8_t* pixels) {
  std::array<float, kPixels> squared;  // distance to the curve
  const float reach = radius + softness;
  squared.fill(reach * reach);
  for (size_t i = 0; i + 1 < curve.size(); ++i) {
    if (curve[i].ends) continue;
    const Dot &a = curve[i], &b = curve[i + 1];
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float inverse = 1 / std::max(dx * dx + dy * dy, 1e-12f);
    const auto first = [&](float p, float q) {
      return std::clamp(static_cast<int>(std::min(p, q) - reach), 0, kSide);
    };
    const auto last = [&](float p, float q) {
      return std::clamp(static_cast<int>(std::max(p, q) + reach) + 1, 0, kSide);
    };
    for (int y = first(a.y, b.y); y < last(a.y, b.y); ++y)
      for (int x = first(a.x, b.x); x < last(a.x, b.x); ++x) {
        const float px = static_cast<float>(x) + 0.5f - a.x, py = static_cast<float>(y) + 0.5f - a.y;
        const float t = std::clamp((px * dx + py * dy) * inverse, 0.0f, 1.0f);
        const float ex = px - t * dx, ey = py - t * dy;
        float& nearest = squared[static_cast<size_t>(y * kSide + x)];
        nearest = std::min(nearest, ex * ex + ey * ey);
      }
  }
  for (int i = 0; i < kPixels; ++i) {
    const float distance = std::sqrt(squared[static_cast<size_t>(i)]);
    const float ink = std::clamp((reach - distance) / (2 * softness), 0.0f, 1.0f);
    pixels[i] = static_cast<uint8_t>(255 * ink + 0.5f);
  }
}

/// Room that one thread's digits share.
struct Scratch {
  std::vector<Knot> knots;
  std::vector<Dot> curve;
};

uint8_t draw_digit(uint64_t seed, Split split, int64_t number, Scratch& scratch, uint8_t* pixels) {
  Draws draws(Drawing::digits, seed, split, number);
  const int digit = draws.below(10);
  const auto& all = glyphs();
  const auto [begin, end] =
      std::equal_range(all.begin(), all.end(), Glyph{digit, {}},
                       [](const Glyph& a, const Glyph& b) { return a.digit < b.digit; });
  scratch.knots = begin[draws.below(static_cast<int>(end - begin))].knots;
  for (Knot& knot : scratch.knots) {
    knot.x += 0.026f * draws.normal();
    knot.y += 0.026f * draws.normal();
  }
  trace(scratch.knots, scratch.curve);
  const float radius = std::clamp(1.3f + 0.27f * draws.normal(), 0.85f, 2.0f);
  const float softness = draws.between(0.5f, 0.8f), height = draws.between(18, 20);
  place(scratch.curve, draws, height - 2 * radius, 1 + radius + softness);
  paint(scratch.curve, radius, softness, pixels);
  return static_cast<uint8_t>(digit);
}

}  // namespace

Dataset make_digits(int64_t points, uint64_t seed, Split split) {
  Dataset data = blank_pictures("digits", points, kSide, 1);
  data.labels = Tensor::empty({points}, DType::u8);
  uint8_t *pixels = data.x.data<uint8_t>(), *labels = data.labels.data<uint8_t>();
  parallel_for(points, 64, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t i = begin; i < end; ++i)
      labels[i] = draw_digit(seed, split, i, scratch, pixels + i * kPixels);
  });
  data.fingerprint = fingerprint(data.x);
  return data;
}

}  // namespace elbo
