#include "datasets/image_file.h"

#include <zlib.h>

#include <new>

#include "tests/fuzz/fuzzed_file.h"

namespace {

void decode(std::string_view file) {
  for (const int channels : {1, 3}) {
    elbo::reads_or_refuses([&] {
      try {
        const elbo::Pixels pixels = elbo::decode_image(file, channels);
        if (pixels.channels != channels || pixels.height < 1 || pixels.width < 1) std::abort();
        const volatile uint8_t* values = pixels.values.get();
        for (int64_t i = 0; i < pixels.height * pixels.width * pixels.channels; ++i) (void)values[i];
      } catch (const std::bad_alloc&) {  // what it says where memory is short
      }
    });
  }
}

/// The file with the checksums of a PNG's chunks as they should be, or damage would be found in nothing else.
std::string with_right_checksums(std::string file) {
  const auto number_at = [&](size_t at) {
    size_t number = 0;
    for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(file[at + i]);
    return number;
  };
  for (size_t at = 8; at + 12 <= file.size();) {
    const size_t length = number_at(at);
    if (length > file.size() - at - 12) break;
    const auto* chunk = reinterpret_cast<const Bytef*>(file.data() + at + 4);
    const auto sum = crc32(0, chunk, static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) file[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
    at += 12 + length;
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string file(reinterpret_cast<const char*>(data), size);
  decode(file);
  if (file.starts_with("\x89PNG")) decode(with_right_checksums(file));
  return 0;
}
