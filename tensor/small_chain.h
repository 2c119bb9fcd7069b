// How a block of rows goes through dense layers, forward and backward, while what it leaves behind is in the
// processor's nearest caches: the pieces of small_layers.cpp, and of ops that do more in the same pass
// (vae/small_vae_block.h). Included by them only.
//
// A block has some groups of kGroupRows rows. A group's numbers lie by unit (lane_products.h); after the
// units of a stage follows one of ones, whose weight is the bias, so that the gradients of both come from one
// sum. Gradients are summed over parts of a member's rows, which follow from its own sizes alone, and parts
// are joined in order: results depend neither on the thread count nor on other members.
#pragma once

#include <algorithm>

#include "tensor/kept_vector.h"
#include "tensor/lane_products.h"
#include "tensor/small_layers.h"

namespace elbo {

inline constexpr int64_t kMostGroups = 8;                   // of a block
inline constexpr int64_t kNearestCache = int64_t{1} << 15;  // bytes

/// A layer, or all heads as one.
struct Stage {
  size_t first_layer, layers;
  int64_t in, out;
  int64_t at;      ///< its first unit among those of the chain
  int64_t sum_at;  ///< its gradients among the sums of a part: (out, in + 1), the bias last
};

/// Layers one after another, of which the last `heads` all read the output of the layer before.
struct SmallChain {
  KeptVector<Stage> stages;
  int64_t units = 0, kept_units = 0;  ///< of all stages; of those before the heads
  int64_t widest = 0;                 ///< units that the gradient of any stage takes
  int64_t sums = 0;
  int64_t stacked = 0;      ///< numbers of the heads' weights and biases as one layer's; 0 for one head
  double flops_of_row = 0;  ///< forward
  /// Groups of a block: the more, the fewer sums over lanes; but what sums read again and again is to stay in
  /// the nearest cache.
  int64_t groups = kMostGroups;
};

template <class T>
SmallChain chain_of(const KeptVector<SmallLayer<T>>& layers, int64_t heads) {
  SmallChain chain;
  for (size_t first = 0; first < layers.size();) {
    const bool last = first + static_cast<size_t>(heads) == layers.size();
    Stage s{.first_layer = first,
            .layers = last ? static_cast<size_t>(heads) : 1,
            .in = layers[first].in,
            .out = 0,
            .at = chain.units,
            .sum_at = chain.sums};
    for (size_t l = first; l < first + s.layers; ++l) s.out += layers[l].out;
    chain.kept_units = chain.units;
    chain.units += stored_units(s.out + (last ? 0 : 1));
    chain.widest = std::max(chain.widest, stored_units(s.out));
    chain.sums += sums_of(s.out, s.in + 1);
    if (s.out > kSumOuts<T>) {
      const int64_t of_group = stored_units(s.in + 1) * kGroupRows * static_cast<int64_t>(sizeof(T));
      chain.groups = std::clamp<int64_t>(kNearestCache / of_group, 2, chain.groups);
    }
    chain.flops_of_row += 2.0 * static_cast<double>(s.in * s.out);
    if (s.layers > 1) chain.stacked = stored_units(s.out) * (s.in + 1);
    chain.stages.push_back(s);
    first += s.layers;
  }
  return chain;
}

/// What a stage multiplies by: weight (out, in), bias (out).
template <class T>
struct StageWeights {
  const T *weight, *bias;
};

/// A member's weights. Those of several heads are copied, one under another.
template <class T>
struct ChainWeights {
  const SmallLayer<T>* layers = nullptr;
  int64_t member = 0;
  StageWeights<T> heads{};  // null where there is one

