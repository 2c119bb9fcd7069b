// KeptVector: a std::vector for lists that every step makes again. Its memory is that of tensors (memory.h),
// where freed blocks are kept and reused, so that a repeated step asks neither the heap nor the system.
#pragma once

#include <limits>
#include <new>
#include <vector>

#include "tensor/memory.h"

namespace elbo {

/// An allocator. Each block holds, before the elements, the reference that keeps it.
template <class T>
struct KeptMemory {
  using value_type = T;
  KeptMemory() = default;
  template <class Other>
  KeptMemory(const KeptMemory<Other>&) {}

  T* allocate(size_t count) {
    if (count > (std::numeric_limits<size_t>::max() - kBefore) / sizeof(T)) throw std::bad_array_new_length();
    StorageRef block = elbo::allocate(kBefore + count * sizeof(T), Device::cpu);
    std::byte* const data = block->data;
    new (data) StorageRef(std::move(block));
    return reinterpret_cast<T*>(data + kBefore);
  }
  void deallocate(T* elements, size_t) noexcept {
    auto* const before = reinterpret_cast<StorageRef*>(reinterpret_cast<std::byte*>(elements) - kBefore);
    const StorageRef last = std::move(*before);
    before->~StorageRef();
  }
  bool operator==(const KeptMemory&) const { return true; }

 private:
  static constexpr size_t kBefore = 64;  // a block's alignment
  static_assert(sizeof(StorageRef) <= kBefore && alignof(T) <= kBefore);
};

template <class T>
using KeptVector = std::vector<T, KeptMemory<T>>;

}  // namespace elbo
