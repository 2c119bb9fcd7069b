#include "tensor/map.h"

namespace elbo {
namespace detail {

Loop plan_loop(const Shape& space, std::initializer_list<const Shape*> operands) {
  if (operands.size() > kMaxOperands) fail("[map] more than {} operands", kMaxOperands);
  // Strides of each operand over the axes of the space; a missing or size-1 axis has stride 0.
  int64_t stride[kMaxOperands][Shape::kMaxRank] = {};
  int count = 0;
  for (const Shape* shape : operands) {
    if (!broadcasts_to(*shape, space)) fail("[map] {} does not broadcast to {}", shape->str(), space.str());
    int64_t step = 1;
    for (int back = 1; back <= shape->rank(); ++back) {
      stride[count][space.rank() - back] = (*shape)[-back] == 1 ? 0 : step;
      step *= (*shape)[-back];
    }
    ++count;
  }
  // Merge from the innermost axis outwards.
  Loop reversed;
  for (int axis = space.rank() - 1; axis >= 0; --axis) {
    if (space[axis] == 1) continue;
    bool merges = reversed.rank > 0;
    const int inner = reversed.rank - 1;
    for (int k = 0; merges && k < count; ++k)
      merges = stride[k][axis] == reversed.stride[k][inner] * reversed.size[inner];
    if (merges) {
      reversed.size[inner] *= space[axis];
      continue;
    }
    reversed.size[reversed.rank] = space[axis];
    for (int k = 0; k < count; ++k) reversed.stride[k][reversed.rank] = stride[k][axis];
    ++reversed.rank;
  }
  if (reversed.rank == 0) {
    reversed.rank = 1;
    reversed.size[0] = 1;
  }
  Loop loop;
  loop.rank = reversed.rank;
  for (int axis = 0; axis < loop.rank; ++axis) {
    const int from = loop.rank - 1 - axis;
    loop.size[axis] = reversed.size[from];
    for (int k = 0; k < count; ++k) loop.stride[k][axis] = reversed.stride[k][from];
  }
  return loop;
}

ReducePlan plan_reduce(const Loop& joint) {
  ReducePlan plan;
  const int last = joint.rank - 1;
  const int64_t inner = joint.size[last];
  plan.rows_are_cut = last > 0 && 2 * inner <= kBlock;
  const int cut = plan.rows_are_cut ? last - 1 : last;
  plan.cut_size = joint.size[cut];
  plan.tile = plan.rows_are_cut ? Tile{std::min(kBlock / inner, plan.cut_size), inner}
                                : Tile{1, std::min(kBlock, inner)};
  for (int k = 0; k < kMaxOperands; ++k) {
    plan.column_stride[k] = joint.stride[k][last];
    if (plan.rows_are_cut) plan.row_stride[k] = joint.stride[k][cut];
  }
  plan.columns_are_kept = joint.stride[0][last] != 0;
  plan.rows_are_kept = plan.rows_are_cut && joint.stride[0][cut] != 0;

  const int64_t block = plan.rows_are_cut ? plan.tile.rows : plan.tile.columns;
  for (int axis = 0; axis <= cut; ++axis) {
    const bool is_cut = axis == cut;
    const int64_t size = is_cut ? (plan.cut_size + block - 1) / block : joint.size[axis];
    const bool is_kept = joint.stride[0][axis] != 0;
    Loop& loop = is_kept ? plan.kept : plan.folded;
    loop.size[loop.rank] = size;
    for (int k = 0; k < kMaxOperands; ++k)
      loop.stride[k][loop.rank] = joint.stride[k][axis] * (is_cut ? block : 1);
    ++loop.rank;
    (is_kept ? plan.items : plan.terms) *= size;
  }
  const int64_t elements_per_item = plan.terms * plan.tile.rows * plan.tile.columns;
  plan.chunks =
      std::clamp<int64_t>(elements_per_item / (2 * kParallelGrain), 1, std::min<int64_t>(plan.terms, 32));
  return plan;
}

namespace {

/// Adds to `offset` where element `flat` of the loop's axes lies in every operand.
void seek(const Loop& loop, int64_t flat, int64_t* offset) {
  for (int axis = loop.rank - 1; axis >= 0; --axis) {
    const int64_t index = axis > 0 ? flat % loop.size[axis] : flat;
    if (axis > 0) flat /= loop.size[axis];
    for (int k = 0; k < kMaxOperands; ++k) offset[k] += index * loop.stride[k][axis];
  }
}

constexpr int64_t kFoldLanes = 16;

/// Folds n values into one.
template <class Combine, class T>
T fold_run(const T* v, int64_t n) {
  if (n < kFoldLanes) {
    T total = v[0];
    for (int64_t i = 1; i < n; ++i) total = Combine{}(total, v[i]);
    return total;
  }
  alignas(64) T lane[4 * kFoldLanes];
  int64_t i = kFoldLanes, width = kFoldLanes;
  if (n >= 8 * kFoldLanes) {
    width = 4 * kFoldLanes;
    std::copy_n(v, width, lane);
    for (i = width; i + width <= n; i += width) {
#pragma omp simd
      for (int64_t l = 0; l < 4 * kFoldLanes; ++l) lane[l] = Combine{}(lane[l], v[i + l]);
    }
#pragma omp simd
    for (int64_t l = 0; l < 2 * kFoldLanes; ++l) lane[l] = Combine{}(lane[l], lane[l + 2 * kFoldLanes]);
#pragma omp simd
    for (int64_t l = 0; l < kFoldLanes; ++l) lane[l] = Combine{}(lane[l], lane[l + kFoldLanes]);
  } else {
    std::copy_n(v, kFoldLanes, lane);
  }
  for (; i + kFoldLanes <= n; i += kFoldLanes) {
#pragma omp simd
    for (int64_t l = 0; l < kFoldLanes; ++l) lane[l] = Combine{}(lane[l], v[i + l]);
  }
  for (int64_t l = 0; i + l < n; ++l) lane[l] = Combine{}(lane[l], v[i + l]);
  for (int64_t half = kFoldLanes / 2; half > 0; half /= 2)
    for (int64_t l = 0; l < half; ++l) lane[l] = Combine{}(lane[l], lane[l + half]);
  return lane[0];
}

/// Folds `rows` rows of `width` values into the first, half onto half.
template <class Combine, class T>
void fold_rows(T* v, int64_t rows, int64_t width) {
  while (rows > 1) {
    const int64_t half = rows / 2, distance = (rows - half) * width;
#pragma omp simd
    for (int64_t i = 0; i < half * width; ++i) v[i] = Combine{}(v[i], v[i + distance]);
    rows -= half;
  }
}

/// Folds each of `rows` rows of `width` values into one: v[0..rows). The order depends on the width alone.
template <class Combine, class T>
void fold_columns(T* v, int64_t rows, int64_t width) {
  if (width >= kFoldLanes) {
    for (int64_t row = 0; row < rows; ++row) v[row] = fold_run<Combine>(v + row * width, width);
    return;
  }
  // Neighbours first, as long as they pair up: that loop vectorises over all rows at once.
  alignas(64) T spare[kBlock];
  T *from = v, *to = spare;
  for (; width % 2 == 0; width /= 2, std::swap(from, to)) {
#pragma omp simd
    for (int64_t i = 0; i < rows * width / 2; ++i) to[i] = Combine{}(from[2 * i], from[2 * i + 1]);
  }
  if (width == 1)
    std::copy_n(from, rows, v);
  else
    for (int64_t row = 0; row < rows; ++row) v[row] = fold_run<Combine>(from + row * width, width);
}

/// Folds a tile's values onto the outputs that it has, which end up at the start of `v`.
template <class Combine, class T>
void fold_tile(const ReducePlan& plan, Tile tile, T* v) {
  if (plan.columns_are_kept) {
    if (!plan.rows_are_kept) fold_rows<Combine>(v, tile.rows, tile.columns);
  } else if (plan.rows_are_kept) {
    fold_columns<Combine>(v, tile.rows, tile.columns);
  } else {
    v[0] = fold_run<Combine>(v, tile.rows * tile.columns);
  }
}

/// Folds terms first..last-1 of an item into its outputs.
template <class Combine, class T>
void reduce_item(const ReducePlan& plan, int64_t item, int64_t first, int64_t last,
                 const TileFormula<T>& formula, T* out, bool accumulate) {
  // At most so many terms are joined in T before they go to double: long f32 sums keep their precision.
  constexpr int64_t kTermsInT = 32;
  alignas(64) T values[kBlock];
  alignas(64) T partial[kBlock];
  alignas(64) double total[kBlock];
  const int64_t block = plan.rows_are_cut ? plan.tile.rows : plan.tile.columns;
  const int64_t blocks = (plan.cut_size + block - 1) / block;
  const bool cut_is_kept = plan.rows_are_cut ? plan.rows_are_kept : plan.columns_are_kept;
  const auto tile_at = [&](int64_t flat) {
    Tile tile = plan.tile;
    (plan.rows_are_cut ? tile.rows : tile.columns) = std::min(block, plan.cut_size - flat % blocks * block);
    return tile;
  };
  const Tile kept_tile = tile_at(cut_is_kept ? item : first);
  const int64_t rows = plan.rows_are_kept ? kept_tile.rows : 1;
  const int64_t columns = plan.columns_are_kept ? kept_tile.columns : 1;
  const int64_t outputs = rows * columns;
  int64_t base[kMaxOperands] = {};
  seek(plan.kept, item, base);
  std::fill_n(total, outputs, Combine::template identity<double>());
  for (int64_t term = first; term < last;) {
    const int64_t end = std::min(term + kTermsInT, last);
    for (int64_t start = term; term < end; ++term) {
      int64_t offset[kMaxOperands];
      std::copy_n(base, kMaxOperands, offset);
      seek(plan.folded, term, offset);
      const Tile tile = cut_is_kept ? kept_tile : tile_at(term);
      T* const v = term == start ? partial : values;
      formula(tile, offset, v);
      fold_tile<Combine>(plan, tile, v);
      if (term == start) continue;
#pragma omp simd
      for (int64_t i = 0; i < outputs; ++i) partial[i] = Combine{}(partial[i], values[i]);
    }
#pragma omp simd
    for (int64_t i = 0; i < outputs; ++i) total[i] = Combine{}(total[i], static_cast<double>(partial[i]));
  }
  const bool dense = plan.row_stride[0] == columns;
  const int64_t runs = dense ? 1 : rows, run = dense ? outputs : columns;
  for (int64_t row = 0; row < runs; ++row) {
    T* const target = out + base[0] + row * plan.row_stride[0];
    for (int64_t i = 0; i < run; ++i) {
      const double sum = total[row * columns + i];
      target[i] = static_cast<T>(accumulate ? Combine{}(static_cast<double>(target[i]), sum) : sum);
    }
  }
}

}  // namespace

template <class Combine, class T>
void reduce(const ReducePlan& plan, const Tensor& out, bool accumulate, const TileFormula<T>& formula) {
  const int64_t elements = out.elements();
  // With several chunks each folds into a buffer of its own.
  const Tensor buffer =
      plan.chunks > 1 ? Tensor::empty({plan.chunks, elements}, out.dtype(), out.device()) : Tensor();
  T* const output = out.data<T>();
  T* const partial = plan.chunks > 1 ? buffer.data<T>() : nullptr;
  const int64_t chunk_elements = plan.terms * plan.tile.rows * plan.tile.columns / plan.chunks;
  parallel_for(plan.items * plan.chunks, std::max<int64_t>(1, kParallelGrain / chunk_elements),
               [&](int64_t begin, int64_t end) {
                 for (int64_t work = begin; work < end; ++work) {
                   const int64_t chunk = work / plan.items, item = work % plan.items;
                   reduce_item<Combine, T>(
                       plan, item, plan.terms * chunk / plan.chunks, plan.terms * (chunk + 1) / plan.chunks,
                       formula, partial ? partial + chunk * elements : output, !partial && accumulate);
                 }
               });
  for (int64_t chunk = 0; partial && chunk < plan.chunks; ++chunk) {
    const T* const part = partial + chunk * elements;
    const bool overwrite = chunk == 0 && !accumulate;
#pragma omp simd
    for (int64_t i = 0; i < elements; ++i) output[i] = overwrite ? part[i] : Combine{}(output[i], part[i]);
  }
}

template void reduce<Sum>(const ReducePlan&, const Tensor&, bool, const TileFormula<float>&);
template void reduce<Sum>(const ReducePlan&, const Tensor&, bool, const TileFormula<double>&);
template void reduce<Max>(const ReducePlan&, const Tensor&, bool, const TileFormula<float>&);
template void reduce<Max>(const ReducePlan&, const Tensor&, bool, const TileFormula<double>&);

}  // namespace detail

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (!broadcasts_to(shape, x.shape()))
    fail("[sum_to] {} was not broadcast from {}", x.shape().str(), shape.str());
  if (x.elements() == shape.elements()) return x.reshape(shape);
  return map_reduce<Sum>(shape, Identity{}, x);
}

void add_into(const Tensor& target, const Tensor& x) { map_into(target, Sum{}, target, x); }

}  // namespace elbo
