// The kernels behind map and map_reduce (tensor/map.h), made from the same functors as the CPU's loops.
//
// In a map every thread has packs of 16 bytes where all operands allow it, single elements otherwise. A
// reduction has two forms. Where the innermost axis is folded, a group of threads ("lanes") shares the terms
// of each output; where it is kept, neighbouring threads own neighbouring outputs, and each output's lanes
// stand in other rows of the block. Long sums are cut into chunks, whose results one more kernel folds. The
// number of lanes and of chunks follows from the number of terms and the length of the innermost axis alone:
// sums are the same every time, and a member's sums do not depend on other members.
#pragma once

#include <algorithm>
#include <bit>
#include <type_traits>
#include <utility>

#include "tensor/cuda/kernel.h"
#include "tensor/loop.h"
#include "tensor/tensor.h"

namespace elbo::cuda {

template <class T, int N>
struct Inputs {
  const T* at[N > 0 ? N : 1];
};

/// Adds to offset[k] where element `flat` of the loop lies in operand first + k.
template <int N>
__device__ void locate(const detail::Loop& loop, int first, int64_t flat, int64_t (&offset)[N]) {
  for (int axis = loop.rank - 1; axis >= 0; --axis) {
    const int64_t index = axis > 0 ? take(flat, loop.size[axis]) : flat;
    for (int k = 0; k < N; ++k) offset[k] += index * loop.stride[first + k][axis];
  }
}

/// kWidth neighbours of an operand along an axis where its stride is 0 or 1.
template <int kWidth, class T>
__device__ Pack<T, kWidth> load(const T* at, bool is_contiguous) {
  if (is_contiguous) return *reinterpret_cast<const Pack<T, kWidth>*>(at);
  Pack<T, kWidth> pack;
  for (int i = 0; i < kWidth; ++i) pack.value[i] = *at;
  return pack;
}

/// f on kWidth neighbours; operand k starts at in.at[k] + offset[k], and `contiguous` has bit k set where its
/// stride is 1.
template <int kWidth, class T, class F, int N, size_t... I>
__device__ Pack<T, kWidth> evaluate(F f, const Inputs<T, N>& in, const int64_t* offset, unsigned contiguous,
                                    std::index_sequence<I...>) {
  const Pack<T, kWidth> value[N > 0 ? N : 1] = {load<kWidth>(in.at[I] + offset[I], contiguous >> I & 1)...};
  Pack<T, kWidth> result;
  for (int i = 0; i < kWidth; ++i) result.value[i] = f(value[I].value[i]...);
  return result;
}

template <int kWidth, class T, class F, int N>
__global__ void __launch_bounds__(kThreads)
    map_kernel(detail::Loop loop, int64_t packs, unsigned contiguous, T* out, Inputs<T, N> in, F f) {
  await_turn();
  for (int64_t pack = thread_index(); pack < packs; pack += thread_count()) {
    int64_t offset[N > 0 ? N : 1] = {};
    locate(loop, 1, pack * kWidth, offset);
    *reinterpret_cast<Pack<T, kWidth>*>(out + pack * kWidth) =
        evaluate<kWidth>(f, in, offset, contiguous, std::make_index_sequence<N>());
  }
}

/// What a reduction's kernels have in common.
struct Fold {
  detail::Loop kept, folded;
  int64_t outputs, terms, chunks;  // outputs and terms in packs where packs run along them
  int lanes;
  int columns;          // neighbouring outputs that a block has at a time, where the innermost axis is kept
  unsigned contiguous;  // operands, along the innermost axis
  bool accumulate;
};

/// A lane's share of a chunk's terms, folded in their order: every `lanes`-th from the lane's own on. A few
/// terms are on their way from memory at a time.
template <int kWidth, class Combine, class T, class F, int N>
__device__ double fold_terms(const Fold& fold, int64_t chunk, int lane, int lanes, unsigned contiguous,
                             const int64_t (&base)[N], const Inputs<T, N>& in, F f) {
  constexpr int kAhead = 4;
  double total = Combine::template identity<double>();
  const int64_t end = fold.terms * (chunk + 1) / fold.chunks;
  int64_t first = fold.terms * chunk / fold.chunks + lane;
  const auto fold_some = [&](auto all) {  // all: there are kAhead terms
    Pack<T, kWidth> values[kAhead];
    for (int i = 0; i < kAhead; ++i) {
      const int64_t term = first + int64_t{i} * lanes;
      if (all || term < end) {
        int64_t offset[N];
        for (int k = 0; k < N; ++k) offset[k] = base[k];
        locate(fold.folded, 1, term * kWidth, offset);
        values[i] = evaluate<kWidth>(f, in, offset, contiguous, std::make_index_sequence<N>());
      }
    }
    for (int i = 0; i < kAhead; ++i)
      if (all || first + int64_t{i} * lanes < end)
        for (int w = 0; w < kWidth; ++w) total = Combine{}(total, static_cast<double>(values[i].value[w]));
  };
  for (; first + int64_t{kAhead - 1} * lanes < end; first += int64_t{kAhead} * lanes)
    fold_some(std::true_type());
  if (first < end) fold_some(std::false_type());
  return total;
}

template <class Combine, class T>
__device__ void store(T* to, double total, bool accumulate) {
  *to = static_cast<T>(accumulate ? Combine{}(static_cast<double>(*to), total) : total);
}

/// The innermost axis is folded. Item = chunk * outputs + output; `lanes` neighbouring threads have one item.
/// The result goes to `out` when there is one chunk, to partial[item] otherwise.
template <int kWidth, class Combine, class T, class F, int N>
__global__ void __launch_bounds__(kThreads)
    fold_rows_kernel(Fold fold, T* out, double* partial, Inputs<T, N> in, F f) {
  await_turn();
  __shared__ double shared[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % fold.lanes;
  const int64_t items = fold.outputs * fold.chunks,
                at_once = static_cast<int64_t>(gridDim.x) * (kThreads / fold.lanes);
  // All threads of a block take every turn, as all must reach the barriers.
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads / fold.lanes); first < items;
       first += at_once) {
    const int64_t item = first + static_cast<int>(threadIdx.x) / fold.lanes;
    double total = Combine::template identity<double>();
    if (item < items) {
      const int64_t chunk = quotient(item, fold.outputs), output = item - chunk * fold.outputs;
      int64_t base[N] = {};
      locate(fold.kept, 1, output, base);
      total = fold_terms<kWidth, Combine>(fold, chunk, lane, fold.lanes, fold.contiguous, base, in, f);
    }
    total = fold_lanes<Combine>(total, fold.lanes, shared);
    if (lane == 0 && item < items) {
      if (fold.chunks == 1)
        store<Combine>(out + item, total, fold.accumulate);
      else
        partial[item] = total;
    }
  }
}

