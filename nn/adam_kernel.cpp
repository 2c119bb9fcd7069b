#include "nn/adam_kernel.h"

#include "tensor/cuda/device.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/kernel.h"

namespace elbo::cuda {
namespace {

constexpr int64_t kTile = 2048;  // elements, so that each thread of a block has a few packs

/// A tile as i64 numbers of a tensor: where it begins, its length, its member.
struct MemberTile {
  int64_t begin, size, member;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(const MemberTile* tiles, T* w, T* m, T* v, const T* g, const double* numbers, int64_t roots,
                AdamOptions options) {
  await_turn();
  const MemberTile tile = tiles[blockIdx.x];
  const double rate = numbers[roots + tile.member];
  if (rate == 0) return;
  const AdamFormula<T> formula(options, rate, numbers[roots == 1 ? 0 : tile.member]);
  constexpr int kWidth = kPackSize<T>;
  using Packed = Pack<T, kWidth>;
  if (tile.begin % kWidth == 0 && tile.size % kWidth == 0) {
    for (int64_t i = tile.begin + threadIdx.x * kWidth; i < tile.begin + tile.size; i += kThreads * kWidth) {
      Packed wp = *reinterpret_cast<Packed*>(w + i), mp = *reinterpret_cast<Packed*>(m + i);
      Packed vp = *reinterpret_cast<Packed*>(v + i);
      const Packed gp = *reinterpret_cast<const Packed*>(g + i);
      for (int j = 0; j < kWidth; ++j) formula(wp.value[j], mp.value[j], vp.value[j], gp.value[j]);
      *reinterpret_cast<Packed*>(w + i) = wp;
      *reinterpret_cast<Packed*>(m + i) = mp;
      *reinterpret_cast<Packed*>(v + i) = vp;
    }
    return;
  }
  for (int64_t i = tile.begin + threadIdx.x; i < tile.begin + tile.size; i += kThreads)
    formula(w[i], m[i], v[i], g[i]);
}

}  // namespace

Tensor adam_tiles(const std::vector<ParameterStore::Span>& spans) {
  std::vector<int64_t> tiles;
  for (const ParameterStore::Span& span : spans)
    for (int64_t begin = span.begin; begin < span.end; begin += kTile)
      tiles.insert(tiles.end(), {begin, std::min(kTile, span.end - begin), span.member});
  return Tensor::from<int64_t>({static_cast<int64_t>(tiles.size()) / 3, 3}, tiles).to(Device::cuda);
}

void adam_step(ParameterStore& store, const AdamOptions& options, const Tensor& first_moment,
               const Tensor& second_moment, const Tensor& tiles, const Tensor& numbers) {
  if (tiles.size(0) == 0) return;
  const int64_t roots = numbers.elements() - std::max<int64_t>(store.members(), 1);
  visit_floating(store.dtype(), "adam", [&](auto zero) {
    using T = decltype(zero);
    launch("adam", adam_kernel<T>, static_cast<unsigned>(tiles.size(0)), kThreads,
           reinterpret_cast<const MemberTile*>(tiles.data<int64_t>()), store.values().data<T>(),
           first_moment.data<T>(), second_moment.data<T>(),
           static_cast<const T*>(store.gradients().data<T>()),
           static_cast<const double*>(numbers.data<double>()), roots, options);
  });
}

}  // namespace elbo::cuda

#endif
