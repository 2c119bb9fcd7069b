// heap_allocations: how often this test program has asked the heap for memory, to prove that a repeated step
// asks for none. heap_counter.cpp replaces the global operator new for the whole program.
#pragma once

#include <cstdint>

namespace elbo {

/// Calls of operator new so far, by any thread.
int64_t heap_allocations();

}  // namespace elbo