  StageWeights<T> of(const Stage& s) const {
    if (s.layers > 1) return heads;
    const SmallLayer<T>& layer = layers[s.first_layer];
    return {layer.weight + member * s.out * s.in, layer.bias + member * s.out};
  }
};

/// `stacked` has room for chain.stacked numbers.
template <class T>
ChainWeights<T> weights_of(const KeptVector<SmallLayer<T>>& layers, const SmallChain& chain, int64_t member,
                           T* stacked) {
  ChainWeights<T> weights{layers.data(), member};
  if (chain.stacked == 0) return weights;
  const Stage& s = chain.stages.back();
  T *weight = stacked, *bias = stacked + stored_units(s.out) * s.in;
  weights.heads = {weight, bias};
  for (size_t l = s.first_layer; l < layers.size(); ++l) {
    const SmallLayer<T>& head = layers[l];
    weight = std::copy_n(head.weight + member * head.out * s.in, head.out * s.in, weight);
    bias = std::copy_n(head.bias + member * head.out, head.out, bias);
  }
  return weights;
}

/// The unit of ones that follows a stage's input.
template <class T>
void set_ones(T* units, int64_t count) {
  std::fill_n(units + count * kGroupRows, kGroupRows, T(1));
}

/// `rows` rows of `count` numbers to units, with zeros up to a whole group.
template <class T>
void rows_to_units(const T* from, int64_t rows, int64_t count, T* units) {
  for (int64_t u = 0; u < count; ++u, units += kGroupRows) {
    for (int64_t r = 0; r < rows; ++r) units[r] = from[r * count + u];
    std::fill_n(units + rows, kGroupRows - rows, T(0));
  }
}

template <class T>
void units_to_rows(const T* units, int64_t rows, int64_t count, T* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t u = 0; u < count; ++u) to[r * count + u] = units[u * kGroupRows + r];
}

/// A group's rows forward: from `in`, which ones follow, to `units`, where all stages put their outputs.
template <class T>
void run_group(const ChainWeights<T>& weights, const SmallChain& chain, int64_t rows, const T* in, T* units) {
  for (const Stage& s : chain.stages) {
    T* const out = units + s.at * kGroupRows;
    const auto [weight, bias] = weights.of(s);
    multiply<T, false>(rows, {s.out, s.in, weight, s.in, in, out, bias});
    T* own = out;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l) {
      const SmallLayer<T>& layer = weights.layers[l];
      if (layer.activate) layer.activate(own, layer.out * kGroupRows);
      own += layer.out * kGroupRows;
    }
    if (&s != &chain.stages.back()) set_ones(out, s.out);
    in = out;
  }
}

/// What of a chain's gradients is wanted.
struct WantedGradients {
  size_t lowest = 0;          // the stage at which the backward pass ends
  KeptVector<bool> of_stage;  // its weights or bias
  bool of_input = false;
};

template <class T>
WantedGradients wanted_of(const SmallChain& chain, const SmallLayerGradients<T>* gradients, bool of_input) {
  WantedGradients wanted{.lowest = chain.stages.size(), .of_stage = {}, .of_input = of_input};
  for (size_t i = 0; i < chain.stages.size(); ++i) {
    const Stage& s = chain.stages[i];
    bool is_wanted = false;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l)
      is_wanted = is_wanted || gradients[l].weight || gradients[l].bias;
    wanted.of_stage.push_back(is_wanted);
    if (is_wanted) wanted.lowest = std::min(wanted.lowest, i);
  }
  if (of_input) wanted.lowest = 0;
  return wanted;
}

