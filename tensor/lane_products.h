// Products of matrices so small that they lie in the nearest cache, their sums in registers: what
// small_chain.h is made of. Rows of a batch lie in lanes: a unit's numbers of kGroupRows rows are one after
// another, and units follow each other, (units, kGroupRows). So no width is rounded up to whole vectors, and
// weights are read where they are.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "tensor/lanes.h"

namespace elbo {

inline constexpr int kGroupRows = 48;  // whole vectors of every width, and whole tiles of them

/// Read into a register, and kept there.
template <class T>
ELBO_HD Lanes<T> held_lanes(const T* from) {
  Lanes<T> x = load_lanes(from);
  hold_lanes<T>(x);
  return x;
}

// ---------------------------------------------------------------------------------- weights times rows

// A tile of a product has up to so many vectors of rows, and so many units that their sums fill the
// registers.
inline constexpr int kTileVectors = 3;
inline constexpr int kTileUnits = kLaneBytes == 64 ? 8 : 4;

/// out (outs, kGroupRows) = W in, with in (ins, kGroupRows) and W (outs, ins); or W^T in, with W (ins, outs).
/// Each sum runs over `ins` in order, wherever its row lies.
template <class T>
struct LaneProduct {
  int64_t outs, ins;
  const T* weight;
  int64_t weight_width;  // numbers from one row of W to the next
  const T* in;
  T* out;
  const T* start = nullptr;  // (outs), which the sums begin with; else 0, or what is in `out` already
  bool adds = false;
};

template <class T, bool transposed, int units, int vectors>
void product_tile(const LaneProduct<T>& p) {
  constexpr int kLanes = kLanesOf<T>;
  Lanes<T> sum[units][vectors];
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v)
      sum[u][v] = p.start  ? all_lanes(p.start[u])
                  : p.adds ? load_lanes(p.out + u * kGroupRows + v * kLanes)
                           : Lanes<T>{};
  const T *weight = p.weight, *in = p.in;
  for (int64_t i = 0; i < p.ins; ++i, weight += transposed ? p.weight_width : 1, in += kGroupRows) {
    Lanes<T> of_in[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) of_in[v] = held_lanes(in + v * kLanes);
#pragma GCC unroll 8
    for (int u = 0; u < units; ++u) {
      Lanes<T> factor = all_lanes(weight[transposed ? u : u * p.weight_width]);
      hold_lanes<T>(factor);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) sum[u][v] = multiply_add<T>(factor, of_in[v], sum[u][v]);
    }
  }
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) store_lanes(p.out + u * kGroupRows + v * kLanes, sum[u][v]);
}

template <class T, bool transposed, int vectors, int... u>
constexpr auto tiles_of_units(std::integer_sequence<int, u...>) {
  return std::array<void (*)(const LaneProduct<T>&), kTileUnits>{
      product_tile<T, transposed, u + 1, vectors>...};
}
template <class T, bool transposed, int... v>
constexpr auto all_tiles(std::integer_sequence<int, v...>) {
  return std::array{tiles_of_units<T, transposed, v + 1>(std::make_integer_sequence<int, kTileUnits>())...};
}
/// Of every height and width, so that a tile at an edge does no idle work.
template <class T, bool transposed>
inline constexpr auto kProductTiles =
    all_tiles<T, transposed>(std::make_integer_sequence<int, kTileVectors>());

/// All of a product, for the first `rows` rows, rounded up to whole vectors.
template <class T, bool transposed>
void multiply(int64_t rows, const LaneProduct<T>& p) {
  const int64_t vectors = (rows + kLanesOf<T> - 1) / kLanesOf<T>,
                tiles = (p.outs + kTileUnits - 1) / kTileUnits;
  for (int64_t v = 0; v < vectors; v += kTileVectors) {
    const auto& of_height =
        kProductTiles<T, transposed>[static_cast<size_t>(std::min<int64_t>(kTileVectors, vectors - v) - 1)];
    for (int64_t t = 0; t < tiles; ++t) {  // as even as they can be
      const int64_t begin = p.outs * t / tiles, end = p.outs * (t + 1) / tiles;
      LaneProduct<T> tile = p;
      tile.weight += begin * (transposed ? 1 : p.weight_width);
      tile.in += v * kLanesOf<T>;
      tile.out += begin * kGroupRows + v * kLanesOf<T>;
      if (tile.start) tile.start += begin;
      of_height[static_cast<size_t>(end - begin - 1)](tile);
    }
  }
}

// ---------------------------------------------------------------------------------------- sums of rows

