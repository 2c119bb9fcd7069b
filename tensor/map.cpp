#include "tensor/map_loops.h"

namespace elbo {
namespace detail {

MapPlan plan_tiles(const Loop& joint) {
  MapPlan plan;
  const int last = joint.rank - 1;
  const int64_t inner = joint.size[last];
  plan.rows_are_cut = last > 0 && 2 * inner <= kBlock;
  const int cut = plan.rows_are_cut ? last - 1 : last;
  plan.cut_size = joint.size[cut];
  plan.tile = plan.rows_are_cut ? MapTile{std::min(kBlock / inner, plan.cut_size), inner}
                                : MapTile{1, std::min(kBlock, inner)};
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
  return plan;
}

MapTile MapPlan::tile_at(int64_t item_or_term) const {
  MapTile result = tile;
  int64_t& size = rows_are_cut ? result.rows : result.columns;
  const int64_t blocks = (cut_size + size - 1) / size;
  size = std::min(size, cut_size - item_or_term % blocks * size);
  return result;
}

namespace {

/// Folds n >= kWidth values into one, kWidth at a time.
template <class Combine, int64_t kWidth, class T>
T fold_lanes(const T* v, int64_t n) {
  alignas(64) T lane[kWidth];
  std::copy_n(v, kWidth, lane);
  int64_t i = kWidth;
  for (; i + kWidth <= n; i += kWidth) {
#pragma omp simd
    for (int64_t l = 0; l < kWidth; ++l) lane[l] = Combine{}(lane[l], v[i + l]);
  }
#pragma omp simd
  for (int64_t l = 0; l < n - i; ++l) lane[l] = Combine{}(lane[l], v[i + l]);
  for (int64_t half = kWidth / 2; half > 0; half /= 2) {
#pragma omp simd
    for (int64_t l = 0; l < half; ++l) lane[l] = Combine{}(lane[l], lane[l + half]);
  }
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

/// Folds each of `rows` rows of `width` values into one: v[0..rows). The order depends on the width alone, so
/// that a row's result is the same beside others.
template <class Combine, class T>
void fold_columns(T* v, int64_t rows, int64_t width) {
  if (width >= 16) {
    for (int64_t row = 0; row < rows; ++row) {
      const T* const from = v + row * width;
      v[row] = width >= 128 ? fold_lanes<Combine, 64>(from, width) : fold_lanes<Combine, 16>(from, width);
    }
    return;
  }
  // Neighbours first, as long as they pair up: that loop vectorises over all rows at once.
  alignas(64) T spare[kBlock];
  T *from = v, *to = spare;
  for (; width % 2 == 0; width /= 2, std::swap(from, to)) {
#pragma omp simd
    for (int64_t i = 0; i < rows * width / 2; ++i) to[i] = Combine{}(from[2 * i], from[2 * i + 1]);
  }
  if (width == 1) {
    std::copy_n(from, rows, v);
    return;
  }
  for (int64_t row = 0; row < rows; ++row) {
    T total = from[row * width];
    for (int64_t i = 1; i < width; ++i) total = Combine{}(total, from[row * width + i]);
    v[row] = total;
  }
}

/// Folds a tile's values onto the outputs that it has, which end up at the start of `v`.
template <class Combine, class T>
void fold_tile(const MapPlan& plan, MapTile tile, T* v) {
  if (plan.columns_are_kept) {
    if (!plan.rows_are_kept) fold_rows<Combine>(v, tile.rows, tile.columns);
  } else if (plan.rows_are_kept) {
    fold_columns<Combine>(v, tile.rows, tile.columns);
  } else {
    fold_columns<Combine>(v, 1, tile.rows * tile.columns);
  }
}

/// How many outputs a tile has.
int64_t outputs_of(const MapPlan& plan, MapTile tile) {
  return (plan.rows_are_kept ? tile.rows : 1) * (plan.columns_are_kept ? tile.columns : 1);
}

/// Folds terms first..last-1 of an item into `totals`, one for each of its outputs.
template <class Combine, class T>
void fold_item(const MapPlan& plan, int64_t item, int64_t first, int64_t last, const TileFormula<T>& formula,
               double* totals) {
  alignas(64) T values[kBlock];
  alignas(64) T partial[kBlock];
  const MapTile first_tile = plan.tile_at(plan.cut_is_kept() ? item : first);
  const int64_t outputs = outputs_of(plan, first_tile);
  // Few terms are joined in T before they go to double, so that long f32 sums keep their precision.
  const int64_t terms_in_t = outputs < 64 ? 1 : 8;
  int64_t base[kMaxOperands] = {};
  seek(plan.kept, item, kMaxOperands, base);
  std::fill_n(totals, outputs, Combine::template identity<double>());
  for (int64_t term = first; term < last;) {
    const int64_t end = std::min(term + terms_in_t, last);
    for (const int64_t start = term; term < end; ++term) {
      int64_t offset[kMaxOperands];
      std::copy_n(base, kMaxOperands, offset);
      seek(plan.folded, term, kMaxOperands, offset);
      const MapTile tile = plan.cut_is_kept() ? first_tile : plan.tile_at(term);
      T* const v = term == start ? partial : values;
      formula(tile, offset, v);
      fold_tile<Combine>(plan, tile, v);
      if (term == start) continue;
#pragma omp simd
      for (int64_t i = 0; i < outputs; ++i) partial[i] = Combine{}(partial[i], values[i]);
    }
#pragma omp simd
    for (int64_t i = 0; i < outputs; ++i) totals[i] = Combine{}(totals[i], static_cast<double>(partial[i]));
  }
}

/// Writes an item's totals where they belong in the output.
template <class Combine, class T>
void store_item(const MapPlan& plan, int64_t item, const double* totals, bool accumulate, T* out) {
  int64_t offset[kMaxOperands] = {};
  seek(plan.kept, item, 1, offset);
  const int64_t outputs = outputs_of(plan, plan.tile_at(plan.cut_is_kept() ? item : 0));
  // The outputs are neighbours: where both axes of a tile are kept, its rows follow each other in the output.
  T* const to = out + offset[0];
  for (int64_t i = 0; i < outputs; ++i)
    to[i] = static_cast<T>(accumulate ? Combine{}(static_cast<double>(to[i]), totals[i]) : totals[i]);
}

}  // namespace

template <class T>
void map(const MapPlan& plan, T* out, const TileFormula<T>& formula) {
  parallel_for(plan.items, kParallelGrain / (plan.tile.rows * plan.tile.columns),
               [&](int64_t begin, int64_t end) {
                 for (int64_t item = begin; item < end; ++item) {
                   int64_t offset[kMaxOperands] = {};
                   seek(plan.kept, item, kMaxOperands, offset);
                   formula(plan.tile_at(item), offset, out + offset[0]);
                 }
               });
}

template <class Combine, class T>
void reduce(const MapPlan& plan, const Tensor& out, bool accumulate, const TileFormula<T>& formula) {
  T* const output = out.data<T>();
  // The terms of large items are split into chunks; how many follows from the shapes alone.
  const int64_t item_elements = plan.terms * plan.tile.rows * plan.tile.columns;
  const int64_t chunks =
      std::clamp<int64_t>(item_elements / (2 * kParallelGrain), 1, std::min<int64_t>(plan.terms, 32));
  const int64_t work = plan.items * chunks, grain = kParallelGrain / (item_elements / chunks);
  if (chunks == 1) {
    parallel_for(work, grain, [&](int64_t begin, int64_t end) {
      alignas(64) double totals[kBlock];
      for (int64_t item = begin; item < end; ++item) {
        fold_item<Combine, T>(plan, item, 0, plan.terms, formula, totals);
        store_item<Combine, T>(plan, item, totals, accumulate, output);
      }
    });
    return;
  }
  const int64_t outputs = outputs_of(plan, plan.tile);
  const Tensor buffer = Tensor::empty({plan.items, chunks, outputs}, DType::f64);
  double* const totals = buffer.data<double>();
  parallel_for(work, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t item = i / chunks, chunk = i % chunks;
      fold_item<Combine, T>(plan, item, plan.terms * chunk / chunks, plan.terms * (chunk + 1) / chunks,
                            formula, totals + i * outputs);
    }
  });
  for (int64_t item = 0; item < plan.items; ++item) {
    double* const total = totals + item * chunks * outputs;
    const int64_t own = outputs_of(plan, plan.tile_at(plan.cut_is_kept() ? item : 0));
    for (int64_t chunk = 1; chunk < chunks; ++chunk)
      for (int64_t i = 0; i < own; ++i) total[i] = Combine{}(total[i], total[chunk * outputs + i]);
    store_item<Combine, T>(plan, item, total, accumulate, output);
  }
}

template void map(const MapPlan&, float*, const TileFormula<float>&);
template void map(const MapPlan&, double*, const TileFormula<double>&);
template void reduce<Sum>(const MapPlan&, const Tensor&, bool, const TileFormula<float>&);
template void reduce<Sum>(const MapPlan&, const Tensor&, bool, const TileFormula<double>&);
template void reduce<Max>(const MapPlan&, const Tensor&, bool, const TileFormula<float>&);
template void reduce<Max>(const MapPlan&, const Tensor&, bool, const TileFormula<double>&);

}  // namespace detail

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (!broadcasts_to(shape, x.shape()))
    fail("[sum_to] {} was not broadcast from {}", x.shape().str(), shape.str());
  if (x.elements() == shape.elements()) return x.reshape(shape);
  return map_reduce<Sum>(shape, Identity{}, x);
}

