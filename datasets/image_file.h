// image_file: the pixels of a PNG or JPEG file, or what is wrong with it.
//
// stb_image decodes; what it lets pass is looked for here first: a JPEG that ends early (it would be filled
// up with grey), a PNG's checksums, CMYK, and pictures of a size that no folder of training images holds. A
// decoder is never given more memory than an image of the announced size can need. Knows nothing of folders
// and caches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace elbo {

struct Pixels {
  int64_t height = 0, width = 0, channels = 0;
  std::unique_ptr<uint8_t, void (*)(void*)> values{nullptr, nullptr};  ///< (height, width, channels)
};

inline constexpr int64_t kMostImagePixels = int64_t{64} << 20;  ///< larger pictures are refused

/// A file's bytes, as far as decode_image looks at them. Throws Error when it cannot be read, which may be
/// different another time.
std::string read_image_file(const std::string& path);

/// The picture in a file's bytes, told by content and not by name, in 3 channels (RGB) or 1 (Rec. 601 luma).
/// Of 16 bits the upper 8 are taken; transparency is dropped, and so is the orientation that a camera noted.
/// Throws Error with the reason as a phrase about the file ("is a CMYK JPEG") when it cannot or should not be
/// decoded, and std::bad_alloc when memory is short.
Pixels decode_image(std::string_view file, int channels);

}  // namespace elbo
