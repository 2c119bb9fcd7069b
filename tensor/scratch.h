// Scratch: memory for one thread to work in, grown once to what it needs and kept, for inner loops that must
// not allocate. As a static thread_local of the function that uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace elbo {

template <class T>
class Scratch {
 public:
  /// Room for `count` numbers, at the start of a cache line: 0 at first, later what the last user left.
  T* at_least(int64_t count) {
    if (count > count_) {
      data_.reset();
      count_ = 0;
      data_.reset(new (std::align_val_t{64}) T[static_cast<size_t>(count)]());
      count_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete[](data, std::align_val_t{64}); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t count_ = 0;
};

}  // namespace elbo
