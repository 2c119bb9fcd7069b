// image_cache: decoded images in one file, from which they are mapped into memory.
//
// A header with everything there is to know of them, u8 pixels (N, height, width, channels) from byte 4096
// on, as text the files that were skipped, and the numbers of those whose trouble may pass. It is written
// under another name and renamed when complete, so a cache exists whole or not at all; what killed processes
// left is removed by the next writer, known by the lock that only a living one holds. Two that write the same
// cache both do, and the last one's stays. Knows nothing of decoding.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/splits.h"
#include "tensor/tensor.h"

namespace elbo {

/// What a cache was made from; where one number differs, it is of no use.
struct ImageCacheKey {
  uint64_t options = 0;  ///< hash of the folder's path and of how its images were cut and resized
  uint64_t listing = 0;  ///< ImageFolder::fingerprint
  int64_t height = 0, width = 0, channels = 0;
};

struct ImageCache {
  Tensor pixels;                           ///< (N, height * width * channels): training, validation, test
  std::array<int64_t, 3> points{};         ///< of each of these splits
  std::array<uint64_t, 3> fingerprints{};  ///< of their pixels, see `fingerprint` in dataset.h
  int64_t skipped = 0;
  std::string first_skipped;    ///< its name and the reason
  std::vector<int64_t> unread;  ///< which of the files may be usable another time, see ImageCacheWriter::skip
};

/// Where caches live: $ELBO_CACHE, or $XDG_CACHE_HOME/elbo, or ~/.cache/elbo.
std::string image_cache_directory();

/// The cache in a file; nothing when there is none, it was made from something else, or it is damaged.
std::optional<ImageCache> open_image_cache(const std::string& path, const ImageCacheKey& key);

class ImageCacheWriter {
 public:
  /// Makes the directory and the file. Throws Error when it cannot.
  ImageCacheWriter(const std::string& path, const ImageCacheKey& key);
  ~ImageCacheWriter();  ///< what was not finished disappears
  ImageCacheWriter(const ImageCacheWriter&) = delete;
  ImageCacheWriter& operator=(const ImageCacheWriter&) = delete;

  /// Adds an image; those of a split before those of the next. Throws Error when the disk is full.
  void add(std::string_view pixels, Split split);
  /// Notes that a file was skipped, and why; and under its `number` in the listing where the trouble may pass
  /// without a change to the file.
  void skip(const std::string& name, const std::string& reason, std::optional<int64_t> number = {});
  /// Completes the file and gives it its name. With files skipped, `path`.log lists them.
  void finish();

 private:
  void write(std::string_view bytes, int64_t at);
  uint64_t fingerprint_of(int64_t first, int64_t points) const;
  [[noreturn]] void fail_to_write(int error) const;

  std::string path_, temporary_;
  ImageCacheKey key_;
  int descriptor_ = -1;
  std::array<int64_t, 3> points_{};
  int64_t skipped_ = 0;
  std::string log_;
  std::vector<int64_t> unread_;
};

}  // namespace elbo
