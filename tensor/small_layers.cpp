#include "tensor/small_layers.h"

#include "tensor/parallel.h"
#include "tensor/scratch.h"
#include "tensor/small_chain.h"

namespace elbo {
namespace {

template <class T>
int64_t groups_of(const SmallNetwork<T>& n) {
  return (n.rows + kGroupRows - 1) / kGroupRows;
}

/// Rows of a member.
struct Rows {
  int64_t member, first, count;
};

/// Rows of x or of a head, each `width` numbers.
template <class T, class P>
P* rows_at(const SmallNetwork<T>& n, P* all, const Rows& rows, int64_t width, bool shared = false) {
  return all + ((shared ? 0 : rows.member * n.rows) + rows.first) * width;
}

template <class T>
void load_x(const SmallNetwork<T>& n, const Rows& rows, T* to) {
  const int64_t in = n.layers[0].in;
  rows_to_units(rows_at(n, n.x, rows, in, n.shared_x), rows.count, in, to);
  set_ones(to, in);
}

/// The gradients by what the heads' products gave, of a group, side by side.
template <class T>
void load_heads(const SmallNetwork<T>& n, const Stage& s, const Rows& rows, const T* const* y,
                const T* const* dy, T* d, T* spare) {
  for (size_t h = 0; h < s.layers; ++h) {
    const SmallLayer<T>& head = n.layers[s.first_layer + h];
    rows_to_units(rows_at(n, dy[h], rows, head.out), rows.count, head.out, d);
    if (head.differentiate) {
      rows_to_units(rows_at(n, y[h], rows, head.out), rows.count, head.out, spare);
      head.differentiate(spare, d, head.out * kGroupRows);
      for (int64_t u = 0; u < head.out; ++u)
        std::fill_n(d + u * kGroupRows + rows.count, kGroupRows - rows.count, T(0));
    }
    d += head.out * kGroupRows;
  }
}

}  // namespace

template <class T>
int64_t kept_numbers(const SmallNetwork<T>& network) {
  const SmallChain chain = chain_of(network.layers, network.heads);
  return network.members * groups_of(network) * chain.kept_units * kGroupRows;
}

template <class T>
void run_layers(const SmallNetwork<T>& network, T* const* y, T* kept) {
  const SmallChain chain = chain_of(network.layers, network.heads);
  const int64_t groups = groups_of(network), in = network.layers[0].in;
  const double flops = chain.flops_of_row * static_cast<double>(std::min<int64_t>(kGroupRows, network.rows));
  parallel_for(network.members * groups, grain_of(flops), [&](int64_t begin, int64_t end) {
    static thread_local Scratch<T> scratch;
    T* const x = scratch.at_least((stored_units(in + 1) + chain.units) * kGroupRows + chain.stacked);
    T *const own = x + stored_units(in + 1) * kGroupRows, *const stacked = own + chain.units * kGroupRows;
    ChainWeights<T> weights;
    for (int64_t item = begin; item < end; ++item) {
      if (item == begin || item % groups == 0)
        weights = weights_of(network.layers, chain, item / groups, stacked);
      const int64_t first = item % groups * kGroupRows;
      const Rows rows{item / groups, first, std::min<int64_t>(kGroupRows, network.rows - first)};
      load_x(network, rows, x);
      run_group(weights, chain, rows.count, x, own);
      if (kept) std::copy_n(own, chain.kept_units * kGroupRows, kept + item * chain.kept_units * kGroupRows);
      const Stage& s = chain.stages.back();
      const T* head = own + s.at * kGroupRows;
      for (size_t h = 0; h < s.layers; ++h) {
        const int64_t out = network.layers[s.first_layer + h].out;
        units_to_rows(head, rows.count, out, rows_at(network, y[h], rows, out));
        head += out * kGroupRows;
      }
    }
  });
}

template <class T>
void differentiate_layers(const SmallNetwork<T>& network, const T* kept, const T* const* y,
                          const T* const* dy, T* dx, const SmallLayerGradients<T>* gradients) {
  const SmallChain chain = chain_of(network.layers, network.heads);
  const WantedGradients wanted = wanted_of(chain, gradients, dx != nullptr);
  const int64_t groups = groups_of(network), in = network.layers[0].in;
  const int64_t blocks = (groups + chain.groups - 1) / chain.groups, block_rows = chain.groups * kGroupRows;
  const double flops = 2 * chain.flops_of_row * static_cast<double>(network.rows);
  const int64_t parts = parts_of_work(blocks, flops), in_units = stored_units(in + 1);
  const int64_t widest = std::max(chain.widest, in_units), kept_step = chain.kept_units * kGroupRows;
  KeptVector<T> sums(static_cast<size_t>(network.members * parts * chain.sums));
  const auto differentiate_part = [&](int64_t member, int64_t part, T* sums_of_part) {
    static thread_local Scratch<T> scratch;
    T* const x = scratch.at_least((in_units + 3 * widest) * block_rows + chain.stacked);
    const int64_t step = widest * kGroupRows;
    T* const other = x + in_units * block_rows;
    const Units<T> d{other, step}, spare{other + widest * block_rows, step},
        d_in{other + 2 * widest * block_rows, step};
    const ChainWeights<T> weights =
        weights_of(network.layers, chain, member, other + 3 * widest * block_rows);
    for (int64_t block = blocks * part / parts; block < blocks * (part + 1) / parts; ++block) {
      const int64_t first = block * block_rows, count = std::min(block_rows, network.rows - first);
      const auto for_each_group = [&](const auto& f) {
        for (int64_t g = 0; g * kGroupRows < count; ++g)
          f(g, Rows{member, first + g * kGroupRows, std::min<int64_t>(kGroupRows, count - g * kGroupRows)});
      };
      for_each_group([&](int64_t g, const Rows& rows) {
        if (wanted.lowest == 0) load_x(network, rows, x + g * in_units * kGroupRows);
        load_heads(network, chain.stages.back(), rows, y, dy, d.group(g), spare.group(g));
      });
      differentiate_block<T>(weights, chain, wanted, count, {x, in_units * kGroupRows},
                             {kept + (member * groups + block * chain.groups) * kept_step, kept_step}, d,
                             spare, d_in, true, sums_of_part);
      if (dx)
        for_each_group([&](int64_t g, const Rows& rows) {
          units_to_rows(d_in.group(g), rows.count, in, rows_at(network, dx, rows, in));
        });
    }
  };
  parallel_for(network.members * parts, grain_of(flops / static_cast<double>(parts)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t item = begin; item < end; ++item)
                   differentiate_part(item / parts, item % parts, sums.data() + item * chain.sums);
               });
  const int64_t to_join = std::max<int64_t>(parts * chain.sums, 1);
  parallel_for(network.members, 1 + kParallelGrain / to_join, [&](int64_t begin, int64_t end) {
    for (int64_t member = begin; member < end; ++member)
      join_parts(network.layers, chain, member, sums.data() + member * parts * chain.sums, parts, chain.sums,
                 1, gradients);
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
