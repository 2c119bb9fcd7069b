#include "apps/loaded_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/map.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int64_t kRows = 512;  // of one part

/// Calls f with all points, a part at a time.
template <class F>
void for_each_part(const LoadedData& data, const F& f) {
  const int64_t points = data.dataset.points();
  for (int64_t begin = 0; begin < points; begin += kRows)
    f(data.rows(begin, std::min(begin + kRows, points)));
}

}  // namespace

DType LoadedData::dtype() const { return dataset.x.dtype() == DType::f64 ? DType::f64 : DType::f32; }

Tensor LoadedData::rows(int64_t begin, int64_t end) const {
  std::vector<int64_t> points(static_cast<size_t>(std::max<int64_t>(end - begin, 0)));
  std::iota(points.begin(), points.end(), begin);
  return rows(points);
}

Tensor LoadedData::rows(std::span<const int64_t> points) const {
  const auto count = static_cast<int64_t>(points.size());
  const Tensor x = Tensor::empty({count, dataset.dimensions()}, dtype());
  parallel_for(count, kParallelGrain / dataset.dimensions() + 1, [&](int64_t begin, int64_t end) {
    const auto some = points.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    preprocess_rows(dataset, preprocessing, seed, 0, some, x.slice(begin, end));
  });
  return x;
}

Tensor LoadedData::all() const { return preprocess_all(dataset, preprocessing, seed, 0, dtype()); }

Points points_of(const LoadedData& data, int64_t most) {
  return {std::min(most, data.dataset.points()),
          [&data](int64_t begin, int64_t end) { return data.rows(begin, end); }};
}

Tensor mean_of(const LoadedData& data) {
  const Tensor total = Tensor::zeros({1, data.dataset.dimensions()}, DType::f64);
  for_each_part(data, [&](const Tensor& x) {
    add_into(total, map_reduce<Sum>(total.shape(), Identity{}, x.to(DType::f64)));
  });
  return map(Scaled{1.0 / static_cast<double>(data.dataset.points())}, total)
      .reshape({data.dataset.dimensions()})
      .to(data.dtype());
}

Range range_of(const LoadedData& data) {
  Range range{INFINITY, -INFINITY};
  for_each_part(data, [&](const Tensor& x) {
    range.high = std::max(range.high, map_reduce<Max>({}, Identity{}, x).item());
    range.low = std::min(range.low, -map_reduce<Max>({}, Scaled{-1.0}, x).item());
  });
  return range;
}

}  // namespace elbo
