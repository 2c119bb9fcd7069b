// How a fast matrix product works.
//
// A core multiplies and adds faster than it can fetch numbers from even its nearest cache, and far faster
// than from memory. So everything here is about using each number often once it has been fetched. The sizes
// are those of AVX-512, and in brackets those of AVX2.
//
// 1. Registers. The innermost loop owns a tile of c, 8 x 48 [6 x 16], as 24 [12] vectors in registers. For
//    each l of the inner dimension it loads 48 numbers of row l of op(b), broadcasts 8 of column l of op(a),
//    and adds all their products: 24 instructions of arithmetic for 11 loads [12 for 8]. So many independent
//    sums also hide that one multiply-add takes four cycles.
// 2. Packing. For that loop b is copied, one panel of 48 columns after another, to where row l + 1 follows
//    row l. In place, every row would lie in another page. All rows of a use a panel, which pays for the
//    copy. An a whose rows run along l can be read in place, as a broadcast works with any layout. But with
//    AVX2, which has few registers for the addresses of rows, and where a is transposed, a is copied too, to
//    panels of as many rows as a tile has.
// 3. Caches. A panel of b stays in the L2 [L1] cache while a goes by. The inner dimension is cut into pieces
//    short enough for that, and the rows into blocks small enough for the L2 or L3 cache to give a back for
//    the next panel. The first block of rows packs b, and the others find it packed.
// 4. Memory. While one panel is in use, the loop asks for the next one's cache lines, a few at a time, and
//    packing then finds them near. A tile's lines of c are asked for before its sums begin, and c is
//    written once for each piece, so nobody has to set c to zero before.
//
// On other processors all products are BLAS's.
#include "tensor/gemm_kernel.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tensor/gemm.h"
#include "tensor/lanes.h"
#include "tensor/scratch.h"

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#  define ELBO_OWN_SGEMM
#endif

namespace elbo {

#ifdef ELBO_OWN_SGEMM
namespace {

using Vector = Lanes<float>;
constexpr int kLanes = kLanesOf<float>;

#  ifdef __AVX512F__
constexpr int kRows = 8, kVectors = 3;  // the tile: 24 sums, 3 vectors of b and 1 of a, of 32 registers
constexpr int64_t kDepth = 1024;        // longest piece of the inner dimension: its panel of b takes 192 KiB
constexpr int64_t kBlock = 512;         // most rows of a that go by before the next panel
constexpr bool kPacksA = false;         // whether an a whose rows run along l is packed too

void add_product(Vector x, Vector y, Vector& sum) { sum = _mm512_fmadd_ps(x, y, sum); }

/// The first `count` of 1..16 lanes; the rest are 0. Memory of the other lanes is neither read nor written.
__mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
Vector load_part(const float* from, int64_t count) { return _mm512_maskz_loadu_ps(first_lanes(count), from); }
void store_part(float* to, Vector x, int64_t count) { _mm512_mask_storeu_ps(to, first_lanes(count), x); }
#  else
constexpr int kRows = 6, kVectors = 2;  // 12 sums, 2 vectors of b and up to 2 of a, of 16 registers
constexpr int64_t kDepth = 384;         // a panel of b takes 24 KiB, which is most of the L1 cache
constexpr int64_t kBlock = 96;          // a block of a takes 144 KiB
constexpr bool kPacksA = true;          // six rows in place take six registers for their addresses

/// Written as an instruction: of intrinsics g++ would load operands twice, and move sums to memory.
void add_product(Vector x, Vector y, Vector& sum) {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
}

/// The first `count` of 1..8 lanes; the rest are 0. Memory of the other lanes is neither read nor written.
__m256i first_lanes(int64_t count) {
  static constexpr int kLanesThenNone[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kLanesThenNone + 8 - count));
}
Vector load_part(const float* from, int64_t count) { return _mm256_maskload_ps(from, first_lanes(count)); }
void store_part(float* to, Vector x, int64_t count) { _mm256_maskstore_ps(to, first_lanes(count), x); }
#  endif
constexpr int kPanel = kVectors * kLanes;  // columns of c that a panel of b is for
constexpr int64_t kWide = 1024;            // most columns of b that are packed at a time
constexpr int64_t kLine = 16;              // floats in a cache line

int64_t ceil_divide(int64_t x, int64_t y) { return (x + y - 1) / y; }

// ------------------------------------------------------------------------------------------------- the tile

/// One tile of c, and its operands.
struct Tile {
  int64_t depth;
  const float* a;  // op(a)(i, l) is a[i a_row + l], or where packed a[i + l kRows]
  int64_t a_row;
  const float* b;  // packed: one row of the tile's vectors after another
  float* c;
  int64_t ldc;
  int64_t last;  // columns in the last vector, 1..kLanes
  float alpha;
  bool accumulate;
  const float* ahead;  // cache lines to ask for meanwhile, one every four steps
  int64_t ahead_step;
};

/// The loop that all the time goes to. Both sizes are constants and every loop over them is unrolled, so that
/// `sum` lives in registers. Each sum runs over l in order; no element of c depends on where in c it lies.
template <bool packed, int rows, int vectors>
void multiply_tile(const Tile& t) {
  const int64_t a_row = packed ? 1 : t.a_row, a_step = packed ? kRows : 1;
  Vector sum[rows][vectors] = {};
  const float* a[rows];
  const float* b = t.b;
  const float* ahead = t.ahead;
  int64_t at = 0;
#  pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    a[i] = t.a + i * a_row;
    for (int v = 0; v < vectors; ++v) __builtin_prefetch(t.c + i * t.ldc + v * kLanes, 1);
  }
  const auto step = [&]() __attribute__((always_inline)) {
    Vector from_b[vectors];
#  pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) from_b[v] = load_lanes(b + v * kLanes);
#  pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const Vector from_a = all_lanes(a[i][at]);
#  pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) add_product(from_a, from_b[v], sum[i][v]);
    }
    at += a_step;
    b += vectors * kLanes;
  };
  int64_t l = 0;
  for (; l + 4 <= t.depth; l += 4) {
    __builtin_prefetch(ahead, 0, 2);
    ahead += t.ahead_step;
    step(), step(), step(), step();
  }
  for (; l < t.depth; ++l) step();

  const Vector alpha = all_lanes(t.alpha);
