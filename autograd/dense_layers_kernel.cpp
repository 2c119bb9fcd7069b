// Three kernels: forward, backward with the gradients of weights in parts, and their sum.
#include "autograd/dense_layers_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include <algorithm>

#  include "autograd/dense_layers_device.h"
#  include "tensor/tensor.h"

namespace elbo::cuda {
namespace {

/// A SmallNetwork as kernels get it. A hidden layer's output is kept as (out, kRows), among those of a block.
struct Network {
  LayersInParts all;
  int hidden;  // the rest are heads
  int64_t rows, blocks;
  int64_t kept;  // numbers of a block
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

__device__ Chain chain_of(const Network& n) { return {n.all.layer, n.all.count, n.hidden}; }

/// What a layer reads: what was kept of the layer below, or x.
__device__ void load_input(const Network& n, const Rows& rows, int layer, const float* kept, UnitRows* to) {
  if (layer == 0) {
    const int width = n.all.layer[0].in;
    const float* const x = rows_of_x(n.x, n.shared_x, n.rows, width, rows);
    return load_rows(to, width, rows.count, [&](int i) { return x[i]; });
  }
  const Layer& below = n.all.layer[layer - 1];
  const Quad* const from =
      reinterpret_cast<const Quad*>(kept + (rows.member * n.blocks + rows.block) * n.kept + below.kept_at);
  for (int i = static_cast<int>(threadIdx.x); i < below.out * kDown; i += kTileThreads)
    to[i / kDown][i % kDown] = from[i];
}

/// The tile as it lies in an array (M, rows, width).
__device__ void store_rows(const Sums& sums, const Network& n, const Rows& rows, float* to, int width) {
  const int down = tile_down(), across = tile_across();
  for (int r = 0; r < kSide; ++r) {
    const int row = down * kSide + r;
    if (row >= rows.count) return;
    float* const own = to + (rows.member * n.rows + rows.first + row) * width;
    for (int c = 0; c < kSide; ++c)
      if (across * kSide + c < width) own[across * kSide + c] = sums.of[r][c];
  }
}

__global__ void __launch_bounds__(kTileThreads)
    dense_layers_kernel(const __grid_constant__ Network n, Heads heads, float* kept) {
  await_turn();
  __shared__ UnitRows in[kWidest];
  __shared__ WeightRow weight[kWidest];
  const int down = tile_down(), across = tile_across();
  for (int64_t item = blockIdx.x; item < n.all.members * n.blocks; item += gridDim.x) {
    int64_t member = item;
    const int64_t block = take(member, n.blocks);
    const Rows rows = rows_of(n.rows, member, block);
    load_input(n, rows, 0, kept, in);
    go_forward(chain_of(n), member, in, weight, [&](int l, const Sums& sums) {
      const Layer& layer = n.all.layer[l];
      if (l >= n.hidden) return store_rows(sums, n, rows, heads.y[l - n.hidden], layer.out);
      if (!kept) return;
      Quad* const to = reinterpret_cast<Quad*>(kept + item * n.kept + layer.kept_at);
      for (int unit = across * kSide; unit < (across + 1) * kSide && unit < layer.out; ++unit)
        to[unit * kDown + down] = in[unit][down];
    });
  }
}

/// Sums of every part, and dx unless that is null.
__global__ void __launch_bounds__(kTileThreads)
    dense_layers_backward_kernel(const __grid_constant__ Network n, HeadGradients heads, const float* kept,
                                 float* dx, float* parts) {
  await_turn();
  __shared__ UnitRows in[kWidest];
  __shared__ UnitRows d[kWidest];
  __shared__ WeightRow weight[kWidest];
  for (int64_t item = blockIdx.x; item < n.all.members * n.all.parts; item += gridDim.x) {
    int64_t member = item;
    const int64_t part = take(member, n.all.parts), begin = n.blocks * part / n.all.parts;
    float* const own = parts + item * n.all.sums;
    for (int64_t block = begin; block < n.blocks * (part + 1) / n.all.parts; ++block) {
      const Rows rows = rows_of(n.rows, member, block);
      const Sums sums = go_backward(
          chain_of(n), member, in, d, weight, own, block == begin, dx != nullptr,
          [&](int l) { load_input(n, rows, l, kept, in); },
          [&](int l) {
            const Layer& layer = n.all.layer[l];
            const int64_t from = (member * n.rows + rows.first) * layer.out;
            const float *const y = heads.y[l - n.hidden] + from, *const dy = heads.dy[l - n.hidden] + from;
            with_formula(layer.activation, [&](auto formula) {
              load_rows(d, layer.out, rows.count, [&](int i) { return formula.backward(y[i], dy[i]); });
            });
          });
      if (dx) store_rows(sums, n, rows, dx, n.all.layer[0].in);
    }
  }
}

constexpr int kJoined = kWarp,
              kJoiners = kThreads / kWarp;  // numbers that a block has at a time; threads of each

/// The layers' gradients, of their weights (the grid's first row) or biases (its second), from those of the
/// parts. Layers come one after another: of a parameter that several have, the same thread adds them up.
__global__ void __launch_bounds__(kThreads)
    join_layers_kernel(LayersInParts all, LayerGradients gradients, const float* parts, const float* scale) {
  await_turn();
  __shared__ double shared[kJoiners][kJoined];
  const bool is_bias = blockIdx.y == 1;
  for (int l = 0; l < all.count; ++l) {
    const Layer& layer = all.layer[l];
    const SmallLayerGradients<float>& g = gradients.layer[l];
    float* const to = is_bias ? g.bias : g.weight;
    const bool add = is_bias ? g.add_to_bias : g.add_to_weight;
    if (!to) continue;
    const int64_t each = is_bias ? layer.out : layer.out * layer.in, numbers = all.members * each;
    const float* const from = parts + layer.sum_at + (is_bias ? layer.out * layer.in : 0);
    const int lane = static_cast<int>(threadIdx.x) % kJoined,
              joiner = static_cast<int>(threadIdx.x) / kJoined;
    for (int64_t first = int64_t{blockIdx.x} * kJoined; first < numbers;
         first += int64_t{gridDim.x} * kJoined) {
      int64_t member = first + lane;
      const bool is_there = member < numbers;
      const int64_t number = take(member, each);
      double sum = 0;
      if (is_there)
        for (int64_t p = all.parts * joiner / kJoiners; p < all.parts * (joiner + 1) / kJoiners; ++p)
          sum += static_cast<double>(from[(member * all.parts + p) * all.sums + number]);
      shared[joiner][lane] = sum;
      __syncthreads();
      if (joiner == 0 && is_there) {
        for (int j = 1; j < kJoiners; ++j) sum += shared[j][lane];
        if (scale) sum *= static_cast<double>(scale[member]);
        float& own = to[first + lane];
        own = (add ? own : 0.0f) + static_cast<float>(sum);
      }
      __syncthreads();  // before the next numbers' sums replace these
    }
  }
}

Network network_of(const SmallNetwork<float>& network, std::span<const Activation> activations) {
  Network n{};
  n.hidden = static_cast<int>(network.layers.size() - static_cast<size_t>(network.heads));
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const SmallLayer<float>& small = network.layers[l];
    add_layer(n.all, {.in = static_cast<int>(small.in),
                      .out = static_cast<int>(small.out),
                      .activation = activations[l],
                      .weight = small.weight,
                      .bias = small.bias,
                      .kept_at = n.kept,
                      .sum_at = 0});
    if (n.all.count <= n.hidden) n.kept += small.out * kRows;
  }
  n.rows = network.rows;
  n.blocks = (n.rows + kRows - 1) / kRows;
  n.all.members = network.members;
  n.all.parts = std::min(n.blocks, kMostParts);
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
  launch("dense_layers", dense_layers_kernel, blocks_for(n.all.members * n.blocks, 1), kTileThreads, n, heads,
         kept);
}

void differentiate_layers(const SmallNetwork<float>& network, std::span<const Activation> activations,
                          const float* kept, const float* const* y, const float* const* dy, float* dx,
                          const SmallLayerGradients<float>* gradients) {
  const Network n = network_of(network, activations);
  HeadGradients heads{};
  std::copy_n(y, network.heads, heads.y);
  std::copy_n(dy, network.heads, heads.dy);
  const Tensor parts = Tensor::empty({n.all.members * n.all.parts * n.all.sums}, DType::f32, Device::cuda);
  launch("dense_layers", dense_layers_backward_kernel, blocks_for(n.all.members * n.all.parts, 1),
         kTileThreads, n, heads, kept, dx, parts.data<float>());
  join_parts(n.all, gradients, parts.data<float>(), nullptr);
}

void join_parts(const LayersInParts& layers, const SmallLayerGradients<float>* gradients, const float* parts,
                const float* scale) {
  LayerGradients wanted{};
  std::copy_n(gradients, layers.count, wanted.layer);
  int64_t most = 1;
  for (int l = 0; l < layers.count; ++l)
    most = std::max<int64_t>({most, layers.layer[l].out, layers.layer[l].in * layers.layer[l].out});
  launch("join_layers", join_layers_kernel, dim3(blocks_for(layers.members * most, kJoined), 2), kThreads,
         layers, wanted, parts, scale);
}

}  // namespace elbo::cuda

#endif
