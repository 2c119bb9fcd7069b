#include "tensor/conv_reference.h"

#include <algorithm>
#include <vector>

#include "tensor/parallel.h"

namespace elbo::reference {
namespace {

/// Rows of images worth a thread's while, if each takes so many multiply-adds.
int64_t grain(int64_t work) { return std::max<int64_t>(1, kParallelGrain / std::max<int64_t>(work, 1)); }

template <class T>
double dot(int64_t n, const T* a, const T* b) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// sums += factor * row.
template <class T>
void add_scaled(std::vector<double>& sums, T factor, const T* row) {
  const auto n = static_cast<int64_t>(sums.size());
  double* const to = sums.data();
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] += static_cast<double>(factor) * static_cast<double>(row[i]);
}

template <class T>
void store(T* to, const std::vector<double>& sums, bool accumulate) {
  for (size_t i = 0; i < sums.size(); ++i)
    to[i] = static_cast<T>(accumulate ? static_cast<double>(to[i]) + sums[i] : sums[i]);
}

}  // namespace

template <class T>
void conv_forward(const ConvSizes& s, T* y, const T* x, const T* weight, bool accumulate) {
  const int64_t work = s.out_width * s.filters * s.kernel_height * s.kernel_width * s.channels;
  parallel_for(s.batch * s.out_height, grain(work), [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>(s.filters));
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / s.out_height, i = row % s.out_height;
      for (int64_t j = 0; j < s.out_width; ++j) {
        for (int64_t k = 0; k < s.filters; ++k) {
          double sum = 0;
          for (int64_t r = 0; r < s.kernel_height; ++r)
            for (int64_t t = 0; t < s.kernel_width; ++t) {
              const int64_t h = under(s, i, r), w = under(s, j, t);
              if (is_inside(h, s.height) && is_inside(w, s.width))
                sum += dot(s.channels, x + pixel(n, h, w, s.height, s.width, s.channels),
                           weight + pixel(k, r, t, s.kernel_height, s.kernel_width, s.channels));
            }
          sums[static_cast<size_t>(k)] = sum;
        }
        store(y + pixel(n, i, j, s.out_height, s.out_width, s.filters), sums, accumulate);
      }
    }
  });
}

template <class T>
void conv_backward_data(const ConvSizes& s, T* dx, const T* dy, const T* weight, bool accumulate) {
  const int64_t work = s.width * s.filters * s.kernel_height * s.kernel_width * s.channels;
  parallel_for(s.batch * s.height, grain(work), [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>(s.channels));
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / s.height, h = row % s.height;
      for (int64_t w = 0; w < s.width; ++w) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int64_t r = 0; r < s.kernel_height; ++r)
          for (int64_t t = 0; t < s.kernel_width; ++t) {
            const int64_t i = above(s, h, r, s.out_height), j = above(s, w, t, s.out_width);
            if (i < 0 || j < 0) continue;
            const T* const here = dy + pixel(n, i, j, s.out_height, s.out_width, s.filters);
            for (int64_t k = 0; k < s.filters; ++k)
              add_scaled(sums, here[k], weight + pixel(k, r, t, s.kernel_height, s.kernel_width, s.channels));
          }
        store(dx + pixel(n, h, w, s.height, s.width, s.channels), sums, accumulate);
      }
    }
  });
}

template <class T>
void conv_backward_weight(const ConvSizes& s, T* dw, const T* x, const T* dy, bool accumulate) {
  const int64_t work = s.batch * s.out_height * s.out_width * s.kernel_width * s.channels;
  parallel_for(s.filters * s.kernel_height, grain(work), [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>(s.channels));
    for (int64_t row = begin; row < end; ++row) {
      const int64_t k = row / s.kernel_height, r = row % s.kernel_height;
      for (int64_t t = 0; t < s.kernel_width; ++t) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int64_t n = 0; n < s.batch; ++n)
          for (int64_t i = 0; i < s.out_height; ++i)
            for (int64_t j = 0; j < s.out_width; ++j) {
              const int64_t h = under(s, i, r), w = under(s, j, t);
              if (is_inside(h, s.height) && is_inside(w, s.width))
                add_scaled(sums, dy[pixel(n, i, j, s.out_height, s.out_width, s.filters) + k],
                           x + pixel(n, h, w, s.height, s.width, s.channels));
            }
        store(dw + pixel(k, r, t, s.kernel_height, s.kernel_width, s.channels), sums, accumulate);
      }
    }
  });
}

template void conv_forward(const ConvSizes&, float*, const float*, const float*, bool);
template void conv_forward(const ConvSizes&, double*, const double*, const double*, bool);
template void conv_backward_data(const ConvSizes&, float*, const float*, const float*, bool);
template void conv_backward_data(const ConvSizes&, double*, const double*, const double*, bool);
template void conv_backward_weight(const ConvSizes&, float*, const float*, const float*, bool);
template void conv_backward_weight(const ConvSizes&, double*, const double*, const double*, bool);

}  // namespace elbo::reference