void add_into(const Tensor& target, const Tensor& x) { map_into(target, Sum{}, target, x); }

// The formulas of map.h, made once for everyone.
template void map_into(const Tensor&, Identity, const Tensor&);
template void map_into(const Tensor&, SquareOf, const Tensor&);
template void map_into(const Tensor&, Scaled, const Tensor&);
template void map_into(const Tensor&, Product, const Tensor&, const Tensor&);
template void map_into(const Tensor&, Difference, const Tensor&, const Tensor&);
template Tensor map(Identity, const Tensor&);
template Tensor map(SquareOf, const Tensor&);
template Tensor map(Scaled, const Tensor&);
template Tensor map(Product, const Tensor&, const Tensor&);
template Tensor map(Difference, const Tensor&, const Tensor&);
template void map_reduce_into<Sum>(const Tensor&, bool, Identity, const Tensor&);
template void map_reduce_into<Sum>(const Tensor&, bool, SquareOf, const Tensor&);
template void map_reduce_into<Sum>(const Tensor&, bool, Scaled, const Tensor&);
template void map_reduce_into<Sum>(const Tensor&, bool, Product, const Tensor&, const Tensor&);
template void map_reduce_into<Sum>(const Tensor&, bool, Difference, const Tensor&, const Tensor&);
template void map_reduce_into<Sum>(const Tensor&, bool, SquareOfDifference, const Tensor&, const Tensor&);
template void map_reduce_into<Max>(const Tensor&, bool, Identity, const Tensor&);
template void map_reduce_into<Max>(const Tensor&, bool, Scaled, const Tensor&);
template Tensor map_reduce<Sum>(const Shape&, Identity, const Tensor&);
template Tensor map_reduce<Sum>(const Shape&, SquareOf, const Tensor&);
template Tensor map_reduce<Sum>(const Shape&, Scaled, const Tensor&);
template Tensor map_reduce<Sum>(const Shape&, Product, const Tensor&, const Tensor&);
template Tensor map_reduce<Sum>(const Shape&, SquareOfDifference, const Tensor&, const Tensor&);
template Tensor map_reduce<Max>(const Shape&, Identity, const Tensor&);
template Tensor map_reduce<Max>(const Shape&, Scaled, const Tensor&);

}  // namespace elbo
