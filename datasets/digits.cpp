// Procedural handwritten-like digits. A digit is one of a few ways to write it: pen strokes through
// hand-placed knots. Each drawing jitters the knots, warps the whole, and paints a soft round pen along the
// curve.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "datasets/generators.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

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
constexpr Knot::Kind C = Knot::corner, L = Knot::lift;

struct Glyph {
  int digit;
  std::vector<Knot> knots;
};

// clang-format off
const std::vector<Glyph>& glyphs() {
  static const std::vector<Glyph> all{
      {0, {{.40f, .01f}, {.16f, .10f}, {.03f, .48f}, {.12f, .88f}, {.33f, 1.f}, {.56f, .86f}, {.64f, .46f}, {.54f, .12f}, {.38f, .0f, L}}},
      {0, {{.34f, .03f}, {.10f, .22f}, {.05f, .62f}, {.22f, .97f}, {.46f, .93f}, {.60f, .58f}, {.54f, .18f}, {.36f, .02f}, {.24f, .08f, L}}},
      {1, {{.34f, .0f}, {.33f, .5f}, {.32f, 1.f, L}}},
      {1, {{.36f, .0f}, {.34f, .5f}, {.33f, 1.f, L}}},
      {1, {{.17f, .22f}, {.36f, .0f, C}, {.35f, .5f}, {.34f, 1.f, L}}},
      {1, {{.16f, .20f}, {.35f, .0f, C}, {.34f, .5f}, {.33f, .99f, L}, {.12f, 1.f}, {.56f, .99f, L}}},
      {2, {{.07f, .22f}, {.18f, .05f}, {.40f, .0f}, {.57f, .14f}, {.54f, .36f}, {.33f, .66f}, {.05f, .97f, C}, {.35f, .96f}, {.66f, .97f, L}}},
      {2, {{.06f, .20f}, {.22f, .03f}, {.46f, .03f}, {.57f, .22f}, {.48f, .50f}, {.27f, .82f}, {.09f, .94f}, {.03f, .84f}, {.15f, .76f}, {.36f, .90f}, {.68f, .95f, L}}},
      {3, {{.08f, .12f}, {.28f, .0f}, {.52f, .10f}, {.50f, .31f}, {.25f, .46f, C}, {.50f, .54f}, {.60f, .76f}, {.44f, .97f}, {.20f, .99f}, {.03f, .86f, L}}},
      {3, {{.06f, .04f}, {.31f, .03f}, {.55f, .02f, C}, {.42f, .20f}, {.26f, .40f, C}, {.51f, .50f}, {.60f, .74f}, {.44f, .96f}, {.20f, 1.f}, {.03f, .89f, L}}},
      {4, {{.09f, .02f}, {.05f, .30f}, {.07f, .52f, C}, {.33f, .52f}, {.64f, .46f, L}, {.56f, .02f}, {.54f, .5f}, {.50f, 1.f, L}}},
      {4, {{.46f, .0f}, {.24f, .32f}, {.02f, .64f, C}, {.34f, .64f}, {.68f, .62f, L}, {.49f, .01f}, {.47f, .5f}, {.45f, 1.f, L}}},
      {4, {{.10f, .05f}, {.06f, .32f}, {.18f, .50f}, {.40f, .44f}, {.56f, .20f}, {.58f, .04f, C}, {.54f, .5f}, {.50f, 1.f, L}}},
      {5, {{.60f, .02f}, {.36f, .03f}, {.14f, .04f, C}, {.11f, .24f}, {.09f, .42f, C}, {.30f, .37f}, {.52f, .48f}, {.57f, .72f}, {.40f, .95f}, {.16f, .98f}, {.02f, .87f, L}}},
      {5, {{.12f, .06f}, {.10f, .24f}, {.08f, .42f, C}, {.32f, .40f}, {.52f, .54f}, {.54f, .78f}, {.36f, .98f}, {.10f, .95f, L}, {.12f, .05f}, {.36f, .04f}, {.62f, .0f, L}}},
      {6, {{.48f, .0f}, {.24f, .18f}, {.08f, .50f}, {.08f, .82f}, {.28f, 1.f}, {.51f, .90f}, {.56f, .70f}, {.41f, .55f}, {.21f, .61f}, {.09f, .80f, L}}},
      {6, {{.30f, .0f}, {.14f, .30f}, {.05f, .66f}, {.16f, .94f}, {.38f, .98f}, {.53f, .80f}, {.44f, .60f}, {.24f, .60f}, {.09f, .78f, L}}},
      {7, {{.03f, .06f}, {.30f, .05f}, {.61f, .03f, C}, {.44f, .36f}, {.31f, .70f}, {.24f, 1.f, L}}},
      {7, {{.04f, .16f}, {.08f, .05f, C}, {.33f, .07f}, {.60f, .04f, C}, {.46f, .36f}, {.32f, .70f}, {.26f, 1.f, L}}},
      {7, {{.03f, .05f}, {.30f, .05f}, {.61f, .04f, C}, {.42f, .40f}, {.28f, .72f}, {.22f, 1.f, L}, {.16f, .52f}, {.36f, .50f}, {.55f, .48f, L}}},
      {8, {{.54f, .12f}, {.34f, .0f}, {.12f, .12f}, {.17f, .34f}, {.36f, .49f}, {.56f, .68f}, {.52f, .92f}, {.30f, 1.f}, {.08f, .90f}, {.11f, .68f}, {.32f, .49f}, {.52f, .30f}, {.54f, .10f, L}}},
      {8, {{.48f, .06f}, {.26f, .02f}, {.13f, .18f}, {.26f, .38f}, {.46f, .58f}, {.50f, .84f}, {.30f, 1.f}, {.12f, .86f}, {.20f, .62f}, {.40f, .38f}, {.54f, .16f}, {.44f, .04f, L}}},
      {9, {{.55f, .14f}, {.36f, .0f}, {.12f, .10f}, {.06f, .30f}, {.20f, .46f}, {.43f, .40f}, {.56f, .12f, C}, {.55f, .55f}, {.50f, 1.f, L}}},
      {9, {{.54f, .12f}, {.34f, .0f}, {.12f, .10f}, {.07f, .30f}, {.22f, .45f}, {.44f, .38f}, {.56f, .14f, C}, {.57f, .56f}, {.46f, .88f}, {.26f, 1.f}, {.10f, .94f, L}}},
  };
  return all;
}
// clang-format on

