// A block has kRows rows at a time. Activations lie in shared memory by unit, (units, kRows), so that a
// thread reads four rows of a unit in one access; it has a tile of 4 rows by 4 units of a layer's result in
// registers. Gradients of weights are summed over parts of a member's rows, which follow from its own rows
// alone, and the parts are joined in order, in double: the same bits whatever other members do.
#include "autograd/dense_layers_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include <algorithm>
#  include <tuple>
#  include <utility>

#  include "autograd/activation.h"
#  include "tensor/cuda/kernel.h"
#  include "tensor/tensor.h"

namespace elbo::cuda {
namespace {

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
  int64_t kept_at;  // what a hidden layer gave, (out, kRows), in that of a block's
  int64_t sum_at;   // gradients of weights, (out, in), and bias, (out), in those of a part
};

/// A SmallNetwork as kernels get it.
struct Network {
  Layer layer[kMostLayers];
  int layers, hidden;  // the rest are heads
  int64_t members, rows, blocks, parts;
  int64_t kept, sums;  // numbers of a block, and of a part
  const float* x;
  bool shared_x;
};

struct Heads {
  float* y[kMostLayers];
};
struct HeadGradients {
  const float* y[kMostLayers];
  const float* dy[kMostLayers];
};
struct LayerGradients {
  SmallLayerGradients<float> layer[kMostLayers];
};

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

/// What a block of threads has in hand: rows of a member.
struct Rows {
  int64_t member, block, first;
  int count;
};

__device__ Rows rows_of(const Network& n, int64_t member, int64_t block) {
  const int64_t first = block * kRows, left = n.rows - first;
  return {member, block, first, static_cast<int>(left < kRows ? left : kRows)};
}

/// Rows of `width` numbers in memory to (width, kRows); rows beyond `count` are 0.
template <class Number>
__device__ void load_rows(UnitRows* to, int width, int count, const Number& number) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * width; i += kTileThreads) {
    const int row = i / width, unit = i - row * width;
    at(to[unit], row) = row < count ? number(i) : 0.0f;
  }
}

__device__ void load_x(const Network& n, const Rows& rows, UnitRows* to) {
  const int width = n.layer[0].in;
  const float* const x = n.x + ((n.shared_x ? 0 : rows.member * n.rows) + rows.first) * width;
  load_rows(to, width, rows.count, [&](int i) { return x[i]; });
}