/// Of pairs of lanes that are `apart` from each other, the first of a and the second of b; or, `other`, the
/// second of a and the first of b.
template <class T, int apart, bool other, int... i>
ELBO_HD Lanes<T> pick_lanes(Lanes<T> a, Lanes<T> b, std::integer_sequence<int, i...>) {
  constexpr int kFlip = other ? apart : 0;
  return __builtin_shufflevector(a, b, ((i ^ kFlip) + (i & apart ? kLanesOf<T> : 0))...);
}

/// x[0] becomes the sums of the lanes of x[0], x[1], ...
template <class T, int count = kLanesOf<T>>
ELBO_HD void fold_lanes(Lanes<T>* x) {
  if constexpr (count > 1) {
    constexpr int kHalf = count / 2;
    constexpr std::make_integer_sequence<int, kLanesOf<T>> kAll{};
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i)
      x[i] = pick_lanes<T, kHalf, false>(x[i], x[i + kHalf], kAll) +
             pick_lanes<T, kHalf, true>(x[i], x[i + kHalf], kAll);
    fold_lanes<T, kHalf>(x);
  }
}

/// What the rows of a block are in: kGroupRows rows in each group but the last. Unit u of group g lies
/// g * step + u * kGroupRows after the first.
template <class T>
struct Units {
  T* first = nullptr;
  int64_t step = 0;
  T* group(int64_t g) const { return first + g * step; }
  Units<const T> read_only() const { return {first, step}; }
};

// Sums over rows are made for so many units of one side and so many of the other at once, one for each lane.
template <class T>
inline constexpr int kSumOuts = kLanesOf<T> >= 16  ? 4
                                : kLanesOf<T> >= 4 ? 2
                                                   : 1;
template <class T>
inline constexpr int kSumIns = kLanesOf<T> / kSumOuts<T>;

/// Units are stored up to a multiple of this, so that sums at an edge may read units that are not there.
inline constexpr int64_t kUnitsTogether = 4;
static_assert(kUnitsTogether % kSumOuts<float> == 0 && kUnitsTogether % kSumIns<float> == 0 &&
              kUnitsTogether % kSumOuts<double> == 0 && kUnitsTogether % kSumIns<double> == 0);
constexpr int64_t stored_units(int64_t units) {
  return (units + kUnitsTogether - 1) / kUnitsTogether * kUnitsTogether;
}

/// How many numbers `add_sums` has.
constexpr int64_t sums_of(int64_t outs, int64_t ins) { return stored_units(outs) * stored_units(ins); }
/// Where the tile of an output and an input is among them.
template <class T>
constexpr int64_t sum_tile_at(int64_t out, int64_t in, int64_t ins) {
  return (out / kSumOuts<T> * (stored_units(ins) / kSumIns<T>)+in / kSumIns<T>)*kLanesOf<T>;
}

/// sums += d in^T, over `rows` rows: of all pairs of units, tile by tile. Sums of units beyond `outs` and
/// `ins` are of no use.
template <class T>
void add_sums(int64_t rows, int64_t outs, Units<const T> d, int64_t ins, Units<const T> in, T* sums) {
  constexpr int kLanes = kLanesOf<T>, kOuts = kSumOuts<T>, kIns = kSumIns<T>;
  for (int64_t o = 0; o < stored_units(outs); o += kOuts)
    for (int64_t i = 0; i < stored_units(ins); i += kIns, sums += kLanes) {
      Lanes<T> sum[kLanes] = {};
      const T *of_d = d.first + o * kGroupRows, *of_in = in.first + i * kGroupRows;
      for (int64_t left = rows; left > 0; left -= kGroupRows, of_d += d.step, of_in += in.step) {
        const int64_t end = std::min<int64_t>(left, kGroupRows);
        for (int64_t r = 0; r < end; r += kLanes) {
          Lanes<T> x[kIns];
#pragma GCC unroll 4
          for (int b = 0; b < kIns; ++b) x[b] = held_lanes(of_in + b * kGroupRows + r);
#pragma GCC unroll 4
          for (int a = 0; a < kOuts; ++a) {
            const Lanes<T> y = held_lanes(of_d + a * kGroupRows + r);
#pragma GCC unroll 4
            for (int b = 0; b < kIns; ++b) sum[a * kIns + b] = multiply_add<T>(y, x[b], sum[a * kIns + b]);
          }
        }
      }
      fold_lanes<T>(sum);
      store_lanes(sums, load_lanes(sums) + sum[0]);
    }
}

}  // namespace elbo
