#include "datasets/polygon.h"

#include <algorithm>
#include <cmath>

namespace elbo {
namespace {

/// The integral of clamp(v, 0, 1) over v up to u.
float integrated_ramp(float u) {
  if (u <= 0) return 0;
  return u < 1 ? u * u / 2 : u - 0.5f;
}

/// An edge covers what lies to the right of it. Within one row of pixels it runs from x = a to x = b over the
/// height `signed_height`, negative where the edge goes down: such edges are a clockwise polygon's right
/// side, and what lies beyond them is outside again.
void add_edge_in_row(float a, float b, float signed_height, int64_t width, float* row) {
  const float low = std::min(a, b), high = std::max(a, b), run = high - low;
  constexpr float kUpright = 1e-3f;  // pixels; less, and the quotient below would lose its digits
  for (auto c = std::max<int64_t>(static_cast<int64_t>(low), 0); c < width; ++c) {
    const float right = static_cast<float>(c + 1);
    const float share = run < kUpright ? std::clamp(right - (low + high) / 2, 0.0f, 1.0f)
                                       : (integrated_ramp(right - low) - integrated_ramp(right - high)) / run;
    row[c] += signed_height * share;
  }
}

}  // namespace

void add_coverage(std::span<const Vertex> polygon, int64_t height, int64_t width, std::span<float> coverage) {
  for (size_t i = 0; i < polygon.size(); ++i) {
    const Vertex &from = polygon[i], &to = polygon[(i + 1) % polygon.size()];
    const Vertex &top = from.y < to.y ? from : to, &bottom = from.y < to.y ? to : from;
    if (top.y == bottom.y) continue;
    const float slope = (bottom.x - top.x) / (bottom.y - top.y), sign = from.y < to.y ? -1.0f : 1.0f;
    const auto first = std::max<int64_t>(static_cast<int64_t>(top.y), 0);
    for (int64_t row = first; row < height && static_cast<float>(row) < bottom.y; ++row) {
      const float begin = std::max(top.y, static_cast<float>(row));
      const float end = std::min(bottom.y, static_cast<float>(row + 1));
      add_edge_in_row(top.x + slope * (begin - top.y), top.x + slope * (end - top.y), sign * (end - begin),
                      width, coverage.data() + row * width);
    }
  }
}

Moments moments(std::span<const Vertex> polygon) {
  double area = 0, x = 0, y = 0;  // Green's theorem, edge by edge
  for (size_t i = 0; i < polygon.size(); ++i) {
    const Vertex &a = polygon[i], &b = polygon[(i + 1) % polygon.size()];
    const double cross = double{a.x} * b.y - double{b.x} * a.y;
    area += cross / 2;
    x += (double{a.x} + b.x) * cross / 6;
    y += (double{a.y} + b.y) * cross / 6;
  }
  return {area, x / area, y / area};
}

}  // namespace elbo
