#include "datasets/canvas.h"

namespace elbo {

Colour from_hue(float hue, float saturation, float value) {
  const auto channel = [&](float shift) {
    const float place = std::fmod(hue + shift, 1.0f) * 6;
    return value * (1 - saturation * (1 - std::clamp(std::abs(place - 3) - 1, 0.0f, 1.0f)));
  };
  return {channel(0), channel(2.0f / 3), channel(1.0f / 3)};
}

Canvas::Canvas(int side, int samples)
    : side_(side * samples), samples_(samples), colours_(static_cast<size_t>(side_ * side_)) {}

void Canvas::store(uint8_t* pixels) const {
  const float scale = 255 / static_cast<float>(samples_ * samples_);
  const auto byte = [&](float sum) {
    return static_cast<uint8_t>(std::clamp(scale * sum + 0.5f, 0.0f, 255.0f));
  };
  for (int row = 0; row < side_; row += samples_)
    for (int column = 0; column < side_; column += samples_) {
      Colour sum{0, 0, 0};
      for (int i = 0; i < samples_; ++i)
        for (int j = 0; j < samples_; ++j)
          sum = sum + colours_[static_cast<size_t>((row + i) * side_ + column + j)];
      *pixels++ = byte(sum.r);
      *pixels++ = byte(sum.g);
      *pixels++ = byte(sum.b);
    }
}

}  // namespace elbo
