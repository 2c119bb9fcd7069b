// What kernels of dense layers are made of: a block of threads takes rows forward or backward through layers,
// with activations and one layer's weights in shared memory.
//
// A block has kRows rows at a time. Activations lie in shared memory by unit, (units, kRows), so that a
// thread reads four rows of a unit in one access; it has a tile of 4 rows by 4 units of a layer's result in
// registers. Gradients of weights are summed over parts of a member's rows, which follow from its own rows
// alone, and the parts are joined in order, in double: the same bits whatever other members do. Included by
// kernels only.
#pragma once

#include <tuple>
#include <utility>

#include "autograd/activation.h"
#include "autograd/dense_layers_kernel.h"
#include "tensor/cuda/kernel.h"

namespace elbo::cuda {

constexpr int kWidest = static_cast<int>(kWidestLayer);
constexpr int kRows = 48, kSide = 4;  // a thread's tile is kSide x kSide
constexpr int kAcross = kWidest / kSide, kDown = kRows / kSide;
constexpr int kTileThreads = kAcross * kDown;
constexpr int64_t kMostParts = 256;  // of a member's rows: some two blocks for each multiprocessor
// Of weights a thread sums 4 outputs by kOwnInputs inputs, kInputStep apart, so that neighbours' reads meet
// in few banks of shared memory.
constexpr int kInputStep = kTileThreads * kSide / kWidest,
              kOwnInputs = (kWidest + kInputStep - 1) / kInputStep;

using Quad = Pack<float, kSide>;
// With one quad more than is filled, so that what threads read at once lies in different banks.
using UnitRows = Quad[kRows / kSide + 1];
using WeightRow = Quad[kWidest / kSide + 1];

struct Layer {
  int in, out;
  Activation activation;
  const float* weight;
  const float* bias;
  int64_t kept_at;  // where a kernel keeps what the layer gave
  int64_t sum_at;   // gradients of weights, (out, in), and bias, (out), in those of a part
};

/// Layers whose gradients are summed in parts.
struct LayersInParts {
  Layer layer[kMostLayers];
  int count;
  int64_t members, parts;
  int64_t sums;  // numbers of a part
};

/// Adds a layer, with room for its gradients in the sums of a part.
inline void add_layer(LayersInParts& layers, Layer layer) {
  layer.sum_at = layers.sums;
  layers.sums += int64_t{layer.out} * layer.in + layer.out;
  layers.layer[layers.count++] = layer;
}

/// What a block of threads has in hand: rows of a member.
struct Rows {
  int64_t member, block, first;
  int count;
};

__device__ inline Rows rows_of(int64_t rows, int64_t member, int64_t block) {
  const int64_t first = block * kRows, left = rows - first;
  return {member, block, first, static_cast<int>(left < kRows ? left : kRows)};
}

/// This thread's tile: of rows 4 `down` on, and columns 4 `across` on.
__device__ __forceinline__ int tile_down() { return static_cast<int>(threadIdx.x) / kAcross; }
__device__ __forceinline__ int tile_across() { return static_cast<int>(threadIdx.x) % kAcross; }

__device__ __forceinline__ float& at(Quad* row, int i) { return row[i / kSide].value[i % kSide]; }

/// Calls f with the formula of an activation.
template <class F, size_t... i>
__device__ __forceinline__ void with_formula(Activation activation, const F& f, std::index_sequence<i...>) {
  ((static_cast<size_t>(activation) == i ? f(std::tuple_element_t<i, Activations>{}) : void()), ...);
}
template <class F>
__device__ __forceinline__ void with_formula(Activation activation, const F& f) {
  with_formula(activation, f, std::make_index_sequence<kActivations>{});
}

/// Rows of `width` numbers in memory to (width, kRows); rows beyond `count` are 0.
template <class Number>
__device__ void load_rows(UnitRows* to, int width, int count, const Number& number) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * width; i += kTileThreads) {
    const int row = i / width, unit = i - row * width;
    at(to[unit], row) = row < count ? number(i) : 0.0f;
  }
}

/// The rows of x (M, N, width), or (N, width) that members share.
__device__ inline const float* rows_of_x(const float* x, bool shared_x, int64_t all_rows, int width,
                                         const Rows& rows) {
  return x + ((shared_x ? 0 : rows.member * all_rows) + rows.first) * width;
}

/// The weights (out, in) of a layer by output, or by input where `transposed`.
template <bool transposed>
__device__ void load_weight(const Layer& layer, int64_t member, WeightRow* to) {
  const float* const weight = layer.weight + member * layer.in * layer.out;
  for (int i = static_cast<int>(threadIdx.x); i < layer.in * layer.out; i += kTileThreads) {
    const int out = i / layer.in, in = i - out * layer.in;
    at(to[transposed ? in : out], transposed ? out : in) = weight[i];
  }
}

/// The thread's tile of a product. Columns beyond the product's hold anything, and nobody reads them.
struct Sums {
  float of[kSide][kSide];  // [row][column]
};

/// += rows (inner, kRows) times weight (inner, columns), for the thread's tile.
__device__ inline void multiply(Sums& sums, const UnitRows* rows, const WeightRow* weight, int inner) {
  const int down = tile_down(), across = tile_across();
  for (int l = 0; l < inner; ++l) {
    const Quad a = rows[l][down], b = weight[l][across];
    for (int r = 0; r < kSide; ++r)
      for (int c = 0; c < kSide; ++c) sums.of[r][c] += a.value[r] * b.value[c];
  }
}

