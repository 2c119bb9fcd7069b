#include "tests/heap_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> allocations{0};
}

int64_t elbo::heap_allocations() { return allocations; }

// The sanitizers bring operators of their own, which must stay in place: there nothing is counted.
#if defined(__has_feature)
#  if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#    define ELBO_SANITIZED 1
#  endif
#endif
#if !defined(ELBO_SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

bool elbo::counts_heap() { return true; }

// All forms of the standard library that end in free: what one of them allocates, another may delete.
void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes ? bytes : 1);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

#else
bool elbo::counts_heap() { return false; }
#endif
