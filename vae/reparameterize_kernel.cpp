#include "vae/reparameterize_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include <algorithm>
#  include <bit>

#  include "tensor/cuda/map_kernels.h"
#  include "tensor/map_loops.h"
#  include "vae/formulas.h"
#  include "vae/latent_noise_device.h"

namespace elbo::cuda {
namespace {

constexpr int kGroup = kNoiseGroup;

/// Sizes, and where the log variances of a row are: row / rows_of_log_variance.
struct Sizes : NoiseSizes {
  int64_t members, rows;  // rows: N, of one member
  int64_t rows_of_log_variance;
};

Sizes sizes_of(const Reparameterization& r) {
  const int64_t latent = r.mean.size(-1), all_rows = latent > 0 ? r.mean.elements() / latent : 0;
  const Shape& own = r.log_variance.shape();
  const int64_t own_rows = latent > 0 ? own.elements() / latent : 0;
  const int64_t rows = all_rows / r.members;
  return {{r.samples, r.samples / r.parts, latent, r.rows.first, r.rows.all_of(rows)},
          r.members,
          rows,
          own_rows > 0 ? all_rows / own_rows : 1};
}

/// Threads that share the samples of a gradient: a power of two. It follows from the number of samples alone,
/// and so does the order of their sum.
int lanes_of_samples(int64_t samples) {
  return static_cast<int>(std::bit_floor(static_cast<uint64_t>(std::min<int64_t>(samples, kWarp))));
}

/// Up to kGroup neighbours that begin at `at`, in one access if they are packed.
template <class T>
__device__ Pack<T, kGroup> load_group(const T* at, int64_t count, bool packed) {
  if (packed) return *reinterpret_cast<const Pack<T, kGroup>*>(at);
  Pack<T, kGroup> group{};
  for (int i = 0; i < count && i < kGroup; ++i) group.value[i] = at[i];
  return group;
}
template <class T>
__device__ void store_group(T* at, const Pack<T, kGroup>& group, int64_t count, bool packed) {
  if (packed) {
    *reinterpret_cast<Pack<T, kGroup>*>(at) = group;
    return;
  }
  for (int i = 0; i < count && i < kGroup; ++i) at[i] = group.value[i];
}

/// `lanes` threads have a row, and the grid's rows of blocks a share of its samples each. The KL, the sum
/// over units, is the first share's.
template <class T>
__global__ void __launch_bounds__(kThreads)
    reparameterize_kernel(Sizes s, RandomKey key, int lanes, bool packed, const T* mean,
                          const T* log_variance, T* z, T* kl) {
  await_turn();
  __shared__ double shared[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int64_t all = s.members * s.rows, at_once = static_cast<int64_t>(gridDim.x) * (kThreads / lanes);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads / lanes); first < all; first += at_once) {
    const int64_t row = first + static_cast<int>(threadIdx.x) / lanes;
    const int64_t member = quotient(row, s.rows), own_row = row - member * s.rows;
    double total = 0;
    if (row < all) {
      const T* const means = mean + row * s.latent;
      const T* const log_variances = log_variance + quotient(row, s.rows_of_log_variance) * s.latent;
      for (int64_t unit = lane * kGroup; unit < s.latent; unit += lanes * kGroup) {
        const int64_t count = s.latent - unit;
        const Pack<T, kGroup> m = load_group(means + unit, count, packed);
        const Pack<T, kGroup> lv = load_group(log_variances + unit, count, packed);
        T sigma[kGroup];
        for (int i = 0; i < kGroup; ++i) {
          sigma[i] = math::exp(T(0.5) * lv.value[i]);
          if (i < count && blockIdx.y == 0)
            total += static_cast<double>(formulas::UnitKl{}(m.value[i], lv.value[i]));
        }
        for (int64_t sample = blockIdx.y; sample < s.samples; sample += gridDim.y) {
          T noise[kGroup];
          draw_noise(s, key, member, sample, own_row, unit, noise);
          Pack<T, kGroup> drawn;
          for (int i = 0; i < kGroup; ++i) drawn.value[i] = m.value[i] + sigma[i] * noise[i];
          store_group(z + ((member * s.samples + sample) * s.rows + own_row) * s.latent + unit, drawn, count,
                      packed);
        }
      }
    }
    if (blockIdx.y != 0) continue;  // as the whole block does
    total = fold_lanes<Sum>(total, lanes, shared);
    if (lane == 0 && row < all) kl[row] = static_cast<T>(total);
  }
}

/// Adds up what `lanes` threads have, the nearest of which are `apart` threads from each other; the first of
/// them gets the sums, always added in the same order. All threads of the block must call this.
template <class T, int kCount>
__device__ void sum_over_lanes(T (&own)[kCount], int lanes, int apart, T (*shared)[kThreads]) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread / apart;
  for (int j = 0; j < kCount; ++j) shared[j][thread] = own[j];
  __syncthreads();
  for (int half = lanes / 2; half > 0; half /= 2) {
    if (lane < half)
      for (int j = 0; j < kCount; ++j) shared[j][thread] += shared[j][thread + half * apart];
    __syncthreads();
  }
  for (int j = 0; j < kCount; ++j) own[j] = shared[j][thread];
}

