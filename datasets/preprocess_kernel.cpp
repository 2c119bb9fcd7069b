#include "datasets/preprocess_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include "tensor/cuda/random_kernels.h"

namespace elbo::cuda {
namespace {

constexpr int kGroup = 4;  // dimensions whose noise comes from one counter

/// What a stored number becomes; mean and scale are those of its dimension, or null.
template <class T, class Stored, class Formula>
__device__ T preprocessed(Formula formula, Stored stored, float u, const double* mean, const double* scale) {
  if (!mean) return formula.forward(static_cast<T>(stored), static_cast<T>(u));
  if constexpr (sizeof(Stored) == 1)
    return standardized<T>(formula.forward(static_cast<T>(stored), static_cast<T>(u)), *mean, *scale);
  else
    return standardized<T>(stored, *mean, *scale);
}

/// A thread has up to kGroup dimensions of a point.
template <class T, class Stored, class Formula>
__global__ void __launch_bounds__(kThreads)
    preprocess_kernel(const Stored* points, int64_t width, RandomKey noise, const int64_t* order,
                      const int64_t* place, int64_t rows, T* out, bool packed, Formula formula,
                      const double* mean, const double* scale) {
  await_turn();
  const int64_t groups = (width + kGroup - 1) / kGroup, first = place[0];
  for (int64_t i = thread_index(); i < rows * groups; i += thread_count()) {
    const int64_t row = quotient(i, groups), column = (i - row * groups) * kGroup;
    const int64_t count = width - column < kGroup ? width - column : kGroup;
    const int64_t point = order[first + row];
    // Noise is drawn in f32 whatever T is, so that both see the same points.
    float u[kGroup] = {};
    if (Formula::noisy) draw_four<UniformDraw>(noise, point * width + column, u);
    const Stored* const from = points + point * width + column;
    T* const to = out + row * width + column;
    const auto made_of = [&](Stored stored, int j) {
      return preprocessed<T>(formula, stored, u[j], mean ? mean + column + j : nullptr,
                             mean ? scale + column + j : nullptr);
    };
    if (packed) {
      const auto stored = *reinterpret_cast<const Pack<Stored, kGroup>*>(from);
      Pack<T, kGroup> made;
      for (int j = 0; j < kGroup; ++j) made.value[j] = made_of(stored.value[j], j);
      *reinterpret_cast<Pack<T, kGroup>*>(to) = made;
    } else {
      for (int j = 0; j < count; ++j) to[j] = made_of(from[j], j);
    }
  }
}

const double* numbers(const Tensor& of_each) { return of_each.defined() ? of_each.data<double>() : nullptr; }

template <class T, class Stored, class Formula>
void run(const Tensor& points, const RandomKey& noise, const Tensor& order, const Tensor& place,
         const Tensor& out, Formula formula, const Preprocessing& preprocessing) {
  const int64_t rows = out.size(0), width = out.size(1);
  const bool packed = width % kGroup == 0 && is_packable(points.bytes(), sizeof(Pack<Stored, kGroup>)) &&
                      is_packable(out.bytes(), sizeof(Pack<T, kGroup>));
  launch(
      "preprocess", preprocess_kernel<T, Stored, Formula>, blocks_for(rows * ((width + kGroup - 1) / kGroup)),
      kThreads, static_cast<const Stored*>(points.data<Stored>()), width, noise,
      static_cast<const int64_t*>(order.data<int64_t>()), static_cast<const int64_t*>(place.data<int64_t>()),
      rows, out.data<T>(), packed, formula, numbers(preprocessing.mean), numbers(preprocessing.scale));
}

}  // namespace

void preprocess_rows(const Tensor& points, const Preprocessing& preprocessing, const RandomKey& noise,
                     const Tensor& order, const Tensor& place, const Tensor& out) {
  if (out.elements() == 0) return;
  visit_floating(out.dtype(), "preprocess", [&](auto zero) {
    using T = decltype(zero);
    if (points.dtype() == DType::u8)
      return visit_formula(preprocessing, [&](auto formula) {
        run<T, uint8_t>(points, noise, order, place, out, formula, preprocessing);
      });
    if (points.dtype() == DType::f64)
      return run<T, double>(points, noise, order, place, out, RawPixel{}, preprocessing);
    run<T, float>(points, noise, order, place, out, RawPixel{}, preprocessing);
  });
}

}  // namespace elbo::cuda

#endif
