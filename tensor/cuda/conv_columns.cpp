// Convolutions as products with columns (conv.h), for CUDA and emulated builds: kernels that make columns of
// images, and images of columns, around gemm.
//
// Columns are (batch * out_height * out_width, kernel_height * kernel_width * channels). In both kernels a
// block has a line at a time, a row of places or of pixels, so that its threads have little to divide; each
// number has one writer, which adds in one order.
#include "tensor/cuda/conv.h"
#include "tensor/cuda/kernel.h"
#include "tensor/gemm.h"

namespace elbo::cuda::columns {
namespace {

constexpr int kLineThreads = 128;  // of a block: lines are short

/// The pixel of x under row (or column) `tap` of the kernel, for pixel `out` of y; it may lie in the padding.
__device__ __forceinline__ int64_t under(const ConvSizes& s, int64_t out, int64_t tap) {
  return out * s.stride - s.padding + tap;
}

__device__ __forceinline__ bool is_inside(int64_t pixel, int64_t count) {
  return pixel >= 0 && pixel < count;
}

/// Where pixel (row, column) of image `n` begins, in images of this height, width and depth.
__device__ __forceinline__ int64_t pixel(int64_t n, int64_t row, int64_t column, int64_t height,
                                         int64_t width, int64_t depth) {
  return ((n * height + row) * width + column) * depth;
}

/// The columns of x. A row of the kernel at one place is a run of numbers that lie side by side both in x and
/// in the columns, which are written in packs of kWidth. They are read in packs, too, if `kPacked`: a pack is
/// then part of one pixel.
template <int kWidth, bool kPacked, class T>
__global__ void __launch_bounds__(kLineThreads) columns_kernel(ConvSizes s, T* columns, const T* x) {
  await_turn();
  const int64_t run = s.kernel_width * s.channels / kWidth, place = s.kernel_height * run;  // in packs
  const int64_t row = s.width * s.channels;
  for (int64_t line = blockIdx.x; line < s.batch * s.out_height; line += gridDim.x) {
    int64_t n = line;
    const int64_t i = take(n, s.out_height);
    for (int64_t at = threadIdx.x; at < s.out_width * place; at += kLineThreads) {
      int64_t j = at;
      const int64_t along = take(j, run) * kWidth, r = take(j, s.kernel_height);
      const int64_t h = under(s, i, r), from = under(s, j, 0) * s.channels + along;
      Pack<T, kWidth> pack{};  // the padding's zeros
      if (is_inside(h, s.height)) {
        const T* const numbers = x + pixel(n, h, 0, s.height, s.width, s.channels);
        if constexpr (kPacked) {
          if (is_inside(from, row)) pack = *reinterpret_cast<const Pack<T, kWidth>*>(numbers + from);
        } else {
          for (int k = 0; k < kWidth; ++k)
            if (is_inside(from + k, row)) pack.value[k] = numbers[from + k];
        }
      }
      *reinterpret_cast<Pack<T, kWidth>*>(columns + (line * s.out_width * place + at) * kWidth) = pack;
    }
  }
}

/// Calls f(out, tap) for all places of the kernel, of `count` along an axis, that have pixel `in` of x under
/// one of their taps.
template <class F>
__device__ __forceinline__ void for_each_above(const ConvSizes& s, int64_t in, int64_t taps, int64_t count,
                                               const F& f) {
  int64_t out = quotient(in + s.padding, s.stride);
  for (int64_t tap = in + s.padding - out * s.stride; tap < taps && out >= 0; tap += s.stride, --out)
    if (out < count) f(out, tap);
}

/// dx = the sum of all columns that are of the same pixel (+ dx), with a thread for kWidth of its channels.
template <int kWidth, class T>
__global__ void __launch_bounds__(kLineThreads)
    images_kernel(ConvSizes s, T* dx, const T* columns, bool accumulate) {
  await_turn();
  using Channels = Pack<T, kWidth>;
  const int64_t depth = s.channels / kWidth;
  for (int64_t line = blockIdx.x; line < s.batch * s.height; line += gridDim.x) {
    int64_t n = line;
    const int64_t h = take(n, s.height);
    for (int64_t at = threadIdx.x; at < s.width * depth; at += kLineThreads) {
      int64_t w = at;
      const int64_t c = take(w, depth) * kWidth;
      Channels* const to = reinterpret_cast<Channels*>(dx + line * s.width * s.channels + at * kWidth);
      Channels sum{};
      if (accumulate) sum = *to;
      for_each_above(s, h, s.kernel_height, s.out_height, [&](int64_t i, int64_t r) {
        for_each_above(s, w, s.kernel_width, s.out_width, [&](int64_t j, int64_t t) {
          const int64_t place = pixel(n, i, j, s.out_height, s.out_width, s.kernel_height);
          const Channels more = *reinterpret_cast<const Channels*>(
              columns + ((place + r) * s.kernel_width + t) * s.channels + c);
          for (int k = 0; k < kWidth; ++k) sum.value[k] += more.value[k];
        });
      });
      *to = sum;
    }
  }
}

void make_columns(const ConvSizes& s, const Tensor& columns, const Tensor& x) {
  visit_floating(x.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    constexpr int kWidth = kPackSize<T>;
    const T* const from = x.data<T>();
    const auto go = [&](auto kernel) {
      launch("conv2d", kernel, blocks_for(s.batch * s.out_height, 1), kLineThreads, s, columns.data<T>(),
             from);
    };
    if (s.channels % kWidth == 0 && is_packable(from))
      go(columns_kernel<kWidth, true, T>);
    else if (s.kernel_width * s.channels % kWidth == 0)
      go(columns_kernel<kWidth, false, T>);
    else
      go(columns_kernel<1, true, T>);
  });
}

void make_images(const ConvSizes& s, const Tensor& dx, const Tensor& columns, bool accumulate) {
  visit_floating(dx.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    constexpr int kWidth = kPackSize<T>;
    const T* const from = columns.data<T>();
    const auto go = [&](auto kernel) {
      launch("conv2d", kernel, blocks_for(s.batch * s.height, 1), kLineThreads, s, dx.data<T>(), from,
             accumulate);
    };
    if (s.channels % kWidth == 0 && is_packable(dx.data<T>()))
      go(images_kernel<kWidth, T>);
    else
      go(images_kernel<1, T>);
  });
}

