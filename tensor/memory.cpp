#include "tensor/memory.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>

#include "tensor/error.h"

#if defined(__SANITIZE_ADDRESS__)
#  define ELBO_ASAN 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define ELBO_ASAN 1
#  endif
#endif
#ifdef ELBO_ASAN
#  include <sanitizer/asan_interface.h>
#endif

namespace elbo {
namespace {

constexpr size_t kAlignment = 64;

// Four size classes per power of two bound the waste at 25% and let close sizes share blocks.
struct SizeClass {
  int index;
  size_t capacity;
};

SizeClass size_class(size_t bytes) {
  const size_t units = (bytes + kAlignment - 1) / kAlignment;  // 64-byte units, at least one
  const size_t at_least = units == 0 ? 1 : units;
  if (at_least <= 4) return {static_cast<int>(at_least - 1), at_least * kAlignment};
  const int log2 = std::bit_width(at_least - 1) - 1;  // 2^log2 < at_least <= 2^(log2+1)
  const size_t quarter = (size_t{1} << log2) / 4;
  const size_t quarters = (at_least + quarter - 1) / quarter;  // 5..8
  return {4 * log2 + static_cast<int>(quarters) - 9, quarters * quarter * kAlignment};
}

size_t physical_memory() {
  return static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGE_SIZE));
}

class Cache {
 public:
  StorageRef take(size_t bytes, Device device) {
    if (device != Device::cpu) fail("[allocate] this build of elbo has no CUDA backend; use --device cpu");
    const SizeClass wanted = size_class(bytes);
    Storage* storage = nullptr;
    {
      const std::lock_guard lock(mutex_);
      ++counters_.requests;
      storage = free_[wanted.index];
      if (storage) {
        free_[wanted.index] = storage->next_free;
        counters_.cached -= wanted.capacity;
        count_live(wanted.capacity);
      }
    }
    if (!storage) storage = from_system(wanted.capacity);
    storage->bytes = bytes;
    storage->next_free = nullptr;
#ifdef ELBO_ASAN
    // Reused blocks would hide overruns from the sanitizer: leave only what was asked for addressable.
    ASAN_POISON_MEMORY_REGION(storage->data, storage->capacity);
    ASAN_UNPOISON_MEMORY_REGION(storage->data, bytes);
#endif
    return StorageRef(storage);
  }

  void give_back(Storage* storage) {
#ifdef ELBO_ASAN
    ASAN_POISON_MEMORY_REGION(storage->data, storage->capacity);
#endif
    const std::lock_guard lock(mutex_);
    const int index = size_class(storage->capacity).index;
    storage->next_free = free_[index];
    free_[index] = storage;
    counters_.live -= storage->capacity;
    counters_.cached += storage->capacity;
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (Storage*& head : free_)
      while (head) {
        Storage* storage = head;
        head = storage->next_free;
        counters_.cached -= storage->capacity;
        to_system(storage);
      }
  }

  MemoryCounters counters() {
    const std::lock_guard lock(mutex_);
    return counters_;
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    counters_.peak = counters_.live;
  }

 private:
  // Header and data are one system block: the header fills the first aligned unit.
  static constexpr size_t kHeader = (sizeof(Storage) + kAlignment - 1) / kAlignment * kAlignment;

  void count_live(size_t capacity) {
    counters_.live += capacity;
    if (counters_.live > counters_.peak) counters_.peak = counters_.live;
  }

  Storage* from_system(size_t capacity) {
    // Some systems grant any request and end the process that uses it.
    const bool is_sane = capacity < physical_memory();
    void* block = is_sane ? std::aligned_alloc(kAlignment, kHeader + capacity) : nullptr;
    if (!block && is_sane) {
      release();  // blocks of other sizes, kept for later, may be in the way
      block = std::aligned_alloc(kAlignment, kHeader + capacity);
    }
    const std::lock_guard lock(mutex_);
    if (!block)
      fail(
          "[allocate] out of memory: {} more bytes on top of {} in use; try a smaller --batch, --limit or "
          "--latent",
          capacity, counters_.live);
    ++counters_.system_allocations;
    count_live(capacity);
    auto* storage = new (block) Storage;
    storage->data = static_cast<std::byte*>(block) + kHeader;
    storage->capacity = capacity;
    return storage;
  }

  static void to_system(Storage* storage) {
#ifdef ELBO_ASAN
    ASAN_UNPOISON_MEMORY_REGION(storage->data, storage->capacity);
#endif
    storage->~Storage();
    std::free(storage);
  }

  std::mutex mutex_;
  std::array<Storage*, 256> free_{};
  MemoryCounters counters_;
};

// Never destroyed: tensors with static lifetime may return their blocks after main has ended.
Cache& cache() {
  static Cache* instance = new Cache;
  return *instance;
}

}  // namespace

StorageRef::~StorageRef() {
  if (storage_ && storage_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    cache().give_back(storage_);
}

StorageRef allocate(size_t bytes, Device device) { return cache().take(bytes, device); }
MemoryCounters memory_counters() { return cache().counters(); }
void reset_peak_memory() { cache().reset_peak(); }
void release_cached_memory() { cache().release(); }

}  // namespace elbo
