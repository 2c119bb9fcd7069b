// ByteReader: the contents of a file from front to back, gunzipped on the way when the file is gzip, in one
// member or, as `cat a.gz b.gz` and bgzip make it, in several.
//
// Array files (IDX, npy) say in a few bytes how much is to follow. `check_holds` compares that with the size
// of the file before anyone allocates, so a corrupt header can never ask for more memory than its file could
// fill. Uses tensor/file.h and zlib; knows nothing of formats.
#pragma once

#include <zlib.h>

#include <array>
#include <string>

#include "tensor/file.h"
#include "tensor/shape.h"

namespace elbo {

class ByteReader {
 public:
  /// Throws Error when there is no such file or it cannot be read.
  explicit ByteReader(const std::string& path);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  const std::string& path() const { return file_.path(); }
  /// Fills `into`; a file that ends too early, or corrupt gzip data, is an Error.
  void read(std::span<std::byte> into);
  /// As many bytes as there are, for formats without a header; fewer than asked only at the end of the data.
  size_t read_up_to(std::span<std::byte> into);
  /// Throws Error when the file could not hold `shape` elements of `element_bytes` each from here on. For
  /// gzip the size is not known beforehand, but deflate packs at most 1032 bytes into one.
  void check_holds(const Shape& shape, int64_t element_bytes) const;
  /// Throws Error unless everything has been read, and for gzip unless every member's checksum is right.
  void expect_end();

 private:
  size_t read_some(std::span<std::byte> into);
  bool next_member();  // whether gzip data follow those that ended

  InputFile file_;
  uint64_t position_ = 0;  // in the file
  uint64_t delivered_ = 0;
  bool gzip_ = false, gzip_ended_ = false;
  z_stream stream_{};
  std::array<std::byte, 65536> packed_;
};

}  // namespace elbo
