#include "datasets/area_resize.h"

#include "tensor/error.h"

#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>

namespace elbo {

void area_resize(const uint8_t* image, int64_t image_width, int64_t channels, const Window& window,
                 int64_t height, int64_t width, std::span<uint8_t> out) {
  const auto as_int = [](int64_t size) { return static_cast<int>(size); };
  const uint8_t* const corner = image + (window.y * image_width + window.x) * channels;
  // Intensities are averaged as they are stored, as everyone does who trains on them.
  if (!stbir_resize_uint8_generic(corner, as_int(window.width), as_int(window.height),
                                  as_int(image_width * channels), out.data(), as_int(width), as_int(height),
                                  0, as_int(channels), STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP,
                                  STBIR_FILTER_BOX, STBIR_COLORSPACE_LINEAR, nullptr))
    fail("[images] there is no memory to resize an image of {} x {} pixels", window.width, window.height);
}

}  // namespace elbo
