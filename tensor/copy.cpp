#include "tensor/copy.h"

#include <cstring>

#include "tensor/cuda/kernels.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

void check_indices(const Tensor& x, const Tensor& indices, const char* where) {
  if (x.rank() < 1) fail("[{}] needs at least one axis to index", where);
  if (indices.rank() != 1) fail("[{}] indices must be one axis of i64, got {}", where, indices.shape().str());
  if (indices.device() == Device::cuda) return;  // reading them would hold up the stream
  for (int64_t index : indices.span<int64_t>())
    if (index < 0 || index >= x.size(0)) fail("[{}] index {} is outside 0..{}", where, index, x.size(0) - 1);
}

/// As cuda::copy_rows (cuda/kernels.h), on either device.
void copy_rows(Device device, std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step,
               int64_t rows, int64_t width, const int64_t* index = nullptr) {
  if (device == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::copy_rows(to, to_step, from, from_step, rows, width, index);
    return;
  }
  const int64_t grain = std::max<int64_t>(1, 4 * kParallelGrain / std::max<int64_t>(width, 1));
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * to_step, from + (index ? index[i] : i) * from_step, static_cast<size_t>(width));
  });
}

}  // namespace

void copy_range(const Tensor& target, int64_t target_begin, const Tensor& source, int64_t source_begin,
                int axis, int64_t count) {
  axis = normalize_axis(axis, source.rank(), "copy_range");
  Shape a = target.shape(), b = source.shape();
  if (a.rank() == b.rank()) a[axis] = b[axis] = 1;
  if (target.device() != source.device())
    fail("[copy_range] the target is on {}, the source on {}", name(target.device()), name(source.device()));
  if (target.dtype() != source.dtype())
    fail("[copy_range] the target is {}, the source {}", name(target.dtype()), name(source.dtype()));
  if (!(a == b))
    fail("[copy_range] {} and {} must agree in every axis but {}", target.shape().str(), source.shape().str(),
         axis);
  if (target_begin < 0 || source_begin < 0 || count < 0 || target_begin > target.size(axis) - count ||
      source_begin > source.size(axis) - count)
    fail("[copy_range] {} indices from {} to {} do not fit {} and {}", count, source_begin, target_begin,
         source.shape().str(), target.shape().str());
  int64_t outer = 1, inner = size_of(source.dtype());
  for (int i = 0; i < axis; ++i) outer *= source.size(i);
  for (int i = axis + 1; i < source.rank(); ++i) inner *= source.size(i);
  auto* to = static_cast<std::byte*>(target.bytes());
  const auto* from = static_cast<const std::byte*>(source.bytes());
  copy_rows(target.device(), to + target_begin * inner, target.size(axis) * inner,
            from + source_begin * inner, source.size(axis) * inner, outer, count * inner);
}

Tensor gather_rows(const Tensor& x, const Tensor& indices) {
  check_indices(x, indices, "gather_rows");
  Shape shape = x.shape();
  shape[0] = indices.size(0);
  Tensor rows = Tensor::empty(shape, x.dtype(), x.device());
  const int64_t bytes = x.shape().back(x.rank() - 1).elements() * size_of(x.dtype());
  const Tensor here = indices.to(x.device());
  copy_rows(x.device(), static_cast<std::byte*>(rows.bytes()), bytes,
            static_cast<const std::byte*>(x.bytes()), bytes, shape[0], bytes, here.data<int64_t>());
  return rows;
}

void scatter_add_rows(const Tensor& target, const Tensor& indices, const Tensor& rows) {
  check_indices(target, indices, "scatter_add_rows");
  Shape expected = target.shape();
  expected[0] = indices.size(0);
  if (!(rows.shape() == expected) || rows.dtype() != target.dtype())
    fail("[scatter_add_rows] rows must be {} {}, got {} {}", name(target.dtype()), expected.str(),
         name(rows.dtype()), rows.shape().str());
  const int64_t width = target.shape().back(target.rank() - 1).elements();
  const Tensor here = indices.to(target.device());
  const int64_t* index = here.data<int64_t>();
  const int64_t count = indices.size(0);
  if (target.device() == Device::cuda) {
    if constexpr (kHasGpuCode)
      cuda::scatter_add_rows(target.bytes(), rows.bytes(), target.dtype(), index, count, width);
    return;
  }
  visit_floating(target.dtype(), "scatter_add_rows", [&](auto zero) {
    using T = decltype(zero);
    T* to = target.data<T>();
    const T* from = rows.data<T>();
    // Threads share out columns, so every element is summed by one thread in the order of i.
    parallel_for(width, std::max<int64_t>(16, kParallelGrain / std::max<int64_t>(count, 1)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = 0; i < count; ++i)
                     for (int64_t j = begin; j < end; ++j) to[index[i] * width + j] += from[i * width + j];
                 });
  });
}

}  // namespace elbo
