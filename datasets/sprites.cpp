// Sprites in the manner of dSprites: a polygon is scaled, turned and moved, and each pixel is as bright as
// the polygon covers it. Drawn to need, as one of the 737 280 combinations with any seed, rather than listed.
#include <array>
#include <cmath>

#include "datasets/draws.h"
#include "datasets/generators.h"
#include "datasets/polygon.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int64_t kSide = 64, kPixels = kSide * kSide;
constexpr double kRadius = 12;  // pixels from the centre of mass to the furthest corner, at full size
constexpr double kFirst = 14, kLast = 50;  // pixels, of the centre; 2 more than the radius from the rim
constexpr double kSmallest = 0.5;          // scale; the largest is 1

enum Factor { kShape, kScale, kRotation, kX, kY, kFactors };
constexpr std::array<int64_t, kFactors> kLevels{3, 6, 40, 32, 32};

using Polygon = std::vector<Vertex>;

/// Moved so that the centre of mass is at the origin, and scaled to kRadius.
Polygon centred(Polygon shape) {
  const Moments about = moments(shape);
  double radius = 0;
  for (Vertex& v : shape) {
    v = {static_cast<float>(v.x - about.x), static_cast<float>(v.y - about.y)};
    radius = std::max(radius, std::hypot(double{v.x}, double{v.y}));
  }
  const auto scale = static_cast<float>(kRadius / radius);
  for (Vertex& v : shape) v = {v.x * scale, v.y * scale};
  return shape;
}

/// Square, ellipse (twice as wide as high) and heart, unturned.
const std::array<Polygon, 3>& shapes() {
  static const std::array<Polygon, 3> all = [] {
    constexpr int kCorners = 96;  // of the round ones: their area is right to a thousandth
    Polygon ellipse, heart;
    for (int i = 0; i < kCorners; ++i) {
      const double t = 2 * math::kPi * i / kCorners;
      ellipse.push_back({static_cast<float>(2 * std::cos(t)), static_cast<float>(std::sin(t))});
      const double s = std::sin(t);
      heart.push_back(
          {static_cast<float>(16 * s * s * s), static_cast<float>(-13 * std::cos(t) + 5 * std::cos(2 * t) +
                                                                  2 * std::cos(3 * t) + std::cos(4 * t))});
    }
    return std::array{centred({{-1, -1}, {1, -1}, {1, 1}, {-1, 1}}), centred(ellipse), centred(heart)};
  }();
  return all;
}

/// The factor's value that an index stands for.
double value_of(int factor, int64_t index) {
  const auto step = static_cast<double>(index),
             levels = static_cast<double>(kLevels[static_cast<size_t>(factor)]);
  switch (factor) {
    case kScale:
      return kSmallest + (1 - kSmallest) * step / (levels - 1);
    case kRotation:
      return 2 * math::kPi * step / levels;  // a full turn is the first again, and left out
    case kX:
    case kY:
      return kFirst + (kLast - kFirst) * step / (levels - 1);
    default:
      return step;
  }
}

/// `values` are the factors; `scratch` is room that a thread's sprites share.
void draw(const double* values, Polygon& scratch, uint8_t* pixels) {
  const double cosine = values[kScale] * std::cos(values[kRotation]);
  const double sine = values[kScale] * std::sin(values[kRotation]);
  scratch = shapes()[static_cast<size_t>(values[kShape])];
  for (Vertex& v : scratch)
    v = {static_cast<float>(values[kX] + cosine * v.x - sine * v.y),
         static_cast<float>(values[kY] + sine * v.x + cosine * v.y)};
  std::array<float, kPixels> coverage{};
  add_coverage(scratch, kSide, kSide, coverage);
  for (size_t i = 0; i < kPixels; ++i)
    pixels[i] = static_cast<uint8_t>(255 * std::clamp(coverage[i], 0.0f, 1.0f) + 0.5f);
}

}  // namespace

Dataset make_sprites(int64_t points, uint64_t seed, Split split) {
  Dataset data = blank_pictures("sprites", points, kSide, 1);
  data.labels = Tensor::empty({points}, DType::u8);
  data.factors = {.names = {"shape", "scale", "rotation", "x", "y"},
                  .levels = {kLevels.begin(), kLevels.end()},
                  .indices = Tensor::empty({points, kFactors}, DType::i64),
                  .values = Tensor::empty({points, kFactors}, DType::f64)};
  uint8_t *pixels = data.x.data<uint8_t>(), *labels = data.labels.data<uint8_t>();
  int64_t* indices = data.factors.indices.data<int64_t>();
  double* values = data.factors.values.data<double>();
  parallel_for(points, 64, [&](int64_t begin, int64_t end) {
    Polygon scratch;
    for (int64_t i = begin; i < end; ++i) {
      Draws draws(Drawing::sprites, seed, split, i);
      for (int f = 0; f < kFactors; ++f) {
        const int64_t index = draws.below(static_cast<int>(kLevels[static_cast<size_t>(f)]));
        indices[i * kFactors + f] = index;
        values[i * kFactors + f] = value_of(f, index);
      }
      labels[i] = static_cast<uint8_t>(indices[i * kFactors + kShape]);
      draw(values + i * kFactors, scratch, pixels + i * kPixels);
    }
  });
  data.fingerprint = fingerprint(data.x);
  return data;
}

}  // namespace elbo