/// What a layer reads: what was kept of the layer below, or x.
__device__ void load_input(const Network& n, const Rows& rows, int layer, const float* kept, UnitRows* to) {
  if (layer == 0) return load_x(n, rows, to);
  const Layer& below = n.layer[layer - 1];
  const Quad* const from =
      reinterpret_cast<const Quad*>(kept + (rows.member * n.blocks + rows.block) * n.kept + below.kept_at);
  for (int i = static_cast<int>(threadIdx.x); i < below.out * kDown; i += kTileThreads)
    to[i / kDown][i % kDown] = from[i];
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

/// += rows (inner, kRows) times weight (inner, columns), for the tile of rows 4 `down` and columns 4
/// `across`.
__device__ void multiply(Sums& sums, const UnitRows* rows, const WeightRow* weight, int inner, int down,
                         int across) {
  for (int l = 0; l < inner; ++l) {
    const Quad a = rows[l][down], b = weight[l][across];
    for (int r = 0; r < kSide; ++r)
      for (int c = 0; c < kSide; ++c) sums.of[r][c] += a.value[r] * b.value[c];
  }
}

/// The tile's columns as they lie in UnitRows.
__device__ void store(const Sums& sums, UnitRows* to, int columns, int down, int across) {
  for (int c = 0; c < kSide; ++c) {
    Quad quad;
    for (int r = 0; r < kSide; ++r) quad.value[r] = sums.of[r][c];
    if (across * kSide + c < columns) to[across * kSide + c][down] = quad;
  }
}

/// The tile as it lies in an array (M, rows, width).
__device__ void store_rows(const Sums& sums, const Network& n, const Rows& rows, float* to, int width,
                           int down, int across) {
  for (int r = 0; r < kSide; ++r) {
    const int row = down * kSide + r;
    if (row >= rows.count) return;
    float* const own = to + (rows.member * n.rows + rows.first + row) * width;
    for (int c = 0; c < kSide; ++c)
      if (across * kSide + c < width) own[across * kSide + c] = sums.of[r][c];
  }
}

__global__ void __launch_bounds__(kTileThreads) dense_layers_kernel(Network n, Heads heads, float* kept) {
  await_turn();
  __shared__ UnitRows in[kWidest];
  __shared__ WeightRow weight[kWidest];
  const int down = static_cast<int>(threadIdx.x) / kAcross, across = static_cast<int>(threadIdx.x) % kAcross;
  for (int64_t item = blockIdx.x; item < n.members * n.blocks; item += gridDim.x) {
    int64_t member = item;
    const int64_t block = take(member, n.blocks);
    const Rows rows = rows_of(n, member, block);
    load_x(n, rows, in);
    for (int l = 0; l < n.layers; ++l) {
      const Layer& layer = n.layer[l];
      load_weight<true>(layer, member, weight);
      __syncthreads();
      Sums sums{};
      if (across * kSide < layer.out) {
        for (int c = 0; c < kSide; ++c) {
          const int unit = across * kSide + c;
          const float bias = unit < layer.out ? layer.bias[member * layer.out + unit] : 0.0f;
          for (int r = 0; r < kSide; ++r) sums.of[r][c] = bias;
        }
        multiply(sums, in, weight, layer.in, down, across);
        with_formula(layer.activation, [&](auto formula) {
          for (int r = 0; r < kSide; ++r)
            for (int c = 0; c < kSide; ++c) sums.of[r][c] = formula(sums.of[r][c]);
        });
      }
      __syncthreads();  // all have read what the next layer's replace
      if (l >= n.hidden) {
        store_rows(sums, n, rows, heads.y[l - n.hidden], layer.out, down, across);
        continue;
      }
      store(sums, in, layer.out, down, across);
      if (!kept) continue;
      Quad* const to = reinterpret_cast<Quad*>(kept + item * n.kept + layer.kept_at);
      for (int unit = across * kSide; unit < (across + 1) * kSide && unit < layer.out; ++unit)
        to[unit * kDown + down] = in[unit][down];
    }
  }
}

/// The block's share of the gradients of a layer's weights and bias, to the sums of its part, of which it is
/// the `first` or one more.
__device__ void add_to_part(const Layer& layer, const UnitRows* in, const UnitRows* d, float* part,
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

/// Sums of every part, and dx unless that is null.
__global__ void __launch_bounds__(kTileThreads)
    dense_layers_backward_kernel(Network n, HeadGradients heads, const float* kept, float* dx, float* parts) {
  await_turn();
  __shared__ UnitRows in[kWidest];
  __shared__ UnitRows d[kWidest];
  __shared__ WeightRow weight[kWidest];
  const int down = static_cast<int>(threadIdx.x) / kAcross, across = static_cast<int>(threadIdx.x) % kAcross;
  for (int64_t item = blockIdx.x; item < n.members * n.parts; item += gridDim.x) {
    int64_t member = item;
    const int64_t part = take(member, n.parts), begin = n.blocks * part / n.parts;
    float* const own = parts + item * n.sums;
    for (int64_t block = begin; block < n.blocks * (part + 1) / n.parts; ++block) {
      const Rows rows = rows_of(n, member, block);
      load_input(n, rows, n.hidden, kept, in);
      Sums sums{};  // the gradient of what the layer reads
      for (int l = n.layers - 1; l >= 0; --l) {
        const Layer& layer = n.layer[l];
        if (l >= n.hidden) {
          const int64_t from = (member * n.rows + rows.first) * layer.out;
          const float *const y = heads.y[l - n.hidden] + from, *const dy = heads.dy[l - n.hidden] + from;
          with_formula(layer.activation, [&](auto formula) {
            load_rows(d, layer.out, rows.count, [&](int i) { return formula.backward(y[i], dy[i]); });
          });
        } else {
          // `in` is what this layer gave.
          if (across * kSide < layer.out)
            with_formula(layer.activation, [&](auto formula) {
              for (int c = 0; c < kSide; ++c) {
                const Quad y = in[across * kSide + c][down];
                for (int r = 0; r < kSide; ++r) sums.of[r][c] = formula.backward(y.value[r], sums.of[r][c]);
              }
            });
          store(sums, d, layer.out, down, across);
          sums = {};
          __syncthreads();  // all have read `in`
          load_input(n, rows, l, kept, in);
        }
        load_weight<false>(layer, member, weight);
        __syncthreads();
        add_to_part(layer, in, d, own, block == begin);
        if ((l > 0 || dx) && across * kSide < layer.in) multiply(sums, d, weight, layer.out, down, across);
        __syncthreads();  // all have read what the next layer's replace
      }
      if (dx) store_rows(sums, n, rows, dx, n.layer[0].in, down, across);
    }
  }
}

constexpr int kJoined = kWarp,
              kJoiners = kThreads / kWarp;  // numbers that a block has at a time; threads of each

/// The layers' gradients, of their weights (the grid's first row) or biases (its second), from those of the
/// parts. Layers come one after another: of a parameter that several have, the same thread adds them up.
__global__ void __launch_bounds__(kThreads)
    join_layers_kernel(Network n, LayerGradients gradients, const float* parts) {
  await_turn();
  __shared__ double shared[kJoiners][kJoined];
  const bool is_bias = blockIdx.y == 1;
  for (int l = 0; l < n.layers; ++l) {
    const Layer& layer = n.layer[l];
    const SmallLayerGradients<float>& g = gradients.layer[l];
    float* const to = is_bias ? g.bias : g.weight;
    const bool add = is_bias ? g.add_to_bias : g.add_to_weight;
    if (!to) continue;
    const int64_t each = is_bias ? layer.out : layer.out * layer.in, all = n.members * each;
    const float* const from = parts + layer.sum_at + (is_bias ? layer.out * layer.in : 0);
    const int lane = static_cast<int>(threadIdx.x) % kJoined,
              joiner = static_cast<int>(threadIdx.x) / kJoined;
    for (int64_t first = int64_t{blockIdx.x} * kJoined; first < all; first += int64_t{gridDim.x} * kJoined) {
      int64_t member = first + lane;
      const bool is_there = member < all;
      const int64_t number = take(member, each);
      double sum = 0;
      if (is_there)
        for (int64_t p = n.parts * joiner / kJoiners; p < n.parts * (joiner + 1) / kJoiners; ++p)
          sum += static_cast<double>(from[(member * n.parts + p) * n.sums + number]);
      shared[joiner][lane] = sum;
      __syncthreads();
      if (joiner == 0 && is_there) {
        for (int j = 1; j < kJoiners; ++j) sum += shared[j][lane];
        float& own = to[first + lane];
        own = (add ? own : 0.0f) + static_cast<float>(sum);
      }
      __syncthreads();  // before the next numbers' sums replace these
    }
  }
}

Network network_of(const SmallNetwork<float>& network, std::span<const Activation> activations) {
  Network n{};
  n.layers = static_cast<int>(network.layers.size());
  n.hidden = n.layers - static_cast<int>(network.heads);
  for (int l = 0; l < n.layers; ++l) {
    const SmallLayer<float>& small = network.layers[static_cast<size_t>(l)];
    n.layer[l] = {static_cast<int>(small.in),
                  static_cast<int>(small.out),
                  activations[static_cast<size_t>(l)],
                  small.weight,
                  small.bias,
                  n.kept,
                  n.sums};
    if (l < n.hidden) n.kept += small.out * kRows;
    n.sums += small.out * small.in + small.out;
  }
  n.members = network.members;
  n.rows = network.rows;
  n.blocks = (n.rows + kRows - 1) / kRows;
  n.parts = std::min(n.blocks, kMostParts);
  n.x = network.x;
  n.shared_x = network.shared_x;
  return n;
}

}  // namespace

int64_t kept_numbers(const SmallNetwork<float>& network) {
  int64_t units = 0;
  for (size_t l = 0; l + static_cast<size_t>(network.heads) < network.layers.size(); ++l)
    units += network.layers[l].out;
  return network.members * ((network.rows + kRows - 1) / kRows) * units * kRows;
}

void run_layers(const SmallNetwork<float>& network, std::span<const Activation> activations, float* const* y,
                float* kept) {
  const Network n = network_of(network, activations);
  Heads heads{};
  std::copy_n(y, network.heads, heads.y);
  launch("dense_layers", dense_layers_kernel, blocks_for(n.members * n.blocks, 1), kTileThreads, n, heads,
         kept);
}

void differentiate_layers(const SmallNetwork<float>& network, std::span<const Activation> activations,
                          const float* kept, const float* const* y, const float* const* dy, float* dx,
                          const SmallLayerGradients<float>* gradients) {
  const Network n = network_of(network, activations);
  HeadGradients heads{};
  std::copy_n(y, network.heads, heads.y);
  std::copy_n(dy, network.heads, heads.dy);
  LayerGradients wanted{};
  std::copy_n(gradients, n.layers, wanted.layer);
  const Tensor parts = Tensor::empty({n.members * n.parts * n.sums}, DType::f32, Device::cuda);
  launch("dense_layers", dense_layers_backward_kernel, blocks_for(n.members * n.parts, 1), kTileThreads, n,
         heads, kept, dx, parts.data<float>());
  int64_t most = 1;
  for (int l = 0; l < n.layers; ++l) most = std::max<int64_t>(most, n.layer[l].in * n.layer[l].out);
  launch("dense_layers", join_layers_kernel, dim3(blocks_for(n.members * most, kJoined), 2), kThreads, n,
         wanted, static_cast<const float*>(parts.data<float>()));
}

}  // namespace elbo::cuda

#endif
