// map and map_reduce: the two loops behind every pointwise op and every reduction.
//
// `map` evaluates a formula at every index of a broadcast space; `map_reduce` evaluates it and folds the
// values into a smaller shape, summing (or taking the maximum) over every axis that the smaller shape lacks.
// A formula is a small functor marked ELBO_HD, written once; from it come the CPU loop (vectorised, threaded)
// here and, when this header is compiled as CUDA, the kernel. Broadcasting is index arithmetic: nothing is
// ever expanded in memory.
//
//   struct Square { template <class T> ELBO_HD T operator()(T x) const { return x * x; } };
//   Tensor y = map(Square{}, x);                        // x (N, D) -> y (N, D)
//   Tensor norms = map_reduce<Sum>({N, 1}, Square{}, x);  // x (N, D) -> norms (N, 1)
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "tensor/math.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace elbo {

struct Sum {
  template <class T>
  static constexpr T identity() {
    return T(0);
  }
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return a + b;
  }
};

struct Max {
  template <class T>
  static constexpr T identity() {
    return -std::numeric_limits<T>::infinity();
  }
  /// A NaN on either side stays.
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return (a > b || a != a) ? a : b;
  }
};

namespace detail {

inline constexpr int kMaxOperands = 6;
inline constexpr int64_t kBlock = 256;  // elements a broadcast operand is expanded to, in cache

/// An iteration space with adjacent axes merged where every operand allows it; stride 0 marks a broadcast
/// axis.
struct Loop {
  int rank = 0;
  int64_t size[Shape::kMaxRank] = {};
  int64_t stride[kMaxOperands][Shape::kMaxRank] = {};
};

/// Plans the walk of operands (each broadcastable to `space`) through `space`. The result has rank >= 1.
Loop plan_loop(const Shape& space, std::initializer_list<const Shape*> operands);

/// Where each operand stands at a position of some axes of a Loop; advanced like an odometer.
struct Cursor {
  int64_t index[Shape::kMaxRank] = {};
  int64_t offset[kMaxOperands] = {};
};

template <class T, class F, class... Pointers>
void evaluate_block(int64_t n, F f, T* out, Pointers... in) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = f(in[i]...);
}

/// Operand k's next `n` <= kBlock values as a contiguous run: the memory itself, or its one value repeated.
template <class T>
const T* block_of(const T* at, int64_t stride, int64_t n, T* expanded) {
  if (stride != 0) return at;
  std::fill_n(expanded, n, *at);
  return expanded;
}

/// Evaluates f at elements begin..end of the space into out[begin..end].
template <class T, size_t N, class F, size_t... I>
void map_range(const Loop& loop, int64_t begin, int64_t end, F f, T* out, const std::array<const T*, N>& in,
               std::index_sequence<I...>) {
  const int last = loop.rank - 1;
  const int64_t inner = loop.size[last];
  alignas(64) T expanded[N + 1][kBlock];
  const bool any_broadcast = ((loop.stride[I][last] == 0) || ... || false);
  Cursor at;
  int64_t rest = begin;
  for (int axis = last; axis >= 0; --axis) {
    at.index[axis] = rest % loop.size[axis];
    rest /= loop.size[axis];
    ((at.offset[I] += at.index[axis] * loop.stride[I][axis]), ...);
  }
  while (begin < end) {
    int64_t n = std::min(end - begin, inner - at.index[last]);
    if (any_broadcast) n = std::min(n, kBlock);
    evaluate_block(n, f, out + begin,
                   block_of(in[I] + at.offset[I], loop.stride[I][last], n, expanded[I])...);
    begin += n;
    at.index[last] += n;
    ((at.offset[I] += n * loop.stride[I][last]), ...);
    for (int axis = last; axis > 0 && at.index[axis] == loop.size[axis]; --axis) {
      at.index[axis] = 0;
      ++at.index[axis - 1];
      ((at.offset[I] += loop.stride[I][axis - 1] - loop.size[axis] * loop.stride[I][axis]), ...);
    }
  }
}

template <class T, class... In>
std::array<const T*, sizeof...(In)> pointers(const In&... in) {
  return {in.template data<T>()...};
}