/// An item is up to kGroup units of a row. `lanes` threads have one, and share its samples; neighbouring
/// threads have neighbouring items, and with them neighbouring memory.
template <class T>
__global__ void __launch_bounds__(kThreads)
    reparameterize_gradients_kernel(Sizes s, RandomKey key, int lanes, bool packed, const T* mean,
                                    const T* log_variance, const T* dz, const T* dkl, T* d_mean,
                                    bool accumulate_mean, T* d_log_variance, bool accumulate_log_variance) {
  await_turn();
  __shared__ T shared[2 * kGroup][kThreads];
  const int apart = kThreads / lanes, lane = static_cast<int>(threadIdx.x) / apart;
  const int64_t groups = (s.latent + kGroup - 1) / kGroup, items = s.members * s.rows * groups;
  // All threads of a block take every turn, as all must reach the barriers.
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * apart; first < items;
       first += static_cast<int64_t>(gridDim.x) * apart) {
    const int64_t item = first + static_cast<int>(threadIdx.x) % apart;
    const int64_t row = quotient(item, groups), unit = (item - row * groups) * kGroup;
    const int64_t member = quotient(row, s.rows), own_row = row - member * s.rows;
    const int64_t at = row * s.latent + unit, count = s.latent - unit;
    T sums[2 * kGroup] = {};  // of dz, and of dz times noise
    if (item < items)
      for (int64_t sample = lane; sample < s.samples; sample += lanes) {
        T noise[kGroup];
        draw_noise(s, key, member, sample, own_row, unit, noise);
        const Pack<T, kGroup> d = load_group(
            dz + ((member * s.samples + sample) * s.rows + own_row) * s.latent + unit, count, packed);
        for (int j = 0; j < kGroup; ++j) {
          sums[j] += d.value[j];
          sums[kGroup + j] += d.value[j] * noise[j];
        }
      }
    if (lanes > 1) sum_over_lanes(sums, lanes, apart, shared);
    if (lane > 0 || item >= items) continue;
    const Pack<T, kGroup> m = load_group(mean + at, count, packed);
    const Pack<T, kGroup> lv =
        load_group(log_variance + quotient(row, s.rows_of_log_variance) * s.latent + unit, count, packed);
    const T of_kl = dkl[row];
    Pack<T, kGroup> a{}, b{};
    if (accumulate_mean) a = load_group(d_mean + at, count, packed);
    if (accumulate_log_variance) b = load_group(d_log_variance + at, count, packed);
    for (int j = 0; j < kGroup; ++j) {
      a.value[j] += sums[j] + of_kl * m.value[j];
      b.value[j] +=
          T(0.5) * (math::exp(T(0.5) * lv.value[j]) * sums[kGroup + j] + of_kl * math::expm1(lv.value[j]));
    }
    store_group(d_mean + at, a, count, packed);
    store_group(d_log_variance + at, b, count, packed);
  }
}

template <class T, class... Tensors>
bool are_packable(int64_t latent, const Tensors&... tensors) {
  return latent % kGroup == 0 && (is_packable(tensors.bytes(), sizeof(Pack<T, kGroup>)) && ...);
}

}  // namespace

bool is_fusable(const Reparameterization& r) {
  if (r.mean.rank() < 1 || r.mean.elements() == 0) return false;
  if (r.log_variance.device() != r.mean.device() || r.log_variance.dtype() != r.mean.dtype()) return false;
  const Shape &mean = r.mean.shape(), &own = r.log_variance.shape();
  // Other leading axes are points, and samples stand before the last of these alone.
  if (r.members != (mean.rank() == 3 ? mean[0] : 1) && (r.members != 1 || r.samples != 1)) return false;
  const Shape one_row{mean[-1]};
  if (own == mean || own == one_row) return true;
  return mean.rank() == 3 && own == Shape{mean[0], 1, mean[-1]} && mean[0] == r.members;
}

void reparameterize(const Reparameterization& r, const Tensor& z, const Tensor& kl) {
  const Sizes s = sizes_of(r);
  visit_floating(z.dtype(), "reparameterize_kl", [&](auto zero) {
    using T = decltype(zero);
    const int lanes = lanes_for(s.latent);
    const unsigned blocks = blocks_for(s.members * s.rows * lanes);
    // As many shares of the samples as keep the GPU busy; each sample is the same in whichever it is.
    const int64_t shares = std::clamp<int64_t>(int64_t{multiprocessors()} * 16 / blocks, 1, s.samples);
    const dim3 grid(blocks, static_cast<unsigned>(shares));
    launch("reparameterize_kl", reparameterize_kernel<T>, grid, kThreads, s, r.key, lanes,
           are_packable<T>(s.latent, r.mean, r.log_variance, z), static_cast<const T*>(r.mean.data<T>()),
           static_cast<const T*>(r.log_variance.data<T>()), z.data<T>(), kl.data<T>());
  });
}

void reparameterize_gradients(const Reparameterization& r, const Tensor& dz, const Tensor& dkl,
                              const Tensor& d_mean, bool accumulate_mean, const Tensor& d_log_variance,
                              bool accumulate_log_variance) {
  const Sizes s = sizes_of(r);
  visit_floating(dz.dtype(), "reparameterize_kl", [&](auto zero) {
    using T = decltype(zero);
    const int lanes = lanes_of_samples(s.samples);
    const int64_t items = s.members * s.rows * ((s.latent + kGroup - 1) / kGroup);
    launch("reparameterize_kl", reparameterize_gradients_kernel<T>, blocks_for(items * lanes), kThreads, s,
           r.key, lanes, are_packable<T>(s.latent, r.mean, r.log_variance, dz, d_mean, d_log_variance),
           static_cast<const T*>(r.mean.data<T>()), static_cast<const T*>(r.log_variance.data<T>()),
           static_cast<const T*>(dz.data<T>()), static_cast<const T*>(dkl.data<T>()), d_mean.data<T>(),
           accumulate_mean, d_log_variance.data<T>(), accumulate_log_variance);
  });
}

}  // namespace elbo::cuda

#endif
