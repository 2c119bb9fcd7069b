// What kernels are written with: `launch`, 16-byte packs, and the sums of a block's threads.
//
// Included by kernels only. Compiled by nvcc this is CUDA; with ELBO_CUDA_EMULATED the same kernels compile
// for the host (emulation.h), where tests run them in many thread orders and under sanitizers.
#pragma once

#include <cstdint>

#include "tensor/cuda/device.h"
#include "tensor/error.h"

#if defined(ELBO_CUDA_EMULATED)
#  include "tensor/cuda/emulation.h"
#else
#  include <cuda_runtime.h>
#endif

namespace elbo::cuda {

inline constexpr int kThreads = 256;  // of a block, where nothing else is said
inline constexpr int kWarp = 32, kWarps = kThreads / kWarp;

/// The first statement of every kernel: waits until all that the stream held before it is done and can be
/// seen. On GPUs from Hopper on, a kernel is made ready while the one before it is still at work, so that
/// between the many short kernels of a step less time is lost.
__device__ __forceinline__ void await_turn() {
#if defined(ELBO_CUDA_EMULATED)
  emulation::turn_was_awaited();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();  // the next kernel, which awaits this one, may be made ready
#endif
}

#if !defined(ELBO_CUDA_EMULATED)
/// Whether this GPU can make the kernel ready early, and the kernel's code for it waits.
bool can_start_early(const void* kernel);

/// Enqueues kernel(arguments...) on the current stream. Throws when it cannot be started.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, A... arguments) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream());
  config.attrs = &early;
  config.numAttrs = can_start_early(reinterpret_cast<const void*>(kernel)) ? 1 : 0;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
  if (error != cudaSuccess) fail("[{}] the kernel could not be started: {}", name, cudaGetErrorString(error));
}
#endif

/// Blocks for `items` items, one for each thread, but no more than keep the GPU busy; the kernel's loop does
/// the rest.
inline unsigned blocks_for(int64_t items, int64_t threads = kThreads) {
  const int64_t enough = int64_t{multiprocessors()} * 16, needed = (items + threads - 1) / threads;
  return static_cast<unsigned>(needed < 1 ? 1 : needed < enough ? needed : enough);
}

/// 16 bytes of T, which a thread loads or stores in one access.
template <class T>
inline constexpr int kPackSize = 16 / static_cast<int>(sizeof(T));

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

/// Whether a pointer is aligned for packs of so many bytes.
inline bool is_packable(const void* pointer, size_t bytes = 16) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

/// a / b, of which neither is below 0. Dividing 64-bit numbers takes a GPU many times as long.
__device__ __forceinline__ int64_t quotient(int64_t a, int64_t b) {
  return (a | b) >> 32 ? a / b : static_cast<int64_t>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b));
}

/// The index along the last axis, of `size`, which `flat` is then divided by.
__device__ __forceinline__ int64_t take(int64_t& flat, int64_t size) {
  const int64_t rest = quotient(flat, size), index = flat - rest * size;
  flat = rest;
  return index;
}

/// This thread's place among all threads of the grid, and their number: for grid-stride loops.
__device__ __forceinline__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t thread_count() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/// The value of the thread `by` places further on in the warp; all threads of the block must call this.
__device__ __forceinline__ double from_thread_after(double value, int by) {
#if defined(ELBO_CUDA_EMULATED)
  return emulation::exchange(value, by, kWarp);
#else
  return __shfl_down_sync(0xffffffffu, value, static_cast<unsigned>(by));
#endif
}

/// Folds `lanes` (a power of two, or whole warps) neighbouring threads' values; the first of them gets the
/// result. `shared` has a place for every warp of the block, all of whose threads must call this.
template <class Combine>
__device__ double fold_lanes(double value, int lanes, double* shared) {
  for (int half = (lanes < kWarp ? lanes : kWarp) / 2; half > 0; half /= 2)
    value = Combine{}(value, from_thread_after(value, half));
  if (lanes <= kWarp) return value;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  if (thread % kWarp == 0) shared[warp] = value;
  __syncthreads();
  if (thread % lanes == 0)
    for (int i = 1; i < lanes / kWarp; ++i) value = Combine{}(value, shared[warp + i]);
  __syncthreads();  // before a next call's values replace these
  return value;
}

}  // namespace elbo::cuda
