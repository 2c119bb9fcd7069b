#include "tensor/cuda/kernels.h"

#include "tensor/cuda/random_kernels.h"
#include "tensor/map.h"

namespace elbo::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) fill_kernel(T* to, int64_t elements, T value) {
  await_turn();
  for (int64_t i = thread_index(); i < elements; i += thread_count()) to[i] = value;
}

template <class To, class From>
__global__ void __launch_bounds__(kThreads) convert_kernel(To* to, const From* from, int64_t elements) {
  await_turn();
  for (int64_t i = thread_index(); i < elements; i += thread_count()) to[i] = static_cast<To>(from[i]);
}

struct alignas(16) Sixteen {
  uint64_t low, high;
};

/// Rows of `width` units; steps are in units, too.
template <class Unit>
__global__ void __launch_bounds__(kThreads)
    copy_rows_kernel(Unit* to, int64_t to_step, const Unit* from, int64_t from_step, int64_t rows,
                     int64_t width, const int64_t* index) {
  await_turn();
  for (int64_t i = thread_index(); i < rows * width; i += thread_count()) {
    const int64_t row = quotient(i, width), column = i - row * width;
    to[row * to_step + column] = from[(index ? index[row] : row) * from_step + column];
  }
}

constexpr int64_t kScatterThreads = 32;  // for each column

/// A column's threads share its elements by their index, so that one thread sums each in the order of i.
template <class T>
__global__ void __launch_bounds__(kThreads)
    scatter_add_rows_kernel(T* to, const T* from, const int64_t* index, int64_t rows, int64_t width) {
  await_turn();
  for (int64_t at = thread_index(); at < kScatterThreads * width; at += thread_count()) {
    const int64_t share = quotient(at, width), column = at - share * width;
    for (int64_t i = 0; i < rows; ++i)
      if (index[i] % kScatterThreads == share) to[index[i] * width + column] += from[i * width + column];
  }
}

/// One block for each matrix.
template <class T>
__global__ void __launch_bounds__(kThreads) trace_kernel(T* to, const T* from, int64_t matrices, int64_t n) {
  await_turn();
  __shared__ double shared[kWarps];
  for (int64_t matrix = blockIdx.x; matrix < matrices; matrix += gridDim.x) {
    double total = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads)
      total += static_cast<double>(from[(matrix * n + i) * n + i]);
    total = fold_lanes<Sum>(total, kThreads, shared);
    if (threadIdx.x == 0) to[matrix] = static_cast<T>(total);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) identity_kernel(T* to, int64_t n) {
  await_turn();
  for (int64_t i = thread_index(); i < n * n; i += thread_count()) {
    const int64_t row = quotient(i, n);
    to[i] = row == i - row * n ? T(1) : T(0);
  }
}

/// A thread has four numbers at a time; `packed`: they can be written at once.
template <class Draw, class T>
__global__ void __launch_bounds__(kThreads)
    draw_kernel(T* to, int64_t members, int64_t each, RandomKey key, bool packed) {
  await_turn();
  const int64_t groups = (each + 3) / 4;
  for (int64_t i = thread_index(); i < members * groups; i += thread_count()) {
    const int64_t member = quotient(i, groups), group = i - member * groups;
    RandomKey own = key;
    own.member += static_cast<uint32_t>(member);
    Pack<T, 4> drawn;
    Draw::convert(random_block(own, static_cast<uint32_t>(group)), drawn.value);
    T* const at = to + member * each + 4 * group;
    if (packed) {
      *reinterpret_cast<Pack<T, 4>*>(at) = drawn;
      continue;
    }
    const int64_t count = each - 4 * group < 4 ? each - 4 * group : 4;
    for (int w = 0; w < count; ++w) at[w] = drawn.value[w];
  }
}