template <class In>
Shape broadcast_all(const char*, const In& only) {
  return only.shape();
}
template <class First, class Second, class... Rest>
Shape broadcast_all(const char* where, const First& first, const Second& second, const Rest&... rest) {
  Shape shape = broadcast(first.shape(), second.shape(), where);
  ((shape = broadcast(shape, rest.shape(), where)), ...);
  return shape;
}

/// A vectorised fold of f over n contiguous elements.
template <class Combine, class T, class F, class... Pointers>
T fold_block(int64_t n, F f, Pointers... in) {
  T total = Combine::template identity<T>();
  if constexpr (std::is_same_v<Combine, Sum>) {
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) total += f(in[i]...);
  } else {
    for (int64_t i = 0; i < n; ++i) total = Combine{}(total, f(in[i]...));
  }
  return total;
}

template <class Combine, class T, class F, class... Pointers>
void fold_into_row(int64_t n, F f, T* row, Pointers... in) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) row[i] = Combine{}(row[i], f(in[i]...));
}

/// The axes of a reduction sorted by what happens to them; `kept` axes number the outputs, `folded` ones are
/// summed.
struct ReducePlan {
  Loop kept, folded;    // strides as in the joint loop; operand 0 is the output
  int64_t outputs = 1;  // product of kept sizes, without the inner axis when that is kept
  int64_t terms = 1;    // what an output folds: rows when the inner axis is kept, elements when it is folded
  int64_t inner = 1;    // contiguous run: of folded terms, or of kept outputs
  bool inner_is_kept = false;
  int64_t chunks = 1;  // fixed split of `terms`, whatever the thread count, so sums do not depend on it
};
ReducePlan plan_reduce(const Loop& joint);

inline void seek(const Loop& loop, int64_t flat, int operands, int64_t* offset) {
  for (int axis = loop.rank - 1; axis >= 0; --axis) {
    const int64_t index = flat % loop.size[axis];
    flat /= loop.size[axis];
    for (int k = 0; k < operands; ++k) offset[k] += index * loop.stride[k][axis];
  }
}

/// Folds part of the terms of one output row (inner axis kept: terms first..last-1 are whole rows), or of one
/// output (inner axis folded: first..last-1 count single elements).
template <class Combine, class T, size_t N, class F, size_t... I>
void reduce_one(const ReducePlan& plan, int64_t output, int64_t first, int64_t last, F f, T* out,
                const std::array<const T*, N>& in, std::index_sequence<I...>) {
  constexpr int kOperands = static_cast<int>(N) + 1;
  alignas(64) T expanded[N + 1][kBlock];
  const Loop& inner_of = plan.inner_is_kept ? plan.kept : plan.folded;
  const auto block = [&](auto k, const int64_t* offset, int64_t i, int64_t n) {
    const int64_t stride = inner_of.stride[k + 1][Shape::kMaxRank - 1];
    return block_of(in[k] + offset[k + 1] + i * stride, stride, n, expanded[k]);
  };
  int64_t base[kMaxOperands] = {};
  seek(plan.kept, output, kOperands, base);
  int64_t offset[kMaxOperands];
  if (plan.inner_is_kept) {
    for (int64_t term = first; term < last; ++term) {
      std::copy(base, base + kMaxOperands, offset);
      seek(plan.folded, term, kOperands, offset);
      for (int64_t i = 0; i < plan.inner; i += kBlock) {
        const int64_t n = std::min(kBlock, plan.inner - i);
        fold_into_row<Combine>(n, f, out + base[0] + i,
                               block(std::integral_constant<size_t, I>{}, offset, i, n)...);
      }
    }
    return;
  }
  // Blocks are folded in T and joined in double: long f32 sums keep their precision.
  double total = Combine::template identity<double>();
  for (int64_t element = first; element < last;) {
    const int64_t term = element / plan.inner, end = std::min(last, (term + 1) * plan.inner);
    std::copy(base, base + kMaxOperands, offset);
    seek(plan.folded, term, kOperands, offset);
    while (element < end) {
      const int64_t i = element - term * plan.inner, n = std::min(kBlock, end - element);
      total = Combine{}(total, static_cast<double>(fold_block<Combine, T>(
                                   n, f, block(std::integral_constant<size_t, I>{}, offset, i, n)...)));
      element += n;
    }
  }
  out[base[0]] = Combine{}(out[base[0]], static_cast<T>(total));
}

}  // namespace detail

