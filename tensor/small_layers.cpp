#include "tensor/small_layers.h"

#include <algorithm>
#include <utility>

#include "tensor/lane_products.h"
#include "tensor/parallel.h"
#include "tensor/scratch.h"

namespace elbo {
namespace {

constexpr int64_t kBlock = 48;  // rows that go through all layers together
constexpr int64_t kMostParts = 32;
constexpr double kPartFlops = 4e6;   // backward work of a part of the rows: tens of microseconds
constexpr double kRangeFlops = 1e6;  // work that is worth waking a thread for

static_assert(kBlock % kTileRows == 0);

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <class T>
int64_t padded(int64_t n) {
  return round_up(n, kLanesOf<T>);
}

// --------------------------------------------------------------------------------------------------- stages

/// A layer, or all heads as one. Rows of input and output are padded to whole vectors; nobody reads the
/// padding.
struct Stage {
  size_t first_layer, layers;
  int64_t in, out, in_width, out_width;
  // Places, in numbers: in a thread's packed weights, in what is kept of a block, in the sums of a part.
  int64_t forward_at, bias_at, backward_at, kept_at, weight_sum_at, bias_sum_at;
  bool sum_is_transposed;  // (in, out_width) instead of (out, in_width), whichever is fewer vectors
};

struct StagePlan {
  KeptVector<Stage> stages;
  int64_t blocks = 0, parts = 0;
  int64_t packed = 0, kept = 0, sums = 0, widest = 0;
  double flops_of_row = 0;  // forward
};

template <class T>
StagePlan plan_of(const SmallNetwork<T>& n) {
  StagePlan plan;
  const size_t all = n.layers.size(), heads = static_cast<size_t>(n.heads);
  for (size_t first = 0; first < all;) {
    const bool last = first + heads == all;
    Stage s{};
    s.first_layer = first;
    s.layers = last ? heads : 1;
    s.in = n.layers[first].in;
    for (size_t l = first; l < first + s.layers; ++l) s.out += n.layers[l].out;
    s.in_width = padded<T>(s.in);
    s.out_width = padded<T>(s.out);
    s.forward_at = plan.packed;
    s.bias_at = s.forward_at + s.in * s.out_width;
    s.backward_at = s.bias_at + s.out_width;
    plan.packed = s.backward_at + s.out * s.in_width;
    s.kept_at = plan.kept;
    if (!last) plan.kept += kBlock * s.out_width;
    s.sum_is_transposed = s.in * s.out_width < s.out * s.in_width;
    s.weight_sum_at = plan.sums;
    s.bias_sum_at = s.weight_sum_at + (s.sum_is_transposed ? s.in * s.out_width : s.out * s.in_width);
    plan.sums = s.bias_sum_at + s.out_width;
    plan.widest = std::max({plan.widest, s.in_width, s.out_width});
    plan.flops_of_row += 2.0 * static_cast<double>(s.in * s.out);
    plan.stages.push_back(s);
    first += s.layers;
  }
  plan.blocks = (n.rows + kBlock - 1) / kBlock;
  const double backward = 2 * plan.flops_of_row * static_cast<double>(n.rows);
  plan.parts = std::clamp<int64_t>(static_cast<int64_t>(backward / kPartFlops), 1,
                                   std::max<int64_t>(1, std::min(plan.blocks, kMostParts)));
  return plan;
}

/// What a thread works with: the packed weights of one member, and four blocks of the widest stage's rows.
template <class T>
struct Workspace {
  T* packed;
  T* block[4];
};

template <class T>
Workspace<T> workspace_of(const StagePlan& plan) {
  static thread_local Scratch<T> scratch;
  const int64_t block = kBlock * plan.widest;
  T* const all = scratch.at_least(plan.packed + 4 * block);
  T* const blocks = all + plan.packed;
  return {all, {blocks, blocks + block, blocks + 2 * block, blocks + 3 * block}};
}

/// `rows` rows of `count` numbers to rows `width` apart, with zeros after them, and rows of zeros up to whole
/// tiles.
template <class T>
void pad_rows(const T* from, int64_t rows, int64_t count, T* to, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, from += count, to += width) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
    for (int64_t i = count; i < width; ++i) to[i] = 0;
  }
  std::fill_n(to, (round_up(rows, kTileRows) - rows) * width, T(0));
}

