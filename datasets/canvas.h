// canvas: painting smooth shapes over each other, for generators that draw pictures in colour.
//
// A shape is a signed distance in pixels, negative inside; its rim fades over one sample. The canvas holds
// several samples for each pixel of the picture that it becomes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/math.h"

namespace elbo {

struct Colour {
  float r, g, b;  ///< 0..1
};
inline Colour mix(Colour a, Colour b, float t) {
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}
inline Colour operator*(float t, Colour c) { return {t * c.r, t * c.g, t * c.b}; }
inline Colour operator+(Colour a, Colour b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
/// Hue and saturation in 0..1 and brightness; the hue goes once round.
Colour from_hue(float hue, float saturation, float value);

/// 0 up to `low`, 1 from `high` on, smooth between.
inline float smooth_step(float low, float high, float x) {
  const float t = std::clamp((x - low) / (high - low), 0.0f, 1.0f);
  return t * t * (3 - 2 * t);
}
/// Of a vector. (std::hypot guards against overflow, and takes ten times as long.)
inline float norm(float x, float y, float z = 0) { return std::sqrt(x * x + y * y + z * z); }
/// exp(-(x^2 + y^2)).
inline float bell(float x, float y) { return math::exp(-x * x - y * y); }
/// Distance from (x, y) to an ellipse around the origin, to first order.
inline float ellipse(float x, float y, float rx, float ry) {
  const float k = norm(x / rx, y / ry), slope = norm(x / (rx * rx), y / (ry * ry));
  return slope > 1e-6f ? k * (k - 1) / slope : -std::min(rx, ry);
}
/// Distance to a box with rounded corners around the origin.
inline float rounded_box(float x, float y, float half_width, float half_height, float radius) {
  const float dx = std::abs(x) - half_width + radius, dy = std::abs(y) - half_height + radius;
  return norm(std::max(dx, 0.0f), std::max(dy, 0.0f)) + std::min(std::max(dx, dy), 0.0f) - radius;
}

/// A part of the picture in its pixels, which a shape does not leave.
struct Box {
  float left, top, right, bottom;
};

class Canvas {
 public:
  Canvas(int side, int samples);  ///< a square picture with so many samples along a pixel's side

  /// Paints shape(x, y) with colour(x, y) and strength 0..1; x and y in pixels.
  template <class Shape, class Paint>
  void paint(const Box& box, const Shape& shape, const Paint& colour, float strength = 1) {
    const auto sharpness = static_cast<float>(samples_);
    const auto first = [&](float at) { return std::clamp(static_cast<int>(at * sharpness), 0, side_); };
    for (int row = first(box.top); row < first(box.bottom + 1); ++row)
      for (int column = first(box.left); column < first(box.right + 1); ++column) {
        const float x = (static_cast<float>(column) + 0.5f) / sharpness;
        const float y = (static_cast<float>(row) + 0.5f) / sharpness;
        const float cover = strength * std::clamp(0.5f - sharpness * shape(x, y), 0.0f, 1.0f);
        if (cover <= 0) continue;
        Colour& old = colours_[static_cast<size_t>(row * side_ + column)];
        old = mix(old, colour(x, y), cover);
      }
  }
  /// Means over the samples of each pixel, as (side, side, 3).
  void store(uint8_t* pixels) const;

 private:
  int side_, samples_;  // side in samples
  std::vector<Colour> colours_;
};

}  // namespace elbo