/// The innermost axis is kept. A block has fold.columns outputs at a time, and fold.lanes threads for each.
template <class Combine, class T, class F, int N>
__global__ void __launch_bounds__(kThreads)
    fold_columns_kernel(Fold fold, T* out, double* partial, Inputs<T, N> in, F f) {
  await_turn();
  __shared__ double shared[kThreads];
  const int thread = static_cast<int>(threadIdx.x), lane = thread / fold.columns;
  const int64_t tiles = (fold.outputs + fold.columns - 1) / fold.columns;
  for (int64_t tile = blockIdx.x; tile < tiles * fold.chunks; tile += gridDim.x) {
    const int64_t chunk = quotient(tile, tiles),
                  output = (tile - chunk * tiles) * fold.columns + thread % fold.columns;
    double total = Combine::template identity<double>();
    if (output < fold.outputs) {
      int64_t base[N] = {};
      locate(fold.kept, 1, output, base);
      total = fold_terms<1, Combine>(fold, chunk, lane, fold.lanes, 0, base, in, f);
    }
    shared[thread] = total;
    __syncthreads();
    for (int half = fold.lanes / 2; half > 0; half /= 2) {
      if (lane < half) shared[thread] = Combine{}(shared[thread], shared[thread + half * fold.columns]);
      __syncthreads();
    }
    if (lane == 0 && output < fold.outputs) {
      if (fold.chunks == 1)
        store<Combine>(out + output, shared[thread], fold.accumulate);
      else
        partial[chunk * fold.outputs + output] = shared[thread];
    }
    __syncthreads();  // before the next tile's values replace these
  }
}

/// Folds the chunks of every output: partial[chunk * outputs + output], `lanes` threads for each.
template <class Combine, class T>
__global__ void __launch_bounds__(kThreads)
    fold_chunks_kernel(int64_t outputs, int64_t chunks, int lanes, bool accumulate, const double* partial,
                       T* out) {
  await_turn();
  __shared__ double shared[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int64_t at_once = static_cast<int64_t>(gridDim.x) * (kThreads / lanes);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads / lanes); first < outputs;
       first += at_once) {
    const int64_t output = first + static_cast<int>(threadIdx.x) / lanes;
    double total = Combine::template identity<double>();
    if (output < outputs)
      for (int64_t chunk = lane; chunk < chunks; chunk += lanes)
        total = Combine{}(total, partial[chunk * outputs + output]);
    total = fold_lanes<Combine>(total, lanes, shared);
    if (lane == 0 && output < outputs) store<Combine>(out + output, total, accumulate);
  }
}

/// How many threads share `terms` terms, a few for each: a power of two, and at most a warp, which needs no
/// barrier, if that leaves at most eight terms for each thread.
inline int lanes_for(int64_t terms) {
  const int64_t wanted = terms / 4, most = terms <= 8 * kWarp ? kWarp : kThreads;
  return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(wanted, 1, most))));
}

/// Which inputs have stride 1 along an axis of the loop.
inline unsigned contiguous_inputs(const detail::Loop& loop, int inputs, int axis) {
  unsigned bits = 0;
  for (int k = 0; k < inputs; ++k)
    if (loop.stride[1 + k][axis] != 0) bits |= 1u << k;
  return bits;
}

