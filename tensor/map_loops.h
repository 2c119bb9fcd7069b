// The definitions of map and map_reduce (tensor/map.h), for files with formulas of their own.
//
// From a functor come the CPU loop (vectorised, threaded) here and, in a build with CUDA, the kernel
// (tensor/cuda/map_kernels.h). So every file that includes this one is compiled as CUDA there
// (cmake/cuda.cmake), which takes twenty times as long: what only uses the formulas of map.h includes that.
//
//   struct Bent { template <class T> ELBO_HD T operator()(T x, T y) const { return x * math::exp(-y); } };
//   Tensor z = map(Bent{}, x, y);                       // x (N, D), y (D) -> z (N, D)
//   Tensor rows = map_reduce<Sum>({n, 1}, Bent{}, x, y);
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "tensor/function_ref.h"
#include "tensor/loop.h"
#include "tensor/map.h"
#include "tensor/parallel.h"

#if defined(ELBO_HAS_CUDA)
#  if !defined(__CUDACC__) && !defined(ELBO_CUDA_EMULATED)
#    error "map_loops.h makes kernels: compile this file as CUDA (cmake/cuda.cmake)"
#  endif
#  include "tensor/cuda/map_kernels.h"
#endif

namespace elbo {
namespace detail {

inline constexpr int64_t kBlock = 512;  // elements a formula is evaluated on at once, in cache
inline constexpr int64_t kLanes = 8;    // elements written at a time where an exact count would be slower

/// Consecutive elements of a space, seen as rows and columns of its last two axes. Short rows are taken many
/// at a time: a loop over two elements costs more to start than to run.
struct MapTile {
  int64_t rows = 1;
  int64_t columns = 1;
};

/// A joint space cut into tiles. The axes around the tiles, and the blocks of the one axis that is longer
/// than a tile, are either `kept` (the output, which is the first operand, has them; they number the work
/// items, which own disjoint outputs) or `folded` (they number the terms of an item; `map` has none). The
/// plan follows from the shapes alone, so that neither the thread count nor other members change a result.
struct MapPlan {
  Loop kept, folded;
  MapTile tile;  // of full size
  int64_t row_stride[kMaxOperands] = {};
  int64_t column_stride[kMaxOperands] = {};
  bool rows_are_kept = false, columns_are_kept = false;
  bool rows_are_cut = false;  // into blocks of tile.rows; else the columns are, of tile.columns
  int64_t cut_size = 1;       // of that axis
  int64_t items = 1, terms = 1;

