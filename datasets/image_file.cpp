#include "datasets/image_file.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

#include "tensor/error.h"
#include "tensor/file.h"

namespace {

// What a decoder's buffer may grow to. A few hundred bytes of PNG can unpack to gigabytes.
thread_local size_t allowance = 0;
thread_local bool wanted_too_much = false;

void* reallocate_at_most(void* block, size_t bytes) {
  wanted_too_much = wanted_too_much || bytes > allowance;
  return bytes <= allowance ? std::realloc(block, bytes) : nullptr;
}

}  // namespace

// Zeros, because a damaged JPEG can make it use tables that it never filled.
#define STBI_MALLOC(bytes) std::calloc(bytes, 1)
#define STBI_REALLOC(block, bytes) reallocate_at_most(block, bytes)
#define STBI_FREE(block) std::free(block)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#include <stb/stb_image.h>

namespace elbo {
namespace {

constexpr size_t kMostBytes = size_t{1} << 28;

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n", kJpegSignature = "\xff\xd8\xff";

struct Announced {
  int64_t height = 0, width = 0;
  /// The chunk and its colours of a PNG whose pixels are indices into it; 0: of another.
  size_t palette_at = 0, palette_bytes = 0;
};

uint32_t byte_at(std::string_view file, size_t at) { return static_cast<unsigned char>(file[at]); }
uint32_t big_endian_16(std::string_view file, size_t at) {
  return byte_at(file, at) << 8 | byte_at(file, at + 1);
}
uint32_t big_endian_32(std::string_view file, size_t at) {
  return big_endian_16(file, at) << 16 | big_endian_16(file, at + 2);
}

[[noreturn]] void truncated() { fail("is truncated"); }

/// Walks the chunks to the last one, IEND.
Announced inspect_png(std::string_view file) {
  constexpr size_t kAround = 12;  // a chunk's length, name and checksum
  constexpr size_t kColourTypeAt = 13;
  constexpr uint32_t kIndices = 3;
  std::optional<Announced> size;
  bool indexed = false;
  for (size_t at = kPngSignature.size();;) {
    if (file.size() - at < kAround) truncated();
    const size_t length = big_endian_32(file, at);
    if (length > file.size() - at - kAround) truncated();
    const std::string_view named = file.substr(at + 4, 4 + length), name = named.substr(0, 4);
    const auto sum =
        ::crc32(0, reinterpret_cast<const Bytef*>(named.data()), static_cast<uInt>(named.size()));
    if (sum != big_endian_32(file, at + 8 + length)) fail("is a damaged PNG: a checksum is wrong");
    if (!size) {
      if (name != "IHDR" || length != 13) fail("is a damaged PNG: it does not begin with its size");
      size = {.height = big_endian_32(named, 8), .width = big_endian_32(named, 4)};
      indexed = byte_at(named, kColourTypeAt) == kIndices;
    }
    if (name == "PLTE" && indexed) {
      size->palette_at = at;
      size->palette_bytes = length;
    }
    if (name == "tRNS" && indexed && length > size->palette_bytes / 3)
      fail("is a damaged PNG: more of its colours are transparent than it has");
    if (name == "IEND") return *size;
    at += kAround + length;
  }
}

/// The PNG with black for the colours that its palette does not have, which a damaged picture may use:
/// stb_image takes for them what lies in memory.
std::string with_whole_palette(std::string_view file, const Announced& found) {
  constexpr size_t kWhole = 3 * 256, kBeside = 8;  // a length and a name before, a checksum after
  std::string chunk = "PLTE";
  chunk += file.substr(found.palette_at + kBeside, found.palette_bytes);
  chunk.resize(4 + kWhole, '\0');
  const auto big_endian = [](uint32_t number) {
    std::string bytes;
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift & 0xff);
    return bytes;
  };
  const auto sum = ::crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size()));
  return std::string(file.substr(0, found.palette_at)) + big_endian(kWhole) + chunk +
         big_endian(static_cast<uint32_t>(sum)) +
         std::string(file.substr(found.palette_at + kBeside + found.palette_bytes + 4));
}

/// Where the next marker's code is, from `at` on: the byte after an FF that neither stands for itself (00)
/// nor restarts (D0 to D7) nor fills up (FF).
size_t next_marker(std::string_view file, size_t at) {
  while (true) {
    at = file.find('\xff', at);
    if (at == std::string_view::npos || ++at >= file.size()) truncated();
    const uint32_t code = byte_at(file, at);
    if (code != 0 && code != 0xff && !(code >= 0xd0 && code <= 0xd7)) return at;
  }
}

