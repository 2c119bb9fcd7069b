#include "tests/datasets/pictures.h"

#include <algorithm>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace elbo {
namespace {

void append(void* to, void* data, int size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<size_t>(size));
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

}  // namespace

std::string png_chunk(const std::string& name, const std::string& contents) {
  const std::string named = name + contents;
  const auto sum = ::crc32(0, reinterpret_cast<const Bytef*>(named.data()), static_cast<uInt>(named.size()));
  return big_endian(static_cast<uint32_t>(contents.size())) + named + big_endian(static_cast<uint32_t>(sum));
}

Picture8 make_picture(int64_t height, int64_t width, int64_t channels, int seed) {
  Picture8 picture{height, width, channels, {}};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c)
        picture.values.push_back(
            static_cast<uint8_t>((37 * y + 91 * x + 53 * c + 29 * seed + x * y * (c + 3)) % 256));
  return picture;
}

Picture8 plain_picture(int64_t height, int64_t width, uint8_t value) {
  return {height, width, 3, std::vector<uint8_t>(static_cast<size_t>(height * width * 3), value)};
}

std::string png(const Picture8& p) {
  std::string bytes;
  const auto channels = static_cast<int>(p.channels), width = static_cast<int>(p.width);
  REQUIRE(stbi_write_png_to_func(&append, &bytes, width, static_cast<int>(p.height), channels,
                                 p.values.data(), width * channels));
  return bytes;
}

std::string jpeg(const Picture8& p, int quality) {
  std::string bytes;
  REQUIRE(stbi_write_jpg_to_func(&append, &bytes, static_cast<int>(p.width), static_cast<int>(p.height),
                                 static_cast<int>(p.channels), p.values.data(), quality));
  return bytes;
}

std::string png_of(uint32_t width, uint32_t height, int bits, int colour_type, const std::string& raw) {
  std::string packed(compressBound(raw.size()), '\0');
  uLongf size = packed.size();
  REQUIRE(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
                   raw.size()) == Z_OK);
  packed.resize(size);
  const std::string header = big_endian(width) + big_endian(height) + static_cast<char>(bits) +
                             static_cast<char>(colour_type) + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", packed) + png_chunk("IEND", "");
}

std::string cmyk_jpeg() {
  const std::string digits =
      "ffd8ffee000e41646f626500640000000000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d49649180"
      "99968f80"
      "8c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffc000140800080008044311004d1100591100"
      "4b1100ff"
      "c40014000100000000000000000000000000000003ffc40014100100000000000000000000000000000000ffda000e0443004d"
      "0059004b"
      "00003f00739cefffd9";
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

double area_mean(const Picture8& picture, double left, double top, double window_width, double window_height,
                 int64_t height, int64_t width, int64_t y, int64_t x, int64_t c) {
  const double step_y = window_height / static_cast<double>(height);
  const double step_x = window_width / static_cast<double>(width);
  const double y0 = top + static_cast<double>(y) * step_y, x0 = left + static_cast<double>(x) * step_x;
  const auto overlap = [](double begin, double end, double pixel) {
    return std::max(std::min(end, pixel + 1) - std::max(begin, pixel), 0.0);
  };
  double sum = 0;
  for (int64_t i = 0; i < picture.height; ++i) {
    const double in_row = overlap(y0, y0 + step_y, static_cast<double>(i));
    if (in_row == 0) continue;  // most rows
    for (int64_t j = 0; j < picture.width; ++j)
      sum += in_row * overlap(x0, x0 + step_x, static_cast<double>(j)) * picture.at(i, j, c);
  }
  return sum / (step_y * step_x);
}

ImageFiles::ImageFiles() {
  if (const char* value = std::getenv("ELBO_CACHE")) {
    had_cache_ = true;
    cache_before_ = value;
  }
  ::setenv("ELBO_CACHE", caches().c_str(), 1);
  std::filesystem::create_directories(folder());
}

ImageFiles::~ImageFiles() {
  if (had_cache_)
    ::setenv("ELBO_CACHE", cache_before_.c_str(), 1);
  else
    ::unsetenv("ELBO_CACHE");
}

void ImageFiles::put(const std::string& name, const std::string& bytes) const {
  const std::filesystem::path path = std::filesystem::path(folder()) / name;
  std::filesystem::create_directories(path.parent_path());
  elbo::put(path.string(), bytes);
}

std::vector<std::string> ImageFiles::cached(const std::string& ending) const {
  std::vector<std::string> found;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(caches(), missing))
    if (entry.path().string().ends_with(ending)) found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace elbo
