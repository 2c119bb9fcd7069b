#include "vae/decoder_alignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/gemm.h"
#include "tensor/map.h"

namespace elbo {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kRadian = 180 / 3.14159265358979323846;  // in degrees

/// The first `count` eigenvectors as rows (count, D).
Tensor leading_rows(const Eigen& eigen, int64_t count) {
  const int64_t d = eigen.vectors.size(0), known = eigen.vectors.size(1);
  const Tensor rows = Tensor::empty({count, d}, DType::f64);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < d; ++j)
      rows.data<double>()[i * d + j] = eigen.vectors.data<double>()[j * known + i];
  return rows;
}

/// Orthonormal rows that span what the columns of w (D, k) span: (rank, D).
Tensor span_of(const Tensor& w) {
  const Eigen axes = symmetric_eigen(matmul(w, Transpose::yes, w, Transpose::no));
  const int64_t rank = numerical_rank(axes.values);
  const Tensor rows = matmul(axes.vectors, Transpose::yes, w, Transpose::yes).slice(0, rank);
  for (int64_t i = 0; i < rank; ++i)
    map_into(rows.slice(i), Scaled{1 / std::sqrt(axes.values.at(i))}, rows.slice(i));
  return rows;
}

/// Largest angle in degrees between a direction in the span of `directions` (m, D), orthonormal, and that of
/// w's columns. From its sine, as a small angle is nothing to the cosine.
double largest_angle(const Tensor& directions, const Tensor& w) {
  const Tensor basis = span_of(w);
  if (basis.size(0) == 0) return 90;
  const Tensor within =
      matmul(matmul(directions, Transpose::no, basis, Transpose::yes), Transpose::no, basis, Transpose::no);
  const Tensor outside = map(Difference{}, directions, within);
  const double square = symmetric_eigen(matmul(outside, Transpose::no, outside, Transpose::yes)).values.at(0);
  return kRadian * std::asin(std::sqrt(std::clamp(square, 0.0, 1.0)));
}

}  // namespace

DecoderAlignment decoder_alignment(const LinearVaeWeights& weights, const Eigen& eigen) {
  const Tensor& w = weights.decoder;
  const int64_t d = w.size(0), k = w.size(1);
  const Tensor squares = map_reduce<Sum>({k}, Product{}, w, w);
  DecoderAlignment found{.columns = std::vector<int64_t>(static_cast<size_t>(k)),
                         .cosines = {},
                         .counted = {},
                         .median = kNaN,
                         .worst = kNaN,
                         .leading = 0,
                         .angle = kNaN};
  std::iota(found.columns.begin(), found.columns.end(), int64_t{0});
  std::stable_sort(found.columns.begin(), found.columns.end(),
                   [&](int64_t a, int64_t b) { return squares.at(a) > squares.at(b); });
  const int64_t compared = std::min(k, eigen.vectors.size(1));
  const Tensor directions = leading_rows(eigen, compared);
  const Tensor inner = matmul(directions, Transpose::no, w, Transpose::no);  // (compared, k)
  for (int64_t i = 0; i < compared; ++i) {
    const int64_t column = found.columns[static_cast<size_t>(i)];
    const double length = std::sqrt(squares.at(column));
    found.cosines.push_back(length > 0 ? std::abs(inner.at(i * k + column)) / length : 0);
  }

  // Whether eigenvalue i stands apart from the next; before the first and after the last there is none.
  const auto apart = [&](int64_t i) {
    return i < 0 || i + 1 >= d || eigen.values.at(i) >= kSeparateEigenvalues * eigen.values.at(i + 1);
  };
  std::vector<double> counted;
  for (int64_t i = 0; i < compared && eigen.values.at(i) > std::exp(weights.log_sigma2); ++i) {
    if (apart(i)) found.leading = i + 1;
    if (!apart(i - 1) || !apart(i)) continue;
    found.counted.push_back(i);
    counted.push_back(found.cosines[static_cast<size_t>(i)]);
  }
  if (!counted.empty()) {
    std::sort(counted.begin(), counted.end());
    found.worst = counted.front();
    found.median = counted[counted.size() / 2];
  }
  if (found.leading > 0) found.angle = largest_angle(leading_rows(eigen, found.leading), w);
  return found;
}

}  // namespace elbo