/// The draws of one digit, in the order they are asked for.
class Draws {
 public:
  Draws(uint64_t seed, Split split, int64_t digit)
      : key_{.seed = seed, .stream = kSynthesis, .step = split == Split::train ? kTrainStep : kTestStep},
        group_(static_cast<uint32_t>(digit) * kGroupsPerDigit) {}

  /// In (0, 1).
  float uniform() {
    if (used_ == 4) {
      block_ = random_block(key_, group_++);
      used_ = 0;
    }
    return to_unit<float>(block_.word[used_++]);
  }
  float between(float low, float high) { return low + (high - low) * uniform(); }
  int below(int count) {
    return std::min(static_cast<int>(uniform() * static_cast<float>(count)), count - 1);
  }
  /// Standard normal, cut off at 2.5.
  float normal() {
    const float radius = std::sqrt(-2 * std::log(uniform()));
    const float z = radius * std::cos(static_cast<float>(2 * math::kPi) * uniform());
    return std::clamp(z, -2.5f, 2.5f);
  }

 private:
  static constexpr uint64_t kTrainStep = 16, kTestStep = 17;  // apart from ppca_data.cpp's
  static constexpr uint32_t kGroupsPerDigit = 64;
  RandomKey key_;
  uint32_t group_;
  PhiloxBlock block_{};
  int used_ = 4;
};

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
  Draws draws(seed, split, number);
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
  if (points < 1 || points > kMostGeneratedPoints)
    fail("[digits] cannot make {} points; ask for 1 to {}", points, kMostGeneratedPoints);
  Dataset data;
  data.name = "digits";
  data.height = data.width = kSide;
  data.channels = 1;
  data.x = Tensor::empty({points, kPixels}, DType::u8);
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
