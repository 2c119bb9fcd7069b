// Products of matrices so small that they lie in the nearest cache, their sums in registers: what
// small_layers.cpp is made of. Rows are whole vectors of lanes, `width` numbers apart.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "tensor/lanes.h"

namespace elbo {

// A tile of a product has one to three vectors and so many rows that their sums fill the registers.
inline constexpr int kVectors = 3;
constexpr int rows_for(int vectors) { return (kLaneBytes == 64 ? 24 : 12) / vectors; }
inline constexpr int kTileRows = rows_for(1);  // a multiple of the others

/// c (rows, n) = start + a b, with a (rows, depth), and start (n), or zeros where it is null. An outer
/// product is c += a^T b, with a (depth, rows). Rows of b (depth, n) are `width` apart; n is one to three
/// vectors. Each sum runs over the depth in order, wherever its row lies.
template <class T>
struct LaneProduct {
  int64_t depth;
  const T* a;
  int64_t a_width;
  const T* b;
  T* c;
  int64_t width;             // of b and c
  const T* start = nullptr;  // not of an outer one
};

template <class T, bool outer, int rows, int vectors>
void product_tile(const LaneProduct<T>& p) {
  Lanes<T> sum[rows][vectors];
#pragma GCC unroll 24
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) {
      const T* const from = outer ? p.c + i * p.width : p.start;
      sum[i][v] = from ? load_lanes(from + v * kLanesOf<T>) : Lanes<T>{};
    }
  const T *a = p.a, *b = p.b;
  for (int64_t l = 0; l < p.depth; ++l, a += outer ? p.a_width : 1, b += p.width) {
    Lanes<T> from_b[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) {
      from_b[v] = load_lanes(b + v * kLanesOf<T>);
      hold_lanes<T>(from_b[v]);
    }
#pragma GCC unroll 24
    for (int i = 0; i < rows; ++i) {
      const Lanes<T> from_a = all_lanes(a[outer ? i : i * p.a_width]);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) sum[i][v] = multiply_add<T>(from_a, from_b[v], sum[i][v]);
    }
  }
#pragma GCC unroll 24
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) store_lanes(p.c + i * p.width + v * kLanesOf<T>, sum[i][v]);
}

template <class T, int... v>
constexpr auto product_tiles(std::integer_sequence<int, v...>) {
  return std::array<void (*)(const LaneProduct<T>&), sizeof...(v)>{
      product_tile<T, false, rows_for(v + 1), v + 1>...};
}
/// Tiles of every height, so that a tile at an edge does no idle work.
template <class T, int vectors, int... i>
constexpr auto outer_tiles(std::integer_sequence<int, i...>) {
  return std::array<void (*)(const LaneProduct<T>&), kTileRows>{product_tile<T, true, i + 1, vectors>...};
}
template <class T, int... v>
constexpr auto all_outer_tiles(std::integer_sequence<int, v...>) {
  return std::array{outer_tiles<T, v + 1>(std::make_integer_sequence<int, rows_for(v + 1)>())...};
}
template <class T>
inline constexpr auto kProductTiles = product_tiles<T>(std::make_integer_sequence<int, kVectors>());
template <class T>
inline constexpr auto kOuterTiles = all_outer_tiles<T>(std::make_integer_sequence<int, kVectors>());

/// Calls f(first column, vectors) for pieces of a width that are as even as they can be.
template <class T, class F>
void for_each_piece(int64_t width, const F& f) {
  const int64_t vectors = width / kLanesOf<T>, pieces = (vectors + kVectors - 1) / kVectors;
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t begin = vectors * i / pieces, end = vectors * (i + 1) / pieces;
    f(begin * kLanesOf<T>, static_cast<size_t>(end - begin));
  }
}

/// All of a product: `rows` is rounded up to tiles; b and c have p.width columns, a multiple of the lanes.
template <class T>
void multiply(int64_t rows, const LaneProduct<T>& p) {
  for_each_piece<T>(p.width, [&](int64_t column, size_t vectors) {
    LaneProduct<T> tile = p;
    tile.b += column;
    tile.c += column;
    if (tile.start) tile.start += column;
    const int height = rows_for(static_cast<int>(vectors));
    for (int64_t i = 0; i < rows; i += height) {
      kProductTiles<T>[vectors - 1](tile);
      tile.a += height * p.a_width;
      tile.c += height * p.width;
    }
  });
}

/// All of an outer product; a has `rows` columns.
template <class T>
void add_outer(int64_t rows, const LaneProduct<T>& p) {
  for_each_piece<T>(p.width, [&](int64_t column, size_t vectors) {
    const int most = rows_for(static_cast<int>(vectors));
    for (int64_t i = 0; i < rows; i += most) {
      LaneProduct<T> tile = p;
      tile.a += i;
      tile.b += column;
      tile.c += i * p.width + column;
      const auto height = static_cast<size_t>(std::min<int64_t>(most, rows - i));
      kOuterTiles<T>[vectors - 1][height - 1](tile);
    }
  });
}

/// sum (width) += the rows of d.
template <class T>
void add_rows(int64_t count, const T* d, int64_t width, T* sum) {
  for (int64_t j = 0; j < width; j += kLanesOf<T>) {
    Lanes<T> own = load_lanes(sum + j);
    for (int64_t r = 0; r < count; ++r) own += load_lanes(d + r * width + j);
    store_lanes(sum + j, own);
  }
}

}  // namespace elbo
