// hash: FNV-1a of 64 bits (Fowler, Noll and Vo), which tells data sets and their files apart. Not for
// secrets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tensor/dtype.h"
#include "tensor/error.h"
#include "tensor/shape.h"

namespace elbo {

class Hash {
 public:
  Hash& add(std::string_view bytes) {
    // In a register: the compiler cannot know that the bytes are not the hash itself.
    uint64_t value = value_;
    for (const char byte : bytes) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
    value_ = value;
    return *this;
  }
  uint64_t value() const { return value_; }
  std::string str() const { return fmt::format("{:016x}", value_); }  ///< 16 hexadecimal digits

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

/// The hash of a tensor's type and shape; with its elements added it is the tensor's `fingerprint`.
inline Hash tensor_hash(DType dtype, const Shape& shape) {
  return Hash().add(fmt::format("{} {};", name(dtype), shape.str()));
}

}  // namespace elbo