template <class T>
void pack_forward(const SmallNetwork<T>& n, const StagePlan& plan, int64_t member, T* packed) {
  for (const Stage& s : plan.stages) {
    T* const weight = packed + s.forward_at;
    T* const bias = packed + s.bias_at;
    std::fill_n(weight, s.in * s.out_width, T(0));
    std::fill_n(bias, s.out_width, T(0));
    int64_t column = 0;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l) {
      const SmallLayer<T>& layer = n.layers[l];
      const T* const own = layer.weight + member * layer.out * layer.in;
      for (int64_t i = 0; i < layer.in; ++i)
        for (int64_t j = 0; j < layer.out; ++j) weight[i * s.out_width + column + j] = own[j * layer.in + i];
      std::copy_n(layer.bias + member * layer.out, layer.out, bias + column);
      column += layer.out;
    }
  }
}

template <class T>
void pack_backward(const SmallNetwork<T>& n, const StagePlan& plan, int64_t member, T* packed) {
  for (const Stage& s : plan.stages) {
    T* to = packed + s.backward_at;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l) {
      const SmallLayer<T>& layer = n.layers[l];
      const T* from = layer.weight + member * layer.out * layer.in;
      for (int64_t j = 0; j < layer.out; ++j, from += layer.in, to += s.in_width) {
        std::copy_n(from, layer.in, to);
        std::fill_n(to + layer.in, s.in_width - layer.in, T(0));
      }
    }
  }
}

/// A block of rows of a member.
struct Rows {
  int64_t member, block, first, count, tiled;
};

template <class T>
Rows rows_of(const SmallNetwork<T>& n, int64_t member, int64_t block) {
  const int64_t first = block * kBlock, count = std::min(kBlock, n.rows - first);
  return {member, block, first, count, round_up(count, kTileRows)};
}

template <class T>
const T* rows_of_x(const SmallNetwork<T>& n, const Rows& rows) {
  return n.x + ((n.shared_x ? 0 : rows.member * n.rows) + rows.first) * n.layers[0].in;
}

template <class T>
void run_block(const SmallNetwork<T>& n, const StagePlan& plan, const Rows& rows, const Workspace<T>& work,
               T* const* y, T* kept) {
  const T* in = work.block[0];
  pad_rows(rows_of_x(n, rows), rows.count, n.layers[0].in, work.block[0], plan.stages[0].in_width);
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& s = plan.stages[i];
    const bool last = i + 1 == plan.stages.size();
    T* const out = kept && !last ? kept + s.kept_at : work.block[1 + i % 2];
    multiply<T>(rows.tiled, {s.in, in, s.in_width, work.packed + s.forward_at, out, s.out_width,
                             work.packed + s.bias_at});
    if (!last && n.layers[s.first_layer].activate)
      n.layers[s.first_layer].activate(out, rows.count * s.out_width);
    in = out;
  }
  const Stage& s = plan.stages.back();
  for (size_t h = 0, column = 0; h < s.layers; ++h) {
    const SmallLayer<T>& head = n.layers[s.first_layer + h];
    T* const to = y[h] + (rows.member * n.rows + rows.first) * head.out;
    for (int64_t r = 0; r < rows.count; ++r)
      std::copy_n(in + r * s.out_width + static_cast<int64_t>(column), head.out, to + r * head.out);
    if (head.activate) head.activate(to, rows.count * head.out);
    column += static_cast<size_t>(head.out);
  }
}

// ------------------------------------------------------------------------------------------------- backward

/// The gradients that a backward pass must give.
struct Wanted {
  size_t lowest = 0;  // the stage at which the backward pass ends
  bool dx = false;
  KeptVector<bool> weight, bias;  // of each stage
};

template <class T>
Wanted wanted_of(const StagePlan& plan, const T* dx, const SmallLayerGradients<T>* gradients) {
  Wanted wanted{.lowest = plan.stages.size(), .dx = dx != nullptr, .weight = {}, .bias = {}};
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& s = plan.stages[i];
    bool weight = false, bias = false;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l) {
      weight = weight || gradients[l].weight;
      bias = bias || gradients[l].bias;
    }
    wanted.weight.push_back(weight);
    wanted.bias.push_back(bias);
    if (weight || bias) wanted.lowest = std::min(wanted.lowest, i);
  }
  if (dx) wanted.lowest = 0;
  return wanted;
}

