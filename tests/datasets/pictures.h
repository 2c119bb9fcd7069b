// pictures: image files for tests, good ones and every kind of bad one, and a folder with a cache of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "tests/datasets/helpers.h"

namespace elbo {

/// An image (height, width, channels) whose pixels all differ from their neighbours.
struct Picture8 {
  int64_t height = 0, width = 0, channels = 3;
  std::vector<uint8_t> values;

  uint8_t at(int64_t y, int64_t x, int64_t c) const {
    return values[static_cast<size_t>((y * width + x) * channels + c)];
  }
};
Picture8 make_picture(int64_t height, int64_t width, int64_t channels = 3, int seed = 0);
/// One colour throughout.
Picture8 plain_picture(int64_t height, int64_t width, uint8_t value);

std::string png(const Picture8& picture);
std::string jpeg(const Picture8& picture, int quality = 95);

/// A PNG put together by hand: its header, and `raw` packed as its rows.
std::string png_of(uint32_t width, uint32_t height, int bits, int colour_type, const std::string& raw);
/// A part of one, with its checksum.
std::string png_chunk(const std::string& name, const std::string& contents);
/// 8x8 pixels in cyan, magenta, yellow and black, as PIL writes them.
std::string cmyk_jpeg();

/// The mean of the area that stands for pixel (y, x, c) when a window becomes (height, width): the
/// definition, one old pixel after the other, in double.
double area_mean(const Picture8& picture, double left, double top, double window_width, double window_height,
                 int64_t height, int64_t width, int64_t y, int64_t x, int64_t c);

/// A folder for images, and beside it one for caches, which $ELBO_CACHE names while it lives.
class ImageFiles {
 public:
  ImageFiles();
  ~ImageFiles();
  ImageFiles(const ImageFiles&) = delete;
  ImageFiles& operator=(const ImageFiles&) = delete;

  std::string folder() const { return directory_ / "pictures"; }
  std::string caches() const { return directory_ / "cache"; }
  void put(const std::string& name, const std::string& bytes) const;
  std::string spec(const std::string& options = "") const { return "images:" + folder() + options; }
  /// The files in the cache's folder that end so, and all of them.
  std::vector<std::string> cached(const std::string& ending = "") const;

 private:
  TemporaryDirectory directory_;
  std::string cache_before_;
  bool had_cache_ = false;
};

}  // namespace elbo
