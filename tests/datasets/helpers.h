// What the tests of datasets/ share: errors as text, gzip files, and a working directory and environment of
// one's own.
#pragma once

#include <doctest/doctest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "datasets/cifar10.h"
#include "datasets/mnist.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/source_file.h"
#include "tests/temporary_directory.h"

namespace elbo {

/// Makes a file of these bytes, without write_file_atomically's wait for the disk: there are thousands.
inline void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// `bytes` as gzip.
inline std::string gzip(std::string bytes) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// The bytes of an IDX file of unsigned bytes.
inline std::string idx_bytes(const std::vector<uint32_t>& sizes, const std::string& elements) {
  std::string bytes{0, 0, 8, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift & 0xff);
  return bytes + elements;
}

/// While it lives, the process works in `path` and $ELBO_DATA is `data` (unset when empty).
class Surroundings {
 public:
  explicit Surroundings(const std::filesystem::path& path, const std::string& data = "")
      : before_(std::filesystem::current_path()) {
    if (const char* value = std::getenv("ELBO_DATA")) data_before_ = value;
    std::filesystem::current_path(path);
    set(data);
  }
  ~Surroundings() {
    std::filesystem::current_path(before_);
    set(data_before_);
  }
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;

 private:
  static void set(const std::string& data) {
    if (data.empty())
      ::unsetenv("ELBO_DATA");
    else
      ::setenv("ELBO_DATA", data.c_str(), 1);
  }
  std::filesystem::path before_;
  std::string data_before_;
};

/// The directory of real CIFAR-10 where it is installed.
inline std::optional<std::string> real_cifar10() {
  auto found = find_cifar10();
  for (const char* place : {"data/cifar10", "../shared/data/cifar10"}) {
    if (found) break;
    const std::string directory = source_file(place);
    if (std::filesystem::exists(directory + "/test_batch.bin.gz")) found = directory;
  }
  if (!found) MESSAGE("skipped: real CIFAR-10 not found");
  return found;
}

/// The directory of real MNIST where it is installed: tests that need it say so and do nothing without.
inline std::optional<std::string> real_mnist() {
  auto found = find_mnist();
  for (const char* place : {"data/mnist", "../shared/data/mnist"}) {
    if (found) break;
    const std::string directory = source_file(place);
    if (std::filesystem::exists(directory + "/train-images-idx3-ubyte.gz")) found = directory;
  }
  if (!found) MESSAGE("skipped: real MNIST not found");
  return found;
}

}  // namespace elbo