/// The gradient by what the heads' activations are given, all heads side by side.
template <class T>
void gather_heads(const SmallNetwork<T>& n, const Stage& s, const Rows& rows, const T* const* y,
                  const T* const* dy, T* d, T* contiguous) {
  std::fill_n(d, rows.tiled * s.out_width, T(0));
  int64_t column = 0;
  for (size_t h = 0; h < s.layers; ++h) {
    const SmallLayer<T>& head = n.layers[s.first_layer + h];
    const int64_t at = (rows.member * n.rows + rows.first) * head.out;
    const T* from = dy[h] + at;
    if (head.differentiate) {
      std::copy_n(from, rows.count * head.out, contiguous);
      head.differentiate(y[h] + at, contiguous, rows.count * head.out);
      from = contiguous;
    }
    for (int64_t r = 0; r < rows.count; ++r)
      std::copy_n(from + r * head.out, head.out, d + r * s.out_width + column);
    column += head.out;
  }
}

template <class T>
void differentiate_block(const SmallNetwork<T>& n, const StagePlan& plan, const Wanted& wanted,
                         const Rows& rows, const Workspace<T>& work, const T* kept, const T* const* y,
                         const T* const* dy, T* dx, T* sums) {
  T *d = work.block[1], *next = work.block[2];
  gather_heads(n, plan.stages.back(), rows, y, dy, d, work.block[3]);
  for (size_t i = plan.stages.size(); i-- > wanted.lowest;) {
    const Stage& s = plan.stages[i];
    const T* in = i > 0 ? kept + plan.stages[i - 1].kept_at : work.block[0];
    if (i == 0 && wanted.weight[0]) pad_rows(rows_of_x(n, rows), rows.count, s.in, work.block[0], s.in_width);
    if (wanted.weight[i]) {
      T* const sum = sums + s.weight_sum_at;
      if (s.sum_is_transposed)
        add_outer<T>(s.in, {rows.count, in, s.in_width, d, sum, s.out_width});
      else
        add_outer<T>(s.out, {rows.count, d, s.out_width, in, sum, s.in_width});
    }
    if (wanted.bias[i]) add_rows(rows.count, d, s.out_width, sums + s.bias_sum_at);
    if (i == wanted.lowest && !(i == 0 && wanted.dx)) return;
    multiply<T>(rows.tiled, {s.out, d, s.out_width, work.packed + s.backward_at, next, s.in_width});
    if (i > 0) {
      const SmallLayer<T>& below = n.layers[plan.stages[i - 1].first_layer];
      if (below.differentiate) below.differentiate(in, next, rows.count * s.in_width);
    } else {
      T* const to = dx + (rows.member * n.rows + rows.first) * s.in;
      for (int64_t r = 0; r < rows.count; ++r) std::copy_n(next + r * s.in_width, s.in, to + r * s.in);
    }
    std::swap(d, next);
  }
}

/// to[i step] = (add ? to[i step] : 0) + the sum of line i over the parts, in order.
template <class T>
void join_line(const T* line, int64_t stride, int64_t parts, int64_t count, bool add, T* to, int64_t step) {
  constexpr int64_t kChunk = 64;
  for (int64_t at = 0; at < count; at += kChunk) {
    double sum[kChunk] = {};
    const int64_t length = std::min(kChunk, count - at);
    for (int64_t p = 0; p < parts; ++p)
      for (int64_t i = 0; i < length; ++i) sum[i] += static_cast<double>(line[p * stride + at + i]);
    for (int64_t i = 0; i < length; ++i) {
      T& own = to[(at + i) * step];
      own = (add ? own : T(0)) + static_cast<T>(sum[i]);
    }
  }
}