/// The tile's columns as they lie in UnitRows.
__device__ inline void store(const Sums& sums, UnitRows* to, int columns) {
  const int down = tile_down(), across = tile_across();
  for (int c = 0; c < kSide; ++c) {
    Quad quad;
    for (int r = 0; r < kSide; ++r) quad.value[r] = sums.of[r][c];
    if (across * kSide + c < columns) to[across * kSide + c][down] = quad;
  }
}

/// Of layers one after another, the last of which are heads that all read the output of the layer before.
struct Chain {
  const Layer* layers;
  int count, hidden;  // the rest are heads
};

/// Forward: `in` holds the first layer's input, and is overwritten. output(l, sums) gets the thread's tile of
/// what layer l gave. All threads of the block must call this, and wait before they read others' outputs.
template <class Output>
__device__ void go_forward(const Chain& chain, int64_t member, UnitRows* in, WeightRow* weight,
                           const Output& output) {
  const int across = tile_across();
  for (int l = 0; l < chain.count; ++l) {
    const Layer& layer = chain.layers[l];
    load_weight<true>(layer, member, weight);
    __syncthreads();
    Sums sums{};
    if (across * kSide < layer.out) {
      for (int c = 0; c < kSide; ++c) {
        const int unit = across * kSide + c;
        const float bias = unit < layer.out ? layer.bias[member * layer.out + unit] : 0.0f;
        for (int r = 0; r < kSide; ++r) sums.of[r][c] = bias;
      }
      multiply(sums, in, weight, layer.in);
      with_formula(layer.activation, [&](auto formula) {
        for (int r = 0; r < kSide; ++r)
          for (int c = 0; c < kSide; ++c) sums.of[r][c] = formula(sums.of[r][c]);
      });
    }
    __syncthreads();  // all have read what the next layer's replace
    if (l < chain.hidden) store(sums, in, layer.out);
    output(l, sums);
  }
}

/// The block's share of the gradients of a layer's weights and bias, to the sums of its part, of which it is
/// the `first` or one more.
__device__ inline void add_to_part(const Layer& layer, const UnitRows* in, const UnitRows* d, float* part,
                                   bool first) {
  const int column = static_cast<int>(threadIdx.x) % kInputStep;
  const int out = static_cast<int>(threadIdx.x) / kInputStep * kSide;
  float* const to = part + layer.sum_at;
  float sums[kSide][kOwnInputs] = {};
  if (out < layer.out && column < layer.in) {
    for (int down = 0; down < kDown; ++down) {
      Quad of_d[kSide];
      for (int o = 0; o < kSide; ++o) of_d[o] = out + o < layer.out ? d[out + o][down] : Quad{};
      for (int c = 0; c < kOwnInputs; ++c) {
        if (column + c * kInputStep >= layer.in) continue;
        const Quad of_in = in[column + c * kInputStep][down];
        for (int o = 0; o < kSide; ++o)
          for (int r = 0; r < kSide; ++r) sums[o][c] += of_d[o].value[r] * of_in.value[r];
      }
    }
    for (int o = 0; o < kSide; ++o)
      for (int c = 0; c < kOwnInputs; ++c) {
        if (out + o >= layer.out || column + c * kInputStep >= layer.in) continue;
        float& own = to[(out + o) * layer.in + column + c * kInputStep];
        own = (first ? 0.0f : own) + sums[o][c];
      }
  }
  for (int o = static_cast<int>(threadIdx.x); o < layer.out; o += kTileThreads) {
    float sum = 0;
    for (int down = 0; down < kDown; ++down)
      for (int r = 0; r < kSide; ++r) sum += d[o][down].value[r];
    float& own = to[layer.out * layer.in + o];
    own = (first ? 0.0f : own) + sum;
  }
}

/// Backward: adds the gradients of weights to the part's, and returns the thread's tile of the gradient of
/// what the chain reads, if that is wanted. load_input(l) puts what layer l reads to `in`, and
/// load_gradient(l) the gradient of what head l's product gave to `d`. All threads of the block must call
/// this.
template <class LoadInput, class LoadGradient>
__device__ Sums go_backward(const Chain& chain, int64_t member, UnitRows* in, UnitRows* d, WeightRow* weight,
                            float* part, bool first, bool wants_input, const LoadInput& load_input,
                            const LoadGradient& load_gradient) {
  const int down = tile_down(), across = tile_across();
  load_input(chain.hidden);
  Sums sums{};  // the gradient of what the layer reads
  for (int l = chain.count - 1; l >= 0; --l) {
    const Layer& layer = chain.layers[l];
    if (l >= chain.hidden) {
      load_gradient(l);
    } else {
      // `in` is what this layer gave.
      if (across * kSide < layer.out)
        with_formula(layer.activation, [&](auto formula) {
          for (int c = 0; c < kSide; ++c) {
            const Quad y = in[across * kSide + c][down];
            for (int r = 0; r < kSide; ++r) sums.of[r][c] = formula.backward(y.value[r], sums.of[r][c]);
          }
        });
      store(sums, d, layer.out);
      sums = {};
      __syncthreads();  // all have read `in`
      load_input(l);
    }
    load_weight<false>(layer, member, weight);
    __syncthreads();
    add_to_part(layer, in, d, part, first);
    if ((l > 0 || wants_input) && across * kSide < layer.in) multiply(sums, d, weight, layer.out);
    __syncthreads();  // all have read what the next layer's replace
  }
  return sums;
}

/// Enqueues the gradients of the layers' weights and biases, from their parts (members, parts, sums) and
/// times `scale` (M), unless that is null.
void join_parts(const LayersInParts& layers, const SmallLayerGradients<float>* gradients, const float* parts,
                const float* scale);

}  // namespace elbo::cuda
