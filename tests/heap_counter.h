// heap_allocations: how often this test program has asked the heap for memory, to prove that a repeated step
// asks for none. heap_counter.cpp replaces the global operator new for the whole program.
#pragma once

#include <cstdint>

namespace elbo {

/// Calls of operator new so far, by any thread.
int64_t heap_allocations();
/// False under the sanitizers, whose own operators stay in place: the count is 0 there and proves nothing.
bool counts_heap();

}  // namespace elbo
