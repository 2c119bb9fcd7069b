#include "apps/training/loaded_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "tensor/file.h"
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

namespace {

struct Moments {
  std::vector<double> mean, deviation;
};

/// In two passes; the second also takes the mean of what is left, so that equal numbers deviate by nothing.
Moments moments_of(const LoadedData& data) {
  const Shape row{1, data.dataset.dimensions()};
  const auto average = [&](auto formula, const auto&... of_each) {
    const Tensor total = Tensor::zeros(row, DType::f64);
    for_each_part(data, [&](const Tensor& x) {
      map_reduce_into<Sum>(total, true, formula, x.to(DType::f64), of_each...);
    });
    return map(Scaled{1.0 / static_cast<double>(data.dataset.points())}, total);
  };
  const Tensor mean = average(Identity{});
  add_into(mean, average(Difference{}, mean));
  const Tensor variance = average(SquareOfDifference{}, mean);
  Moments moments{mean.to_vector(), variance.to_vector()};
  for (double& value : moments.deviation) value = std::sqrt(value);
  return moments;
}

constexpr double kUnitRoundoff = 0x1p-24;  // rounding to f32 moves a number by so much of itself at most

/// Whether a dimension has one value, but for how moments are rounded.
bool is_constant(const Moments& moments, size_t j) {
  return moments.deviation[j] <= 0x1p-52 * std::abs(moments.mean[j]);
}

}  // namespace

Spread spread_of(const LoadedData& data) {
  Moments moments = moments_of(data);
  for (size_t j = 0; j < moments.mean.size(); ++j)
    if (is_constant(moments, j)) moments.deviation[j] = 1;
  const auto numbers = [&](const std::vector<double>& of_each) {
    return Tensor::from<double>({data.dataset.dimensions()}, of_each);
  };
  return {numbers(moments.mean), numbers(moments.deviation)};
}

double variance_per_dimension(const LoadedData& data) {
  double total = 0;
  for (const double deviation : moments_of(data).deviation) total += deviation * deviation;
  return total / static_cast<double>(data.dataset.dimensions());
}

std::string range_warning(const LoadedData& data, bool centred) {
  constexpr double kDigits = 1e-3;              // of the deviation, that rounding may be
  constexpr double kLeast = 1e-4, kMost = 1e4;  // deviations that training copes with
  constexpr double kMostSquares = 1e30;         // of a point; their gradients are squared again
  if (data.dataset.has_pixels()) return {};
  const Moments moments = moments_of(data);
  const auto described = [&](size_t j) {
    return fmt::format("warning: dimension {} of {} has mean {:.3g} and standard deviation {:.3g}", j,
                       quote(data.dataset.name), moments.mean[j], moments.deviation[j]);
  };
  size_t widest = 0;
  std::optional<size_t> offset;  // the first dimension whose mean is too large beside its deviation
  double squares = 0;
  for (size_t j = 0; j < moments.mean.size(); ++j) {
    if (moments.deviation[j] > moments.deviation[widest]) widest = j;
    squares += std::pow(moments.deviation[j], 2) + (centred ? 0 : std::pow(moments.mean[j], 2));
    const bool loses_digits = !centred && !is_constant(moments, j) &&
                              kUnitRoundoff * std::abs(moments.mean[j]) > kDigits * moments.deviation[j];
    if (loses_digits && !offset) offset = j;
  }
  if (squares > kMostSquares)
    fail(
        "[data] the squares of a point of {} add up to about {:.1g}, more than training in f32 copes with; "
        "use --standardize",
        quote(data.dataset.name), squares);
  if (offset)
    return described(*offset) + ", of which f32 keeps less than three digits; " +
           (data.dataset.x.dtype() == DType::f32 ? "save the array in float64 and use --standardize"
                                                 : "use --standardize");
  const double most = moments.deviation[widest];
  if (most == 0 || (most >= kLeast && most <= kMost)) return {};
  return described(widest) + ", far from the 1 that weights and sigma^2 start for; use --standardize";
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