template <class Draw>
void draw(void* to, DType dtype, int64_t members, int64_t each, const RandomKey& key) {
  if (members * each == 0) return;
  visit_floating(dtype, "random", [&](auto zero) {
    using T = decltype(zero);
    launch("random", draw_kernel<Draw, T>, blocks_for(members * ((each + 3) / 4)), kThreads,
           static_cast<T*>(to), members, each, key, each % 4 == 0 && is_packable(to, sizeof(Pack<T, 4>)));
  });
}

template <class Unit>
void copy_rows_of(void* to, int64_t to_step, const void* from, int64_t from_step, int64_t rows, int64_t width,
                  const int64_t* index) {
  constexpr int64_t kSize = sizeof(Unit);
  launch("copy_rows", copy_rows_kernel<Unit>, blocks_for(rows * width / kSize), kThreads,
         static_cast<Unit*>(to), to_step / kSize, static_cast<const Unit*>(from), from_step / kSize, rows,
         width / kSize, index);
}

}  // namespace

void fill(void* to, DType dtype, int64_t elements, double value) {
  if (elements == 0) return;
  if (value == 0) return zero_bytes(to, static_cast<size_t>(elements * size_of(dtype)));
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("fill", fill_kernel<T>, blocks_for(elements), kThreads, static_cast<T*>(to), elements,
           static_cast<T>(value));
  });
}

void convert(void* to, DType to_type, const void* from, DType from_type, int64_t elements) {
  if (elements == 0) return;
  visit_floating(to_type, "to", [&](auto to_zero) {
    visit(from_type, [&](auto from_zero) {
      using To = decltype(to_zero);
      using From = decltype(from_zero);
      launch("to", convert_kernel<To, From>, blocks_for(elements), kThreads, static_cast<To*>(to),
             static_cast<const From*>(from), elements);
    });
  });
}

void copy_rows(void* to, int64_t to_step, const void* from, int64_t from_step, int64_t rows, int64_t width,
               const int64_t* index) {
  if (rows * width == 0) return;
  // In the largest units that every address is a multiple of.
  const auto all = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) |
                   static_cast<uintptr_t>(to_step | from_step | width);
  if (all % 16 == 0)
    copy_rows_of<Sixteen>(to, to_step, from, from_step, rows, width, index);
  else if (all % 4 == 0)
    copy_rows_of<uint32_t>(to, to_step, from, from_step, rows, width, index);
  else
    copy_rows_of<uint8_t>(to, to_step, from, from_step, rows, width, index);
}

void scatter_add_rows(void* to, const void* from, DType dtype, const int64_t* index, int64_t rows,
                      int64_t width) {
  if (rows * width == 0) return;
  visit_floating(dtype, "scatter_add_rows", [&](auto zero) {
    using T = decltype(zero);
    launch("scatter_add_rows", scatter_add_rows_kernel<T>, blocks_for(kScatterThreads * width), kThreads,
           static_cast<T*>(to), static_cast<const T*>(from), index, rows, width);
  });
}

void trace(void* to, const void* from, DType dtype, int64_t matrices, int64_t n) {
  if (matrices == 0) return;
  visit_floating(dtype, "trace", [&](auto zero) {
    using T = decltype(zero);
    launch("trace", trace_kernel<T>, blocks_for(matrices, 1), kThreads, static_cast<T*>(to),
           static_cast<const T*>(from), matrices, n);
  });
}

void identity_matrix(void* to, DType dtype, int64_t n) {
  if (n == 0) return;
  visit_floating(dtype, "identity_matrix", [&](auto zero) {
    using T = decltype(zero);
    launch("identity_matrix", identity_kernel<T>, blocks_for(n * n), kThreads, static_cast<T*>(to), n);
  });
}

void fill_uniform(void* to, DType dtype, int64_t members, int64_t each, const RandomKey& key) {
  draw<UniformDraw>(to, dtype, members, each, key);
}
void fill_normal(void* to, DType dtype, int64_t members, int64_t each, const RandomKey& key) {
  draw<NormalDraw>(to, dtype, members, each, key);
}

}  // namespace elbo::cuda