#  pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    float* c = t.c + i * t.ldc;
#  pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v, c += kLanes) {
      const bool part = v == vectors - 1 && t.last < kLanes;
      Vector x{};
      if (t.accumulate) x = part ? load_part(c, t.last) : load_lanes(c);
      add_product(sum[i][v], alpha, x);
      if (part)
        store_part(c, x, t.last);
      else
        store_lanes(c, x);
    }
  }
}

/// multiply_tile for every number of rows and vectors, so that a tile at an edge does no idle work.
template <bool packed, int... i>
constexpr auto all_tiles(std::integer_sequence<int, i...>) {
  return std::array<void (*)(const Tile&), sizeof...(i)>{
      multiply_tile<packed, i / kVectors + 1, i % kVectors + 1>...};
}
template <bool packed>
constexpr auto kTiles = all_tiles<packed>(std::make_integer_sequence<int, kRows * kVectors>());

// -------------------------------------------------------------------------------------------------- packing

template <int distance, bool upper, int... j>
Vector exchange(Vector x, Vector y, std::integer_sequence<int, j...>) {
  return __builtin_shufflevector(x, y,
                                 ((j & distance ? kLanes + j - distance : j) + (upper ? distance : 0))...);
}

/// Transposes kLanes vectors: swaps the off-diagonal halves, then quarters within the halves, down to
/// single elements.
template <int distance = kLanes / 2>
__attribute__((always_inline)) inline void transpose(Vector (&rows)[kLanes]) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
#  pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & distance) continue;
    const Vector x = rows[i], y = rows[i + distance];
    rows[i] = exchange<distance, false>(x, y, kAll);
    rows[i + distance] = exchange<distance, true>(x, y, kAll);
  }
  if constexpr (distance > 1) transpose<distance / 2>(rows);
}

