// sha256: the Secure Hash Algorithm of 256 bits (FIPS 180-4), by which published files are known.
//
// Plain and portable: some 300 MB a second. For telling data sets apart there is hash.h, which is faster.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace elbo {

class Sha256 {
 public:
  Sha256& add(std::string_view bytes);
  /// 64 hexadecimal digits of everything added so far; more may be added afterwards.
  std::string str() const;

 private:
  using State = std::array<uint32_t, 8>;
  static void mix(State& state, const unsigned char* block);

  State state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_{};  // what does not fill one yet
  uint64_t bytes_ = 0;                     // added in all
};

/// Of a whole file, read piece by piece. Throws Error when it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace elbo
