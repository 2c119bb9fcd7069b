// The plain convolutions (conv.h), for CUDA and emulated builds.
#include "tensor/conv_reference.h"
#include "tensor/cuda/conv.h"
#include "tensor/cuda/kernel.h"

namespace elbo::cuda::plain {
namespace {

using reference::above;
using reference::is_inside;
using reference::pixel;
using reference::under;

template <class T>
__device__ void store(T* to, double sum, bool accumulate) {
  *to = static_cast<T>(accumulate ? static_cast<double>(*to) + sum : sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(ConvSizes s, T* y, const T* x, const T* weight, bool accumulate, int64_t elements) {
  await_turn();
  for (int64_t at = thread_index(); at < elements; at += thread_count()) {
    int64_t n = at;
    const int64_t k = take(n, s.filters), j = take(n, s.out_width), i = take(n, s.out_height);
    double sum = 0;
    for (int64_t r = 0; r < s.kernel_height; ++r)
      for (int64_t t = 0; t < s.kernel_width; ++t) {
        const int64_t h = under(s, i, r), w = under(s, j, t);
        if (!is_inside(h, s.height) || !is_inside(w, s.width)) continue;
        const T* const a = x + pixel(n, h, w, s.height, s.width, s.channels);
        const T* const b = weight + pixel(k, r, t, s.kernel_height, s.kernel_width, s.channels);
        for (int64_t c = 0; c < s.channels; ++c) sum += static_cast<double>(a[c]) * static_cast<double>(b[c]);
      }
    store(y + at, sum, accumulate);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_data_kernel(ConvSizes s, T* dx, const T* dy, const T* weight, bool accumulate,
                         int64_t elements) {
  await_turn();
  const int64_t filter = s.kernel_height * s.kernel_width * s.channels;
  for (int64_t at = thread_index(); at < elements; at += thread_count()) {
    int64_t n = at;
    const int64_t c = take(n, s.channels), w = take(n, s.width), h = take(n, s.height);
    double sum = 0;
    for (int64_t r = 0; r < s.kernel_height; ++r)
      for (int64_t t = 0; t < s.kernel_width; ++t) {
        const int64_t i = above(s, h, r, s.out_height), j = above(s, w, t, s.out_width);
        if (i < 0 || j < 0) continue;
        const T* const a = dy + pixel(n, i, j, s.out_height, s.out_width, s.filters);
        const T* const b = weight + pixel(0, r, t, s.kernel_height, s.kernel_width, s.channels) + c;
        for (int64_t k = 0; k < s.filters; ++k)
          sum += static_cast<double>(a[k]) * static_cast<double>(b[k * filter]);
      }
    store(dx + at, sum, accumulate);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_weight_kernel(ConvSizes s, T* dw, const T* x, const T* dy, bool accumulate, int64_t elements) {
  await_turn();
  for (int64_t at = thread_index(); at < elements; at += thread_count()) {
    int64_t k = at;
    const int64_t c = take(k, s.channels), t = take(k, s.kernel_width), r = take(k, s.kernel_height);
    double sum = 0;
    for (int64_t n = 0; n < s.batch; ++n)
      for (int64_t i = 0; i < s.out_height; ++i)
        for (int64_t j = 0; j < s.out_width; ++j) {
          const int64_t h = under(s, i, r), w = under(s, j, t);
          if (is_inside(h, s.height) && is_inside(w, s.width))
            sum += static_cast<double>(dy[pixel(n, i, j, s.out_height, s.out_width, s.filters) + k]) *
                   static_cast<double>(x[pixel(n, h, w, s.height, s.width, s.channels) + c]);
        }
    store(dw + at, sum, accumulate);
  }
}

/// Launches one of these, with a thread for each element of `out`.
template <class Kernel32, class Kernel64>
void run(Kernel32 kernel32, Kernel64 kernel64, const ConvSizes& sizes, const Tensor& out, const Tensor& a,
         const Tensor& b, bool accumulate) {
  const int64_t elements = out.elements();
  visit_floating(out.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    const auto go = [&](auto kernel) {
      launch("conv2d", kernel, blocks_for(elements), kThreads, sizes, out.data<T>(),
             static_cast<const T*>(a.data<T>()), static_cast<const T*>(b.data<T>()), accumulate, elements);
    };
    if constexpr (sizeof(T) == sizeof(float))
      go(kernel32);
    else
      go(kernel64);
  });
}

}  // namespace

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate) {
  run(forward_kernel<float>, forward_kernel<double>, sizes, y, x, weight, accumulate);
}

void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate) {
  run(backward_data_kernel<float>, backward_data_kernel<double>, sizes, dx, dy, weight, accumulate);
}

void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate) {
  run(backward_weight_kernel<float>, backward_weight_kernel<double>, sizes, dw, x, dy, accumulate);
}

}  // namespace elbo::cuda::plain