/// Copies rows of `count` numbers, `stride` apart, to rows of `width`, which is count rounded up to vectors;
/// the rest is filled with zeros.
void pack_rows(const float* from, int64_t stride, int64_t rows, int64_t count, float* to, int64_t width) {
  for (int64_t l = 0; l < rows; ++l, from += stride, to += width)
    for (int64_t j = 0; j < width; j += kLanes)
      store_lanes(to + j, j + kLanes <= count ? load_lanes(from + j) : load_part(from + j, count - j));
}

/// The same of a transpose: column l of `count` rows, `stride` apart, becomes row l. Rows are written as
/// whole vectors; where width is less, the next row overwrites the end, and the last row writes beyond its
/// width.
void pack_columns(const float* from, int64_t stride, int64_t columns, int64_t count, float* to,
                  int64_t width) {
  for (int64_t j = 0; j < width; j += kLanes)
    for (int64_t l = 0; l < columns; l += kLanes) {
      const float* corner = from + j * stride + l;
      Vector block[kLanes];
      const int64_t wide = std::min<int64_t>(kLanes, columns - l);
#  pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        block[i] = j + i < count ? load_part(corner + i * stride, wide) : Vector{};
      transpose(block);
      float* out = to + l * width + j;
#  pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        if (i < wide) store_lanes(out + i * width, block[i]);
    }
}

/// Panels of kRows rows of op(a): in a panel, kRows numbers for each l. Up to kLanes numbers more are
/// written.
void pack_a(const float* from, int64_t stride, bool transposed, int64_t rows, int64_t depth, float* to) {
  for (int64_t i = 0; i < rows; i += kRows, to += kRows * depth) {
    const int64_t count = std::min<int64_t>(kRows, rows - i);
    if (!transposed)
      pack_columns(from + i * stride, stride, depth, count, to, kRows);
    else if (count == kRows)
      for (int64_t l = 0; l < depth; ++l)
        std::memcpy(to + l * kRows, from + l * stride + i, kRows * sizeof(float));
    else
      for (int64_t l = 0; l < depth; ++l)
        for (int64_t r = 0; r < count; ++r) to[l * kRows + r] = from[l * stride + i + r];
  }
}

// ------------------------------------------------------------------------------------------ around the tile

/// Rows i0 to i1 of c, panel by panel, for one piece of the inner dimension.
struct Sweep {
  const Sgemm& p;
  int64_t i0, i1, l0, depth;
  bool last;       // the piece that completes c
  bool packed;     // whether a is
  const float* a;  // op(a)(i0, l0), in place or packed
};

/// What of b makes up a panel.
struct Panel {
  int64_t first, columns, vectors;
  const float* source;
};

Panel panel_of(const Sweep& s, int64_t index) {
  const int64_t vectors = ceil_divide(s.p.n, kLanes), panels = ceil_divide(s.p.n, kPanel);
  const int64_t begin = vectors * index / panels, end = vectors * (index + 1) / panels;  // even shares
  const int64_t first = begin * kLanes;
  return {first, std::min(s.p.n, end * kLanes) - first, end - begin,
          s.p.b + (s.p.b_transposed ? first * s.p.ldb + s.l0 : s.l0 * s.p.ldb + first)};
}

void multiply_panel(const Sweep& s, const Panel& panel, const Panel& next, const float* packed_b) {
  const Sgemm& p = s.p;
  Tile t{.depth = s.depth,
         .a = s.a,
         .a_row = p.lda,
         .b = packed_b,
         .c = p.c + s.i0 * p.ldc + panel.first,
         .ldc = p.ldc,
         .last = panel.columns - (panel.vectors - 1) * kLanes,
         .alpha = p.alpha,
         .accumulate = p.accumulate || s.l0 > 0,
         .ahead = nullptr,
         .ahead_step = 0};
  // The next panel's cache lines, in runs along l. The last panel's successor has no columns.
  const int64_t run = p.b_transposed ? ceil_divide(s.depth, kLine) : s.depth;
  const int64_t step = p.b_transposed ? kLine : p.ldb, jump = p.b_transposed ? p.ldb : kLine;
  const int64_t in_row = p.b_transposed ? next.columns : next.columns / kLine + 1;
  const int64_t lines = next.columns > 0 ? run * in_row : 0;
  int64_t line = 0;
  for (int64_t i = s.i0; i < s.i1; i += kRows) {
    const int64_t rows = std::min<int64_t>(kRows, s.i1 - i);
    const bool asks = line < lines;
    t.ahead = asks ? next.source + line % run * step + line / run * jump : packed_b;
    t.ahead_step = asks ? step : 0;
    line += s.depth / 4;
    (s.packed ? kTiles<true>
              : kTiles<false>)[static_cast<size_t>((rows - 1) * kVectors + panel.vectors - 1)](t);
    if (p.finish && s.last)
      (*p.finish)({t.c, p.ldc, p.batch, p.row + i, p.column + panel.first, rows, panel.columns});
    t.a += kRows * (s.packed ? s.depth : p.lda);
    t.c += kRows * p.ldc;
  }
}