/// Whether packs of `width` never cross the end of the loop's last axis and are aligned in every input.
template <class T, int N>
bool allows_packs(const detail::Loop& loop, const Inputs<T, N>& in, unsigned contiguous, int width) {
  const int last = loop.rank - 1;
  if (loop.size[last] % width != 0) return false;
  for (int k = 0; k < N; ++k) {
    if (!(contiguous >> k & 1)) continue;
    if (!is_packable(in.at[k])) return false;
    for (int axis = 0; axis < last; ++axis)
      if (loop.stride[1 + k][axis] % width != 0) return false;
  }
  return true;
}

/// Packs are for f32, which models are trained in; f64, which checks them, does without, and halves the
/// kernels to compile.
template <class T>
inline constexpr int kMapWidth = sizeof(T) == sizeof(float) ? kPackSize<T> : 1;

/// out[i] = f(in[i]...) over the joint loop of out and the inputs.
template <class T, class F, int N>
void map_into(const detail::Loop& joint, T* out, const Inputs<T, N>& in, F f) {
  const int64_t elements = detail::elements(joint);
  const unsigned contiguous = contiguous_inputs(joint, N, joint.rank - 1);
  constexpr int kWidth = kMapWidth<T>;
  if constexpr (kWidth > 1) {
    if (is_packable(out) && allows_packs(joint, in, contiguous, kWidth))
      return launch("map", map_kernel<kWidth, T, F, N>, blocks_for(elements / kWidth), kThreads, joint,
                    elements / kWidth, contiguous, out, in, f);
  }
  launch("map", map_kernel<1, T, F, N>, blocks_for(elements), kThreads, joint, elements, contiguous, out, in,
         f);
}

/// Folds f(in...) over the axes of the joint loop that out does not have.
template <class Combine, class T, class F, int N>
void reduce(const detail::Loop& joint, T* out, bool accumulate, const Inputs<T, N>& in, F f) {
  const detail::FoldedLoop loops = detail::split(joint);
  Fold fold{.kept = loops.kept,
            .folded = loops.folded,
            .outputs = detail::elements(loops.kept),
            .terms = detail::elements(loops.folded),
            .chunks = 1,
            .lanes = 1,
            .columns = 1,
            .contiguous = 0,
            .accumulate = accumulate};
  const auto chunked = [&](int64_t terms_of_a_chunk) {
    fold.chunks = std::clamp<int64_t>(fold.terms / terms_of_a_chunk, 1, 512);
    return fold.chunks > 1 ? Tensor::empty({fold.chunks * fold.outputs}, DType::f64, Device::cuda) : Tensor();
  };
  Tensor partial;
  const auto partial_data = [&] { return partial.defined() ? partial.data<double>() : nullptr; };
  const bool by_columns = joint.stride[0][joint.rank - 1] != 0 && fold.terms > 1;
  if (by_columns) {
    // A warp's loads are neighbours where the axis is shorter than it, too.
    fold.columns = static_cast<int>(
        std::min<uint64_t>(32, std::bit_ceil(static_cast<uint64_t>(fold.kept.size[fold.kept.rank - 1]))));
    fold.lanes = kThreads / fold.columns;
    partial = chunked(16 * fold.lanes);
    const int64_t tiles = (fold.outputs + fold.columns - 1) / fold.columns;
    launch("map_reduce", fold_columns_kernel<Combine, T, F, N>, blocks_for(tiles * fold.chunks, 1), kThreads,
           fold, out, partial_data(), in, f);
  } else {
    constexpr int kWidth = kMapWidth<T>;
    // Nothing to fold: the empty loop has no innermost axis, and each output is its one term.
    const int last = fold.folded.rank - 1;
    fold.contiguous = last >= 0 ? contiguous_inputs(fold.folded, N, last) : 0;
    bool packs = kWidth > 1 && last >= 0 && allows_packs(fold.folded, in, fold.contiguous, kWidth);
    for (int k = 0; packs && k < N; ++k)
      for (int axis = 0; axis < fold.kept.rank; ++axis)
        packs = packs && (!(fold.contiguous >> k & 1) || fold.kept.stride[1 + k][axis] % kWidth == 0);
    if (packs) fold.terms /= kWidth;
    partial = chunked(2048);
    fold.lanes = lanes_for(fold.terms / fold.chunks);
    const unsigned blocks = blocks_for(fold.outputs * fold.chunks * fold.lanes);
    if (packs)
      launch("map_reduce", fold_rows_kernel<kWidth, Combine, T, F, N>, blocks, kThreads, fold, out,
             partial_data(), in, f);
    else
      launch("map_reduce", fold_rows_kernel<1, Combine, T, F, N>, blocks, kThreads, fold, out, partial_data(),
             in, f);
  }
  if (fold.chunks == 1) return;
  const int lanes = lanes_for(fold.chunks);
  launch("map_reduce", fold_chunks_kernel<Combine, T>, blocks_for(fold.outputs * lanes), kThreads,
         fold.outputs, fold.chunks, lanes, accumulate, static_cast<const double*>(partial.data<double>()),
         out);
}

}  // namespace elbo::cuda