/// A block's rows backward, from `d`, the gradients by what the heads' products gave, side by side. `d` and
/// `spare` have room for `widest` units, and are overwritten. Adds to the sums of a part, and to d_in, if
/// that is wanted: it is what is there or, for the first of several chains that read `in`, begun.
template <class T>
void differentiate_block(const ChainWeights<T>& weights, const SmallChain& chain,
                         const WantedGradients& wanted, int64_t rows, Units<const T> in, Units<const T> units,
                         Units<T> d, Units<T> spare, Units<T> d_in, bool begins, T* sums) {
  const auto outputs_of = [&](size_t stage) {
    return Units<const T>{units.first + chain.stages[stage].at * kGroupRows, units.step};
  };
  for (size_t i = chain.stages.size(); i-- > wanted.lowest;) {
    const Stage& s = chain.stages[i];
    const Units<const T> of_in = i > 0 ? outputs_of(i - 1) : in;
    if (wanted.of_stage[i]) add_sums<T>(rows, s.out, d.read_only(), s.in + 1, of_in, sums + s.sum_at);
    if (i == wanted.lowest && !(i == 0 && wanted.of_input)) return;
    const Units<T> to = i > 0 ? spare : d_in;
    const auto differentiate =
        i > 0 ? weights.layers[chain.stages[i - 1].first_layer].differentiate : nullptr;
    for (int64_t g = 0; g * kGroupRows < rows; ++g) {
      multiply<T, true>(
          std::min<int64_t>(kGroupRows, rows - g * kGroupRows),
          {s.in, s.out, weights.of(s).weight, s.in, d.group(g), to.group(g), nullptr, i == 0 && !begins});
      if (differentiate) differentiate(of_in.group(g), to.group(g), s.in * kGroupRows);
    }
    std::swap(d, spare);
  }
}

/// A member's gradients, `scale` times the sums of its parts, which lie `step` numbers apart.
template <class T>
void join_parts(const KeptVector<SmallLayer<T>>& layers, const SmallChain& chain, int64_t member,
                const T* sums, int64_t parts, int64_t step, double scale,
                const SmallLayerGradients<T>* gradients) {
  constexpr int kOuts = kSumOuts<T>, kIns = kSumIns<T>;
  for (const Stage& s : chain.stages) {
    int64_t unit = 0;
    for (size_t l = s.first_layer; l < s.first_layer + s.layers; ++l) {
      const SmallLayer<T>& layer = layers[l];
      const SmallLayerGradients<T>& g = gradients[l];
      T* const weight = g.weight ? g.weight + member * layer.out * layer.in : nullptr;
      T* const bias = g.bias ? g.bias + member * layer.out : nullptr;
      const int64_t begin = unit, end = unit += layer.out;
      if (!weight && !bias) continue;
      for (int64_t o = begin / kOuts * kOuts; o < end; o += kOuts)
        for (int64_t i = 0; i <= s.in; i += kIns) {
          const T* const tile = sums + s.sum_at + sum_tile_at<T>(o, i, s.in + 1);
          double of[kOuts * kIns] = {};
          for (int64_t p = 0; p < parts; ++p)
            for (int at = 0; at < kOuts * kIns; ++at) of[at] += static_cast<double>(tile[p * step + at]);
          const auto put = [&](T& own, bool adds, int64_t out, int64_t in) {
            own = (adds ? own : T(0)) + static_cast<T>(scale * of[(out - o) * kIns + in - i]);
          };
          for (int64_t out = std::max(o, begin); out < std::min(o + kOuts, end); ++out) {
            if (weight)
              for (int64_t in = i; in < std::min(i + kIns, s.in); ++in)
                put(weight[(out - begin) * s.in + in], g.add_to_weight, out, in);
            if (bias && i + kIns > s.in) put(bias[out - begin], g.add_to_bias, out, s.in);
          }
        }
    }
  }
}

// ------------------------------------------------------------------------------------- parts and threads

/// In how many parts work of so many pieces and so many backward flops is summed.
inline int64_t parts_of_work(int64_t pieces, double backward_flops) {
  constexpr double kPartFlops = 4e6;  // tens of microseconds
  constexpr int64_t kMostParts = 32;
  return std::clamp<int64_t>(static_cast<int64_t>(backward_flops / kPartFlops), 1,
                             std::max<int64_t>(1, std::min(pieces, kMostParts)));
}

/// How many items of so many flops are worth waking a thread for.
inline int64_t grain_of(double flops) { return 1 + static_cast<int64_t>(1e6 / std::max(flops, 1.0)); }

}  // namespace elbo
