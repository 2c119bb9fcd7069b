// Memory: where tensors' bytes come from, and the counters that prove a training step allocates nothing.
//
// Freed blocks are kept in size classes and handed out again, so a loop that repeats itself stops asking the
// system for memory after its first turn. Blocks are 64-byte aligned and reference-counted in their header.
// Safe to use from several threads.
//
//   reset_peak_memory();
//   train();
//   fmt::print("{} MiB at most\n", memory_counters().peak >> 20);
//   release_cached_memory();                   // before something else needs it
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace elbo {

enum class Device { cpu, cuda };

/// Whether this build has GPU code. Without it no tensor is on a GPU, and what would work there is declared
/// but not defined: its calls stand behind `if constexpr`.
#if defined(ELBO_HAS_CUDA)
inline constexpr bool kHasGpuCode = true;
#else
inline constexpr bool kHasGpuCode = false;
#endif

inline const char* name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

/// A reference-counted block of bytes, made by `allocate` and used through `StorageRef`.
struct Storage {
  std::byte* data = nullptr;
  size_t bytes = 0;     ///< what was asked for
  size_t capacity = 0;  ///< what the block holds (its size class)
  Device device = Device::cpu;
  uint32_t pool = 0;  ///< the pool whose free list the block returns to
  std::atomic<int> references{0};
  Storage* next_free = nullptr;
  /// Ends a block that did not come from `allocate`, and the Storage with it; null for one that did.
  void (*release)(Storage*) = nullptr;
};

/// Shared ownership of a Storage; the block returns to the cache when the last reference goes.
class StorageRef {
 public:
  StorageRef() = default;
  explicit StorageRef(Storage* storage) : storage_(storage) { retain(); }
  StorageRef(const StorageRef& other) : storage_(other.storage_) { retain(); }
  StorageRef(StorageRef&& other) noexcept : storage_(other.storage_) { other.storage_ = nullptr; }
  StorageRef& operator=(StorageRef other) noexcept {
    Storage* mine = storage_;
    storage_ = other.storage_;
    other.storage_ = mine;
    return *this;
  }
  ~StorageRef();

  Storage* operator->() const { return storage_; }
  explicit operator bool() const { return storage_ != nullptr; }
  bool operator==(const StorageRef& other) const { return storage_ == other.storage_; }

 private:
  void retain() {
    if (storage_) storage_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Storage* storage_ = nullptr;
};

/// A block of at least `bytes` uninitialised bytes. Throws Error when the system has no more.
StorageRef allocate(size_t bytes, Device device);

/// Counters of one device. Sizes are bytes of size-class capacity; the two counts only grow.
struct MemoryCounters {
  size_t live = 0;                  ///< held by tensors now
  size_t cached = 0;                ///< freed, kept for the next request
  size_t peak = 0;                  ///< largest `live` since the start or `reset_peak`
  uint64_t requests = 0;            ///< calls of `allocate`
  uint64_t system_allocations = 0;  ///< requests the cache could not serve
};
MemoryCounters memory_counters(Device device = Device::cpu);
void reset_peak_memory(Device device = Device::cpu);

/// Bytes of the machine; asking for more would end in a killed process rather than an error.
size_t physical_memory();

/// Gives every cached block back to the system.
void release_cached_memory();

// For tensor/cuda alone.

/// From here to `end_memory_pool`, device memory comes from a pool of its own and returns to this pool, as
/// replays of a graph write to what was allocated during its capture. The memory of a dissolved pool serves
/// any request.
uint32_t begin_memory_pool();
void end_memory_pool();
void dissolve_memory_pool(uint32_t pool);
/// Makes device memory available again that was freed while the side stream, at work, may have used it.
void release_deferred_memory();

}  // namespace elbo
