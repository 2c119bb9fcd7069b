// area_resize: a window of an image in another size, each new pixel the mean of the area it stands for.
//
// The mean is over exact areas: a pixel that lies in two new ones counts for each with the share that lies
// there. Between integer sizes it is the mean of a block; when it enlarges, pixels become squares. Knows u8
// pixels only.
#pragma once

#include <cstdint>
#include <span>

namespace elbo {

/// A part of an image, in its pixels.
struct Window {
  int64_t x = 0, y = 0, width = 0, height = 0;
};

/// Writes `window` of an image (H, W, channels) of row length `image_width` pixels to `out` (height, width,
/// channels). The window must lie in the image.
void area_resize(const uint8_t* image, int64_t image_width, int64_t channels, const Window& window,
                 int64_t height, int64_t width, std::span<uint8_t> out);

}  // namespace elbo
