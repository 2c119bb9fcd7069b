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

#if !defined(ELBO_CUDA_EMULATED)
/// Enqueues kernel(arguments...) on the current stream. Throws when it cannot be started.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream());
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
  if (error != cudaSuccess) fail("[{}] the kernel could not be started: {}", name, cudaGetErrorString(error));
}
#endif

/// Blocks for `items` items, one for each thread: as many as keep the GPU busy; the rest is for the kernel's
/// loop.
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

/// Whether a pointer is aligned for packs.
inline bool is_packable(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

/// This thread's place among all threads of the grid, and their number: for grid-stride loops.
__device__ __forceinline__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t thread_count() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/// Folds `lanes` (a power of two) neighbouring threads' values; the first of them gets the result. `shared`
/// has a place for every thread of the block, all of which must call this.
template <class Combine>
__device__ double fold_lanes(double value, int lanes, double* shared) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % lanes;
  shared[thread] = value;
  __syncthreads();
  for (int half = lanes / 2; half > 0; half /= 2) {
    if (lane < half) shared[thread] = Combine{}(shared[thread], shared[thread + half]);
    __syncthreads();
  }
  return shared[thread];
}

}  // namespace elbo::cuda