/// Calls f(sizes, columns, x, y) for parts of the batch whose columns are made at a time: `columns` is room
/// for them, y (batch * out_height * out_width, filters).
template <class F>
void by_columns(const ConvSizes& s, const Tensor& x, const Tensor& y, int64_t most, const F& f) {
  const int64_t places = s.out_height * s.out_width;
  const int64_t place = s.kernel_height * s.kernel_width * s.channels;
  const int64_t images = std::clamp<int64_t>(most / (places * place), 1, s.batch);
  const Tensor columns = Tensor::empty({images * places, place}, x.dtype(), Device::cuda);
  for_each_part(s, images, x, y, [&](const ConvSizes& part, const Tensor& xs, const Tensor& ys) {
    const int64_t rows = part.batch * places;
    f(part, columns.slice(0, rows), xs, ys.reshape({rows, s.filters}));
  });
}

Tensor filter_rows(const Tensor& weight) { return weight.reshape({weight.size(0), -1}); }

}  // namespace

void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate, int64_t most) {
  by_columns(sizes, x, y, most,
             [&](const ConvSizes& part, const Tensor& columns, const Tensor& xs, const Tensor& ys) {
               make_columns(part, columns, xs);
               gemm(ys, columns, Transpose::no, filter_rows(weight), Transpose::yes, accumulate);
             });
}

void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate, int64_t most) {
  by_columns(sizes, dx, dy, most,
             [&](const ConvSizes& part, const Tensor& columns, const Tensor& dxs, const Tensor& dys) {
               gemm(columns, dys, Transpose::no, filter_rows(weight), Transpose::no);
               make_images(part, dxs, columns, accumulate);
             });
}

void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate, int64_t most) {
  by_columns(sizes, x, dy, most,
             [&](const ConvSizes& part, const Tensor& columns, const Tensor& xs, const Tensor& dys) {
               make_columns(part, columns, xs);
               gemm(filter_rows(dw), dys, Transpose::yes, columns, Transpose::no, accumulate);
               accumulate = true;  // what the next part does
             });
}

}  // namespace elbo::cuda::columns