/// out[i] = f(in[i]...) for every index of out; each `in` broadcasts to out's shape. `out` may be one of
/// `in`.
template <class F, class... In>
void map_into(const Tensor& out, F f, const In&... in) {
  const detail::Loop loop = detail::plan_loop(out.shape(), {&in.shape()...});
  visit_floating(out.dtype(), "map", [&](auto zero) {
    using T = decltype(zero);
    const auto inputs = detail::pointers<T>(in...);
    T* const output = out.template data<T>();
    parallel_for(out.elements(), kParallelGrain, [&](int64_t begin, int64_t end) {
      detail::map_range<T>(loop, begin, end, f, output, inputs, std::index_sequence_for<In...>{});
    });
  });
}

/// The new tensor f(in...), of the shape that all `in` broadcast to.
template <class F, class First, class... Rest>
Tensor map(F f, const First& first, const Rest&... rest) {
  Tensor out = Tensor::empty(detail::broadcast_all("map", first, rest...), first.dtype(), first.device());
  map_into(out, f, first, rest...);
  return out;
}

/// Folds f(in...) over the axes where out has size 1 (or no axis) and the inputs' broadcast space has more.
/// With `accumulate` the values are folded onto what out holds, else out is overwritten.
template <class Combine, class F, class... In>
void map_reduce_into(const Tensor& out, bool accumulate, F f, const In&... in) {
  const Shape space = detail::broadcast_all("map_reduce", out, in...);
  const detail::ReducePlan plan =
      detail::plan_reduce(detail::plan_loop(space, {&out.shape(), &in.shape()...}));
  visit_floating(out.dtype(), "map_reduce", [&](auto zero) {
    using T = decltype(zero);
    if (!accumulate) out.fill(Combine::template identity<T>());
    if (space.elements() == 0) return;
    const auto inputs = detail::pointers<T>(in...);
    constexpr auto operands = std::index_sequence_for<In...>{};
    // Fixed chunks each fold into a buffer of their own, and the buffers are joined in order.
    const Tensor partial = plan.chunks == 1 ? Tensor()
                                            : Tensor::full(
                                                  [&] {
                                                    Shape shape{plan.chunks};
                                                    return shape.concatenated(out.shape());
                                                  }(),
                                                  Combine::template identity<T>(), out.dtype(), out.device());
    const int64_t work = plan.outputs * plan.chunks;
    const int64_t grain = std::max<int64_t>(1, kParallelGrain * work / space.elements());
    parallel_for(work, grain, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t chunk = item / plan.outputs, output = item % plan.outputs;
        T* const target = plan.chunks == 1 ? out.template data<T>() : partial.slice(chunk).template data<T>();
        detail::reduce_one<Combine>(plan, output, plan.terms * chunk / plan.chunks,
                                    plan.terms * (chunk + 1) / plan.chunks, f, target, inputs, operands);
      }
    });
    T* const output = out.template data<T>();
    for (int64_t chunk = 0; plan.chunks > 1 && chunk < plan.chunks; ++chunk) {
      const T* const part = partial.slice(chunk).template data<T>();
      detail::fold_into_row<Combine>(
          out.elements(), [](T x) { return x; }, output, part);
    }
  });
}

/// The new tensor of shape `shape` that map_reduce_into would write.
template <class Combine, class F, class First, class... Rest>
Tensor map_reduce(const Shape& shape, F f, const First& first, const Rest&... rest) {
  Tensor out = Tensor::empty(shape, first.dtype(), first.device());
  map_reduce_into<Combine>(out, false, f, first, rest...);
  return out;
}

struct Identity {
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x;
  }
};

/// Sums x down to `shape`, undoing a broadcast from `shape` to x's shape. Shares x when nothing is to be
/// summed.
Tensor sum_to(const Tensor& x, const Shape& shape);

/// target += x, which broadcasts to it.
void add_into(const Tensor& target, const Tensor& x);

}  // namespace elbo