  bool cut_is_kept() const { return rows_are_cut ? rows_are_kept : columns_are_kept; }
  /// The tile of an item, or of a term if the cut axis is folded. The last block of an axis may be smaller.
  MapTile tile_at(int64_t item_or_term) const;
};
MapPlan plan_tiles(const Loop& joint);

template <class T, class F, class... Pointers>
void evaluate_block(int64_t n, F f, T* out, Pointers... in) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = f(in[i]...);
}

/// Writes out an operand's values in a tile where they are not contiguous in memory.
template <class T>
const T* expand(const T* at, int64_t row_stride, int64_t column_stride, MapTile tile, T* expanded) {
  const int64_t n = tile.rows * tile.columns;
  if (column_stride != 0) {  // every row is the same
    std::copy_n(at, tile.columns, expanded);
    for (int64_t done = tile.columns; done < n; done *= 2)
      std::copy_n(expanded, std::min(done, n - done), expanded + done);
  } else if (tile.rows == 1 || row_stride == 0) {
    std::fill_n(expanded, n, *at);
  } else {
    // Every row is one value; the next row overwrites what a row writes beyond its end.
    for (int64_t row = 0; row < tile.rows; ++row)
      for (int64_t i = 0; i < tile.columns; i += kLanes)
        std::fill_n(expanded + row * tile.columns + i, kLanes, at[row * row_stride]);
  }
  return expanded;
}

/// An operand's values in a tile as a contiguous run: the memory itself, or `expanded`, kBlock + kLanes long.
template <class T>
const T* run_of(const T* at, int64_t row_stride, int64_t column_stride, MapTile tile, T* expanded) {
  const bool is_contiguous = column_stride != 0 && (tile.rows == 1 || row_stride == tile.columns);
  return is_contiguous ? at : expand(at, row_stride, column_stride, tile, expanded);
}

/// Evaluates f on a tile into out[0..rows*columns). The operands start at in[k] + offset[k].
template <class T, size_t N, class F, size_t... I>
void evaluate_tile(MapTile tile, const int64_t* offset, const int64_t* row_stride,
                   const int64_t* column_stride, F f, const std::array<const T*, N>& in, T* out,
                   std::index_sequence<I...>) {
  alignas(64) T expanded[N + 1][kBlock + kLanes];
  evaluate_block(tile.rows * tile.columns, f, out,
                 run_of(in[I] + offset[I], row_stride[I], column_stride[I], tile, expanded[I])...);
}

template <class T, class... In>
std::array<const T*, sizeof...(In)> pointers(const In&... in) {
  return {in.template data<T>()...};
}

/// Throws unless all operands are where the output is. True when that is the GPU.
template <class... In>
bool is_on_gpu(const Tensor& out, const In&... in) {
  for (Device device : {in.device()...})
    if (device != out.device())
      fail("[map] operands are on {} and on {}; move one with to(Device)", name(out.device()), name(device));
  return out.device() == Device::cuda;
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

/// Writes a formula's values on a tile whose operands, the output first, begin `offset` elements in. So the
/// loops over tiles are compiled once, not once for each formula.
template <class T>
using TileFormula = FunctionRef<void(MapTile tile, const int64_t* offset, T* values)>;

/// f of the operands at in[k], as a TileFormula.
template <class T, class F, size_t N>
auto tile_formula(const MapPlan& plan, F f, const std::array<const T*, N>& in) {
  return [&plan, f, &in](MapTile tile, const int64_t* offset, T* values) {
    evaluate_tile(tile, offset + 1, plan.row_stride + 1, plan.column_stride + 1, f, in, values,
                  std::make_index_sequence<N>());
  };
}

/// Carries out the plan of a map, and of a reduction. Combine is Sum or Max, T float or double.
template <class T>
void map(const MapPlan& plan, T* out, const TileFormula<T>& formula);
template <class Combine, class T>
void reduce(const MapPlan& plan, const Tensor& out, bool accumulate, const TileFormula<T>& formula);

}  // namespace detail

template <class F, class... In>
void map_into(const Tensor& out, F f, const In&... in) {
  const detail::Loop joint = detail::plan_loop(out.shape(), {&out.shape(), &in.shape()...});
  visit_floating(out.dtype(), "map", [&](auto zero) {
    using T = decltype(zero);
    const auto inputs = detail::pointers<T>(in...);
    T* const output = out.template data<T>();
    if (out.elements() == 0) return;
#if defined(ELBO_HAS_CUDA)
    if (detail::is_on_gpu(out, in...)) {
      cuda::map_into(joint, output, cuda::Inputs<T, sizeof...(In)>{{in.template data<T>()...}}, f);
      return;
    }
#endif
    const detail::MapPlan plan = detail::plan_tiles(joint);
    const auto formula = detail::tile_formula<T>(plan, f, inputs);
    detail::map<T>(plan, output, formula);
  });
}

template <class F, class First, class... Rest>
Tensor map(F f, const First& first, const Rest&... rest) {
  Tensor out = Tensor::empty(detail::broadcast_all("map", first, rest...), first.dtype(), first.device());
  map_into(out, f, first, rest...);
  return out;
}

template <class Combine, class F, class... In>
void map_reduce_into(const Tensor& out, bool accumulate, F f, const In&... in) {
  const Shape space = detail::broadcast_all("map_reduce", out, in...);
  const detail::Loop joint = detail::plan_loop(space, {&out.shape(), &in.shape()...});
  visit_floating(out.dtype(), "map_reduce", [&](auto zero) {
    using T = decltype(zero);
    const auto inputs = detail::pointers<T>(in...);
    if (space.elements() == 0) {
      if (!accumulate) out.fill(Combine::template identity<T>());
      return;
    }
#if defined(ELBO_HAS_CUDA)
    if (detail::is_on_gpu(out, in...)) {
      cuda::reduce<Combine>(joint, out.template data<T>(), accumulate,
                            cuda::Inputs<T, sizeof...(In)>{{in.template data<T>()...}}, f);
      return;
    }
#endif
    const detail::MapPlan plan = detail::plan_tiles(joint);
    const auto formula = detail::tile_formula<T>(plan, f, inputs);
    detail::reduce<Combine, T>(plan, out, accumulate, formula);
  });
}

template <class Combine, class F, class First, class... Rest>
Tensor map_reduce(const Shape& shape, F f, const First& first, const Rest&... rest) {
  Tensor out = Tensor::empty(shape, first.dtype(), first.device());
  map_reduce_into<Combine>(out, false, f, first, rest...);
  return out;
}

}  // namespace elbo
