#include "apps/support/image_grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "tensor/error.h"
#include "tensor/file.h"

// The implementation, not only the declarations; its functions stay in this file, since programs often bring
// a copy of their own.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace elbo {
namespace {

// In pixels of the picture.
constexpr int64_t kCell = 64;  // an enlarged image is at most this large
constexpr int64_t kGap = 2, kGroupGap = 10;
constexpr int64_t kLargestSide = 8192;  // more fits no page; bytes can be counted in int, as stb does

constexpr std::array<unsigned char, 3> kNotANumber = {255, 0, 255};

struct Layout {
  int64_t scale;          // each pixel becomes a square of scale * scale
  int64_t columns, rows;  // of images
  int64_t width, height;  // of the picture
};

int64_t column_position(const ImageGrid& grid, int64_t scale, int64_t column) {
  const int64_t groups = grid.group > 0 ? column / grid.group : 0;
  return column * (grid.width * scale + kGap) + groups * (kGroupGap - kGap);
}

int64_t row_position(const ImageGrid& grid, int64_t scale, int64_t row) {
  return row * (grid.height * scale + kGap);
}

void check(const ImageGrid& grid) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (grid.name.empty() || !std::all_of(grid.name.begin(), grid.name.end(), is_plain))
    fail("[image grid] {} is no name for a picture; use letters, digits, - and _", quote(grid.name));
  if (std::min(grid.height, grid.width) < 1 || std::max(grid.height, grid.width) > kLargestSide)
    fail("[image grid] {}: images of {} by {} pixels cannot be drawn; sides are 1 to {}", quote(grid.name),
         grid.height, grid.width, kLargestSide);
  if (grid.channels != 1 && grid.channels != 3)
    fail("[image grid] {}: {} channels cannot be drawn; 1 is grey, 3 are RGB", quote(grid.name),
         grid.channels);
  if (grid.columns < 1 || grid.group < 0)
    fail(
        "[image grid] {}: {} columns in groups of {} make no grid; give at least one column, and 0 for no "
        "groups",
        quote(grid.name), grid.columns, grid.group);
  if (!grid.images.defined() || grid.images.elements() == 0)
    fail("[image grid] {} has no images", quote(grid.name));
  const int64_t size = grid.height * grid.width * grid.channels;
  if (grid.images.rank() != 2 || grid.images.size(1) != size)
    fail("[image grid] {}: images {} are not (n, {}), which {} by {} pixels with {} channels take",
         quote(grid.name), grid.images.shape().str(), size, grid.height, grid.width, grid.channels);
  if (grid.images.dtype() != DType::f32)
    fail("[image grid] {}: images are {}; give intensities in f32", quote(grid.name),
         name(grid.images.dtype()));
}

Layout lay_out(const ImageGrid& grid) {
  Layout layout{};
  const int64_t count = grid.images.size(0);
  layout.scale = std::max<int64_t>(1, kCell / std::max(grid.height, grid.width));
  layout.columns = std::min(grid.columns, count);
  layout.rows = (count + layout.columns - 1) / layout.columns;
  layout.width = column_position(grid, layout.scale, layout.columns - 1) + grid.width * layout.scale;
  layout.height = row_position(grid, layout.scale, layout.rows - 1) + grid.height * layout.scale;
  if (std::max(layout.width, layout.height) > kLargestSide)
    fail("[image grid] {}: {} images in {} columns take {} by {} pixels, more than {}; show fewer",
         quote(grid.name), count, layout.columns, layout.width, layout.height, kLargestSide);
  return layout;
}

unsigned char to_byte(float intensity) {
  return static_cast<unsigned char>(std::clamp(intensity, 0.0f, 1.0f) * 255 + 0.5f);
}

std::string encode(const std::string& pixels, const Layout& layout, int64_t components) {
  std::string png;
  const auto append = [](void* to, void* bytes, int count) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), static_cast<size_t>(count));
  };
  if (!stbi_write_png_to_func(append, &png, static_cast<int>(layout.width), static_cast<int>(layout.height),
                              static_cast<int>(components), pixels.data(),
                              static_cast<int>(layout.width * components)))
    fail("[image grid] there is not enough memory for a picture of {} by {} pixels", layout.width,
         layout.height);
  return png;
}

}  // namespace

Picture draw(const ImageGrid& grid, const std::string& directory) {
  check(grid);
  const Layout layout = lay_out(grid);
  const auto values = grid.images.span<float>();
  const bool marked =
      std::any_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
  const int64_t components = marked ? 3 : grid.channels;  // a third of the bytes where all is grey

  std::string pixels(static_cast<size_t>(layout.width * layout.height * components), '\xff');  // white
  for (int64_t image = 0; image < grid.images.size(0); ++image) {
    const int64_t left = column_position(grid, layout.scale, image % layout.columns);
    const int64_t top = row_position(grid, layout.scale, image / layout.columns);
    for (int64_t y = 0; y < grid.height * layout.scale; ++y)
      for (int64_t x = 0; x < grid.width * layout.scale; ++x) {
        const int64_t source = (image * grid.height + y / layout.scale) * grid.width + x / layout.scale;
        const auto pixel =
            values.subspan(static_cast<size_t>(source * grid.channels), static_cast<size_t>(grid.channels));
        const bool hole =
            std::any_of(pixel.begin(), pixel.end(), [](float value) { return std::isnan(value); });
        const int64_t target = ((top + y) * layout.width + left + x) * components;
        for (int64_t c = 0; c < components; ++c)
          pixels[static_cast<size_t>(target + c)] =
              static_cast<char>(hole ? kNotANumber[static_cast<size_t>(c)]
                                     : to_byte(pixel[static_cast<size_t>(grid.channels == 1 ? 0 : c)]));
      }
  }

  Picture picture{directory, grid.name, encode(pixels, layout, components), layout.width, layout.height};
  write_file_atomically((std::filesystem::path(directory) / (grid.name + ".png")).string(), picture.png);
  return picture;
}

}  // namespace elbo
