#include "vae/reparameterize_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/map_kernels.h"
#  include "tensor/cuda/random_kernels.h"
#  include "tensor/map_loops.h"

namespace elbo::cuda {
namespace {

constexpr int kGroup = 4;  // elements whose noise comes from one counter

/// Sizes, and where the log variances of a row are: row / rows_of_log_variance.
struct Sizes {
  int64_t members, samples, rows, latent;  // rows: N, of one member
  int64_t rows_of_log_variance;
};

Sizes sizes_of(const Reparameterization& r) {
  const int64_t latent = r.mean.size(-1), all_rows = latent > 0 ? r.mean.elements() / latent : 0;
  const Shape& own = r.log_variance.shape();
  const int64_t own_rows = latent > 0 ? own.elements() / latent : 0;
  return {r.members, r.samples, all_rows / r.members, latent, own_rows > 0 ? all_rows / own_rows : 1};
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

/// The noise of a row's units from `unit` on, for one sample: element (sample N + row) k + unit of the
/// member's draw.
template <class T>
__device__ void draw_noise(const Sizes& s, RandomKey key, int64_t member, int64_t sample, int64_t row,
                           int64_t unit, T* noise) {
  key.member += static_cast<uint32_t>(member);
  draw_four<NormalDraw>(key, (sample * s.rows + row) * s.latent + unit, noise);
}

/// `lanes` threads have a row; the KL is its sum over units.
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
    const int64_t member = row / s.rows, own_row = row - member * s.rows;
    double total = 0;
    if (row < all) {
      const T* const means = mean + row * s.latent;
      const T* const log_variances = log_variance + row / s.rows_of_log_variance * s.latent;
      for (int64_t unit = lane * kGroup; unit < s.latent; unit += lanes * kGroup) {
        const int64_t count = s.latent - unit;
        const Pack<T, kGroup> m = load_group(means + unit, count, packed);
        const Pack<T, kGroup> lv = load_group(log_variances + unit, count, packed);
        T sigma[kGroup];
        for (int i = 0; i < kGroup; ++i) {
          sigma[i] = math::exp(T(0.5) * lv.value[i]);
          if (i < count)
            total += static_cast<double>(T(0.5) *
                                         (m.value[i] * m.value[i] + math::expm1(lv.value[i]) - lv.value[i]));
        }
        for (int64_t sample = 0; sample < s.samples; ++sample) {
          T noise[kGroup];
          draw_noise(s, key, member, sample, own_row, unit, noise);
          Pack<T, kGroup> drawn;
          for (int i = 0; i < kGroup; ++i) drawn.value[i] = m.value[i] + sigma[i] * noise[i];
          store_group(z + ((member * s.samples + sample) * s.rows + own_row) * s.latent + unit, drawn, count,
                      packed);
        }
      }
    }
    total = fold_lanes<Sum>(total, lanes, shared);
    if (lane == 0 && row < all) kl[row] = static_cast<T>(total);
  }
}

/// One thread has up to kGroup units of a row, and all their samples.
template <class T>
__global__ void __launch_bounds__(kThreads)
    reparameterize_gradients_kernel(Sizes s, RandomKey key, bool packed, const T* mean, const T* log_variance,
                                    const T* dz, const T* dkl, T* d_mean, bool accumulate_mean,
                                    T* d_log_variance, bool accumulate_log_variance) {
  await_turn();
  const int64_t groups = (s.latent + kGroup - 1) / kGroup;
  for (int64_t i = thread_index(); i < s.members * s.rows * groups; i += thread_count()) {
    const int64_t row = i / groups, unit = (i - row * groups) * kGroup, count = s.latent - unit;
    const int64_t member = row / s.rows, own_row = row - member * s.rows, at = row * s.latent + unit;
    const Pack<T, kGroup> m = load_group(mean + at, count, packed);
    const Pack<T, kGroup> lv =
        load_group(log_variance + row / s.rows_of_log_variance * s.latent + unit, count, packed);
    T sum[kGroup] = {}, sum_with_noise[kGroup] = {};
    for (int64_t sample = 0; sample < s.samples; ++sample) {
      T noise[kGroup];
      draw_noise(s, key, member, sample, own_row, unit, noise);
      const Pack<T, kGroup> d = load_group(
          dz + ((member * s.samples + sample) * s.rows + own_row) * s.latent + unit, count, packed);
      for (int j = 0; j < kGroup; ++j) {
        sum[j] += d.value[j];
        sum_with_noise[j] += d.value[j] * noise[j];
      }
    }
    const T of_kl = dkl[row];
    Pack<T, kGroup> a{}, b{};
    if (accumulate_mean) a = load_group(d_mean + at, count, packed);
    if (accumulate_log_variance) b = load_group(d_log_variance + at, count, packed);
    for (int j = 0; j < kGroup; ++j) {
      a.value[j] += sum[j] + of_kl * m.value[j];
      b.value[j] +=
          T(0.5) * (math::exp(T(0.5) * lv.value[j]) * sum_with_noise[j] + of_kl * math::expm1(lv.value[j]));
    }
    store_group(d_mean + at, a, count, packed);
    store_group(d_log_variance + at, b, count, packed);
  }
}

template <class T, class... Tensors>
bool are_packable(int64_t latent, const Tensors&... tensors) {
  return latent % kGroup == 0 &&
         ((reinterpret_cast<uintptr_t>(tensors.bytes()) % sizeof(Pack<T, kGroup>) == 0) && ...);
}

}  // namespace

bool is_fusable(const Reparameterization& r) {
  if (r.mean.rank() < 1 || r.mean.elements() == 0) return false;
  const Shape &mean = r.mean.shape(), &own = r.log_variance.shape();
  const Shape one_row{mean[-1]};
  if (own == mean || own == one_row) return true;
  return mean.rank() == 3 && own == Shape{mean[0], 1, mean[-1]} && mean[0] == r.members;
}

void reparameterize(const Reparameterization& r, const Tensor& z, const Tensor& kl) {
  const Sizes s = sizes_of(r);
  visit_floating(z.dtype(), "reparameterize_kl", [&](auto zero) {
    using T = decltype(zero);
    const int lanes = lanes_for(s.latent);
    launch("reparameterize_kl", reparameterize_kernel<T>, blocks_for(s.members * s.rows * lanes), kThreads, s,
           r.key, lanes, are_packable<T>(s.latent, r.mean, r.log_variance, z),
           static_cast<const T*>(r.mean.data<T>()), static_cast<const T*>(r.log_variance.data<T>()),
           z.data<T>(), kl.data<T>());
  });
}

void reparameterize_gradients(const Reparameterization& r, const Tensor& dz, const Tensor& dkl,
                              const Tensor& d_mean, bool accumulate_mean, const Tensor& d_log_variance,
                              bool accumulate_log_variance) {
  const Sizes s = sizes_of(r);
  visit_floating(dz.dtype(), "reparameterize_kl", [&](auto zero) {
    using T = decltype(zero);
    launch("reparameterize_kl", reparameterize_gradients_kernel<T>, blocks_for(r.mean.elements() / kGroup),
           kThreads, s, r.key, are_packable<T>(s.latent, r.mean, r.log_variance, dz, d_mean, d_log_variance),
           static_cast<const T*>(r.mean.data<T>()), static_cast<const T*>(r.log_variance.data<T>()),
           static_cast<const T*>(dz.data<T>()), static_cast<const T*>(dkl.data<T>()), d_mean.data<T>(),
           accumulate_mean, d_log_variance.data<T>(), accumulate_log_variance);
  });
}

}  // namespace elbo::cuda

#endif