/// The product, where op(b) has at most kWide columns.
void multiply_wide(const Sgemm& p) {
  static thread_local Scratch<float> scratch_a, scratch_b;  // at most some (kBlock + kWide) kDepth numbers
  const int64_t pieces = ceil_divide(p.k, kDepth), blocks = ceil_divide(p.m, kBlock);
  const int64_t panels = ceil_divide(p.n, kPanel), tiles = ceil_divide(p.m, kRows);
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t l0 = p.k * piece / pieces, depth = p.k * (piece + 1) / pieces - l0;
    float* const b = scratch_b.at_least(depth * ceil_divide(p.n, kLanes) * kLanes);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t i0 = tiles * block / blocks * kRows;
      const int64_t i1 = std::min(p.m, tiles * (block + 1) / blocks * kRows);
      const bool packs = kPacksA || p.a_transposed;
      const float* a = p.a + (p.a_transposed ? l0 * p.lda + i0 : i0 * p.lda + l0);
      if (packs) {
        float* packed = scratch_a.at_least(ceil_divide(i1 - i0, kRows) * kRows * depth + kLanes);
        pack_a(a, p.lda, p.a_transposed, i1 - i0, depth, packed);
        a = packed;
      }
      const Sweep sweep{p, i0, i1, l0, depth, piece + 1 == pieces, packs, a};
      for (int64_t index = 0; index < panels; ++index) {
        const Panel panel = panel_of(sweep, index);
        float* const packed_b = b + panel.first * depth;
        if (block == 0)
          (p.b_transposed ? pack_columns : pack_rows)(panel.source, p.ldb, depth, panel.columns, packed_b,
                                                      panel.vectors * kLanes);
        multiply_panel(sweep, panel, block == 0 ? panel_of(sweep, index + 1) : Panel{}, packed_b);
      }
    }
  }
}

}  // namespace

bool sgemm_suits(int64_t m, int64_t n, int64_t k) {
  // Measured against OpenBLAS 0.3.21. With AVX-512 it has kernels without packing for products up to a
  // million multiply-adds. Where n leaves many lanes of its last vector idle, BLAS wins too.
  constexpr int64_t kLeastRows = kLanes == 16 ? 8 : 24;
  constexpr double kLeastUsed = kLanes == 16 ? 0.85 : 0.9, kLeastProducts = kLanes == 16 ? 1e6 : 1e5;
  const double used = static_cast<double>(n) / static_cast<double>(ceil_divide(n, kLanes) * kLanes);
  return m >= kLeastRows && used > kLeastUsed &&
         static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) > kLeastProducts;
}

void sgemm(const Sgemm& p) {
  const int64_t wides = ceil_divide(p.n, kWide), vectors = ceil_divide(p.n, kLanes);
  for (int64_t wide = 0; wide < wides; ++wide) {
    const int64_t j0 = vectors * wide / wides * kLanes;
    Sgemm part = p;
    part.n = std::min(p.n, vectors * (wide + 1) / wides * kLanes) - j0;
    part.b += j0 * (p.b_transposed ? p.ldb : 1);
    part.c += j0;
    part.column += j0;
    multiply_wide(part);
  }
}

#else

bool sgemm_suits(int64_t, int64_t, int64_t) { return false; }
void sgemm(const Sgemm&) {}

#endif

}  // namespace elbo