/// A member's gradients from the sums of its parts.
template <class T>
void join_parts(const SmallNetwork<T>& n, const StagePlan& plan, int64_t member, const T* sums,
                const SmallLayerGradients<T>* gradients) {
  for (const Stage& s : plan.stages) {
    int64_t column = 0;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l) {
      const SmallLayer<T>& layer = n.layers[l];
      const SmallLayerGradients<T>& g = gradients[l];
      if (g.weight) {
        T* const own = g.weight + member * layer.out * layer.in;
        const T* const from = sums + s.weight_sum_at;
        if (s.sum_is_transposed) {
          for (int64_t i = 0; i < s.in; ++i)
            join_line(from + i * s.out_width + column, plan.sums, plan.parts, layer.out, g.add_to_weight,
                      own + i, layer.in);
        } else {
          for (int64_t j = 0; j < layer.out; ++j)
            join_line(from + (column + j) * s.in_width, plan.sums, plan.parts, layer.in, g.add_to_weight,
                      own + j * layer.in, 1);
        }
      }
      if (g.bias)
        join_line(sums + s.bias_sum_at + column, plan.sums, plan.parts, layer.out, g.add_to_bias,
                  g.bias + member * layer.out, 1);
      column += layer.out;
    }
  }
}

int64_t grain_of(double flops) { return 1 + static_cast<int64_t>(kRangeFlops / std::max(flops, 1.0)); }

}  // namespace

template <class T>
int64_t kept_numbers(const SmallNetwork<T>& network) {
  const StagePlan plan = plan_of(network);
  return network.members * plan.blocks * plan.kept;
}

template <class T>
void run_layers(const SmallNetwork<T>& network, T* const* y, T* kept) {
  const StagePlan plan = plan_of(network);
  const double flops = plan.flops_of_row * static_cast<double>(std::min(kBlock, network.rows));
  parallel_for(network.members * plan.blocks, grain_of(flops), [&](int64_t begin, int64_t end) {
    const Workspace<T> work = workspace_of<T>(plan);
    int64_t packed = -1;
    for (int64_t item = begin; item < end; ++item) {
      const Rows rows = rows_of(network, item / plan.blocks, item % plan.blocks);
      if (std::exchange(packed, rows.member) != rows.member)
        pack_forward(network, plan, rows.member, work.packed);
      run_block(network, plan, rows, work, y, kept ? kept + item * plan.kept : nullptr);
    }
  });
}

template <class T>
void differentiate_layers(const SmallNetwork<T>& network, const T* kept, const T* const* y,
                          const T* const* dy, T* dx, const SmallLayerGradients<T>* gradients) {
  const StagePlan plan = plan_of(network);
  const Wanted wanted = wanted_of(plan, dx, gradients);
  const double flops = 2 * plan.flops_of_row * static_cast<double>(network.rows);
  KeptVector<T> sums(static_cast<size_t>(network.members * plan.parts * plan.sums));
  parallel_for(network.members * plan.parts, grain_of(flops / static_cast<double>(plan.parts)),
               [&](int64_t begin, int64_t end) {
                 const Workspace<T> work = workspace_of<T>(plan);
                 int64_t packed = -1;
                 for (int64_t item = begin; item < end; ++item) {
                   const int64_t member = item / plan.parts, part = item % plan.parts;
                   if (std::exchange(packed, member) != member)
                     pack_backward(network, plan, member, work.packed);
                   for (int64_t block = plan.blocks * part / plan.parts;
                        block < plan.blocks * (part + 1) / plan.parts; ++block)
                     differentiate_block(network, plan, wanted, rows_of(network, member, block), work,
                                         kept + (member * plan.blocks + block) * plan.kept, y, dy, dx,
                                         sums.data() + item * plan.sums);
                 }
               });
  const int64_t to_join = std::max<int64_t>(plan.parts * plan.sums, 1);
  parallel_for(network.members, 1 + kParallelGrain / to_join, [&](int64_t begin, int64_t end) {
    for (int64_t member = begin; member < end; ++member)
      join_parts(network, plan, member, sums.data() + member * plan.parts * plan.sums, gradients);
  });
}

#define ELBO_SMALL_LAYERS(T)                                                                                 \
  template int64_t kept_numbers(const SmallNetwork<T>&);                                                     \
  template void run_layers(const SmallNetwork<T>&, T* const*, T*);                                           \
  template void differentiate_layers(const SmallNetwork<T>&, const T*, const T* const*, const T* const*, T*, \
                                     const SmallLayerGradients<T>*);
ELBO_SMALL_LAYERS(float)
ELBO_SMALL_LAYERS(double)
#undef ELBO_SMALL_LAYERS

}  // namespace elbo
