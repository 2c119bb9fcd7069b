// CUDA on the host, for tests where there is no GPU: the words that kernels use, and the control of how they
// run.
//
// The threads of a block run in fibers and take turns at barriers, in an order that tests choose, so that
// what a missing barrier breaks shows in some order (and in every order under TSan, which is told of barriers
// and nothing else). Streams are queues that run as late as they may, and device memory cannot be touched
// outside kernels and copies (device_emulated.cpp). Included through kernel.h, never directly; knows nothing
// of tensors.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static  // blocks run one after another: one copy for the process is one for each block

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned in_x = 1, unsigned in_y = 1, unsigned in_z = 1) : x(in_x), y(in_y), z(in_z) {}
};

namespace elbo::cuda {

namespace emulation {

/// Orders in which the threads of a block, and the blocks of a grid, take their turns.
enum class Order { forward, reverse, shuffled };
/// Which of two streams that could both go on does.
enum class Streams { main_first, side_first };
struct Settings {
  Order threads = Order::forward;
  Streams streams = Streams::main_first;
  uint32_t seed = 1;  ///< of `shuffled`
};
/// How everything runs from now on.
void configure(const Settings& settings);

struct Place {
  dim3 thread, block;
};
extern Place* current;  // of the running fiber
extern dim3 block_dimensions, grid_dimensions;
void synchronize_block();
/// Called by each thread as it begins; a kernel whose threads do not call it is an error.
void turn_was_awaited();
/// The value that the thread `by` places on gave, within groups of `warp` threads; its own at a group's end.
double exchange(double value, int by, int warp);
/// Enqueues work that may touch device memory on the current stream.
void enqueue(std::function<void()> work);
/// Enqueues body(), to be run once for every thread of the grid.
void enqueue_grid(const char* name, dim3 grid, dim3 block, std::function<void()> body);

}  // namespace emulation

template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, A... arguments) {
  emulation::enqueue_grid(name, grid, block, [=] { kernel(static_cast<P>(arguments)...); });
}

}  // namespace elbo::cuda

#define threadIdx (::elbo::cuda::emulation::current->thread)
#define blockIdx (::elbo::cuda::emulation::current->block)
#define blockDim (::elbo::cuda::emulation::block_dimensions)
#define gridDim (::elbo::cuda::emulation::grid_dimensions)

inline void __syncthreads() { elbo::cuda::emulation::synchronize_block(); }