/// Checks that the code tables of a segment fill it, and that none has more than 255 codes: stb_image 2.27
/// writes past its own table with more than 256 and takes the last of 256 for none. Photographs need 162 at
/// most.
void check_code_tables(std::string_view tables) {
  constexpr size_t kLengths = 16;  // how many codes of 1 to 16 bits there are
  while (!tables.empty()) {
    size_t codes = 0;
    for (size_t i = 1; i <= kLengths && i < tables.size(); ++i) codes += byte_at(tables, i);
    if (codes > 255 || 1 + kLengths + codes > tables.size())
      fail("is a damaged JPEG: a code table is too long");
    tables.remove_prefix(1 + kLengths + codes);
  }
}

/// Walks the segments and scans to the end-of-image marker. Where a scan is too short but the marker is
/// there, nothing is noticed: that takes a decoder.
Announced inspect_jpeg(std::string_view file) {
  std::optional<Announced> size;
  for (size_t at = 2;;) {
    at = next_marker(file, at);
    const uint32_t code = byte_at(file, at++);
    if (code == 0xd9) {
      if (!size) fail("is a damaged JPEG: it holds no picture");
      return *size;
    }
    if (code == 0xd8 || code == 0x01) continue;  // these two have no contents
    if (file.size() - at < 2) truncated();
    const size_t length = big_endian_16(file, at);
    if (length < 2) fail("is a damaged JPEG: a segment is shorter than its own length");
    if (length > file.size() - at) truncated();
    if (code == 0xc4) check_code_tables(file.substr(at + 2, length - 2));
    const bool frame = code >= 0xc0 && code <= 0xcf && code != 0xc4 && code != 0xc8 && code != 0xcc;
    if (frame && length >= 8) {
      size = {.height = big_endian_16(file, at + 3), .width = big_endian_16(file, at + 5)};
      // Its four inks would need a colour profile to become red, green and blue.
      if (byte_at(file, at + 7) == 4) fail("is a CMYK JPEG");
    }
    at += length;
  }
}

Announced inspect(std::string_view file) {
  if (file.empty()) fail("is empty");
  if (file.starts_with(kPngSignature)) return inspect_png(file);
  if (file.starts_with(kJpegSignature)) return inspect_jpeg(file);
  // Cut within the signature.
  if (kPngSignature.starts_with(file) || kJpegSignature.starts_with(file)) truncated();
  fail("is neither a PNG nor a JPEG file");
}

}  // namespace

Pixels decode_image(std::string_view file, int channels) {
  if (file.size() > kMostBytes) fail("has {} bytes; more than {} are not decoded", file.size(), kMostBytes);
  const Announced size = inspect(file);
  // By division: the product of what a damaged header says may not fit.
  if (size.width > 0 && size.height > kMostImagePixels / size.width)
    fail("has {} x {} pixels; more than {} are not decoded", size.width, size.height, kMostImagePixels);
  // 16 bytes for a pixel are twice four channels of 16 bits; the rest is for tables and the rounding up of
  // sizes.
  allowance = 16 * static_cast<size_t>(size.height * size.width) + 2 * file.size() + (size_t{4} << 20);
  wanted_too_much = false;
  std::string whole;
  // Other lengths are damage, which stb_image finds.
  if (size.palette_bytes > 0 && size.palette_bytes < 3 * 256 && size.palette_bytes % 3 == 0)
    file = whole = with_whole_palette(file, size);
  int width = 0, height = 0, stored = 0;
  Pixels pixels;
  pixels.values = {stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(file.data()),
                                         static_cast<int>(file.size()), &width, &height, &stored, channels),
                   &stbi_image_free};
  if (!pixels.values) {
    const char* const reason = stbi_failure_reason();
    if (std::strcmp(reason, "outofmem") == 0) {
      if (!wanted_too_much) throw std::bad_alloc();
      fail("holds more than its {} x {} pixels need", size.width, size.height);
    }
    // It may begin with what a PNG has for a chunk's name.
    fail("cannot be decoded: {}", *reason ? quote(reason) : "its data are damaged");
  }
  pixels.height = height;
  pixels.width = width;
  pixels.channels = channels;
  return pixels;
}

std::string read_image_file(const std::string& path) {
  const InputFile file(path);
  // One byte more than are decoded, so that decode_image says what is wrong with a larger file.
  std::string bytes(std::min<uint64_t>(file.size(), kMostBytes + 1), '\0');
  file.read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

}  // namespace elbo
