// polygon: how much of each pixel a polygon covers, exactly. For generators that draw pictures.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace elbo {

struct Vertex {
  float x, y;  ///< in pixels, to the right and down from the upper left corner
};

/// Adds to coverage (height, width) the share of each pixel that lies in the polygon, 0..1. Its edges may not
/// cross, it must lie within the picture, and its corners go round clockwise as the picture is seen (the
/// other way round is subtracted).
void add_coverage(std::span<const Vertex> polygon, int64_t height, int64_t width, std::span<float> coverage);

/// Area in square pixels, positive when clockwise, and centre of mass.
struct Moments {
  double area, x, y;
};
Moments moments(std::span<const Vertex> polygon);

}  // namespace elbo
