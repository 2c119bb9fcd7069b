#include "tensor/memory.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include "tensor/cuda/device.h"
#include "tensor/error.h"
#include "tensor/sanitizers.h"

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

/// The blocks of one device.
class Cache {
 public:
  explicit Cache(Device device) : device_(device) {}

  StorageRef take(size_t bytes) {
    const SizeClass wanted = size_class(bytes);
    Storage* storage = nullptr;
    {
      const std::lock_guard lock(mutex_);
      ++counters_.requests;
      for (uint32_t pool : {pool_, uint32_t{0}}) {
        Storage*& free = pools_[pool].free[wanted.index];
        if (!free) continue;
        storage = free;
        free = storage->next_free;
        counters_.cached -= wanted.capacity;
        count_live(wanted.capacity);
        break;
      }
    }
    if (!storage) storage = from_system(wanted.capacity);
    storage->pool = pool_;
    storage->bytes = bytes;
    storage->next_free = nullptr;
    // Reused blocks would hide overruns: leave only what was asked for addressable.
    if (device_ == Device::cuda) cuda::set_bounds(storage->data, bytes, storage->capacity);
#ifdef ELBO_ASAN
    if (device_ == Device::cpu) {
      ASAN_POISON_MEMORY_REGION(storage->data, storage->capacity);
      ASAN_UNPOISON_MEMORY_REGION(storage->data, bytes);
    }
#endif
    return StorageRef(storage);
  }

  void give_back(Storage* storage) {
    const std::lock_guard lock(mutex_);
    if (device_ == Device::cuda && cuda::side_work_pending()) {
      storage->next_free = deferred_;
      deferred_ = storage;
      return;
    }
    to_free_list(storage);
  }

  void release_deferred() {
    const std::lock_guard lock(mutex_);
    while (deferred_) {
      Storage* storage = deferred_;
      deferred_ = storage->next_free;
      to_free_list(storage);
    }
  }

  uint32_t begin_pool() {
    const std::lock_guard lock(mutex_);
    pool_ = ++last_pool_;
    pools_[pool_];
    return pool_;
  }
  void end_pool() { pool_ = 0; }
  void dissolve_pool(uint32_t pool) {
    const std::lock_guard lock(mutex_);
    const auto found = pools_.find(pool);
    if (found == pools_.end()) return;
    const FreeLists lists = found->second;
    pools_.erase(found);
    for (Storage* head : lists.free)
      while (head) {
        Storage* const next = head->next_free;
        counters_.live += head->capacity;  // as it is about to be freed once more
        counters_.cached -= head->capacity;
        to_free_list(head);
        head = next;
      }
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (Storage*& head : pools_[0].free)
      while (head) {
        Storage* const next = head->next_free;
        const size_t capacity = head->capacity;
        to_system(head);  // where that throws, the list still has it
        head = next;
        counters_.cached -= capacity;
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
  struct FreeLists {
    std::array<Storage*, 256> free{};
  };

  // On the CPU header and data are one system block: the header fills the first aligned unit.
  static constexpr size_t kHeader = (sizeof(Storage) + kAlignment - 1) / kAlignment * kAlignment;

  void count_live(size_t capacity) {
    counters_.live += capacity;
    if (counters_.live > counters_.peak) counters_.peak = counters_.live;
  }

  void to_free_list(Storage* storage) {
#ifdef ELBO_ASAN
    if (device_ == Device::cpu) ASAN_POISON_MEMORY_REGION(storage->data, storage->capacity);
#endif
    if (!pools_.contains(storage->pool)) storage->pool = 0;  // its pool was dissolved
    Storage*& head = pools_[storage->pool].free[size_class(storage->capacity).index];
    storage->next_free = head;
    head = storage;
    counters_.live -= storage->capacity;
    counters_.cached += storage->capacity;
  }

  /// Null when there is no room.
  Storage* new_block(size_t capacity) const {
    if (device_ == Device::cuda) {
      void* data = cuda::allocate_bytes(capacity);
      if (!data) return nullptr;
      auto* storage = new Storage;
      storage->data = static_cast<std::byte*>(data);
      return storage;
    }
    // Some systems grant any request and end the process that uses it.
    if (capacity >= physical_memory()) return nullptr;
    void* block = std::aligned_alloc(kAlignment, kHeader + capacity);
    if (!block) return nullptr;
    auto* storage = new (block) Storage;
    storage->data = static_cast<std::byte*>(block) + kHeader;
    return storage;
  }

  Storage* from_system(size_t capacity) {
    Storage* storage = new_block(capacity);
    // Memory cannot be given back while a graph is captured.
    if (!storage && !(device_ == Device::cuda && cuda::capturing())) {
      release();  // blocks of other sizes, kept for later, may be in the way
      storage = new_block(capacity);
    }
    const std::lock_guard lock(mutex_);
    if (!storage)
      throw OutOfMemory(fmt::format("[allocate] out of memory{}: {} more bytes on top of {} in use",
                                    device_ == Device::cuda ? " on the GPU" : "", capacity, counters_.live));
    ++counters_.system_allocations;
    count_live(capacity);
    storage->capacity = capacity;
    storage->device = device_;
    return storage;
  }

  void to_system(Storage* storage) {
#ifdef ELBO_ASAN
    if (device_ == Device::cpu) ASAN_UNPOISON_MEMORY_REGION(storage->data, storage->capacity);
#endif
    if (device_ == Device::cuda) {
      cuda::free_bytes(storage->data);
      delete storage;
      return;
    }
    storage->~Storage();
    std::free(storage);
  }

  const Device device_;
  std::mutex mutex_;
  std::map<uint32_t, FreeLists> pools_;  // 0 is everybody's
  uint32_t pool_ = 0, last_pool_ = 0;    // that blocks come from now
  Storage* deferred_ = nullptr;
  MemoryCounters counters_;
};

// Never destroyed: tensors with static lifetime may return their blocks after main has ended.
Cache& cache(Device device) {
  static Cache* const cpu = new Cache(Device::cpu);
  static Cache* const gpu = new Cache(Device::cuda);
  return device == Device::cpu ? *cpu : *gpu;
}

}  // namespace

StorageRef::~StorageRef() {
  if (!storage_ || storage_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (storage_->release)
    storage_->release(storage_);
  else
    cache(storage_->device).give_back(storage_);
}

size_t physical_memory() {
  return static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGE_SIZE));
}
StorageRef allocate(size_t bytes, Device device) {
  if (device == Device::cuda) cuda::require_available();
  return cache(device).take(bytes);
}
MemoryCounters memory_counters(Device device) { return cache(device).counters(); }
void reset_peak_memory(Device device) { cache(device).reset_peak(); }
void release_cached_memory() {
  cache(Device::cpu).release();
  cache(Device::cuda).release();
}
uint32_t begin_memory_pool() { return cache(Device::cuda).begin_pool(); }
void end_memory_pool() { cache(Device::cuda).end_pool(); }
void dissolve_memory_pool(uint32_t pool) { cache(Device::cuda).dissolve_pool(pool); }
void release_deferred_memory() { cache(Device::cuda).release_deferred(); }

void* cuda::allocate_for_good(size_t bytes) {
  void* memory = cuda::allocate_bytes(bytes);
  if (!memory && !cuda::capturing()) {
    cache(Device::cuda).release();
    memory = cuda::allocate_bytes(bytes);
  }
  return memory;
}

}  // namespace elbo
