// With y = L^-1 (z - m), S = L L^T, all distances are Euclidean ones of y, and HZ is a function f(y) of them.
// Let F = df/dy, row by row. That m and S come from z as well takes from F what moves the points as a whole:
//   dHZ/dz = (F - Y (Y^T F) / n - mean of what that leaves) L^-1,
// because Y^T Y / n = I, and Y^T F is symmetric as f depends on y by distances alone.
#include "vae/henze_zirkler.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "autograd/tape.h"
#include "tensor/copy.h"
#include "tensor/map.h"
#include "tensor/parallel.h"
#include "vae/exponential.h"
#include "vae/parts.h"

namespace elbo {
namespace {

constexpr int64_t kLanes = 8;   // partial sums of a dot product: the same whatever the vectors' width
constexpr int64_t kBlock = 32;  // points that a point meets at a time
constexpr int64_t kRows = 128;  // points for which a part of the pairs is worth its own sums
constexpr int64_t kParts = 16;  // of the pairs of one member, at most
constexpr double kFar = 1e100;  // where the points lie that fill up a block: e^-distance is 0
constexpr double kRounding = 1e-14;

void check(const Variable& z) {
  if (z.rank() < 2 || z.rank() > 3)
    fail("[henze_zirkler] z must be (N, d) or (M, N, d), got {}", z.shape().str());
  if (z.size(-1) < 1 || z.size(-2) <= z.size(-1))
    fail("[henze_zirkler] {} points in {} dimensions; their covariance needs more points than dimensions",
         z.size(-2), z.size(-1));
}

double smoothing(int64_t n, int64_t d) {  // b
  const auto dimensions = static_cast<double>(d);
  return std::pow((2 * dimensions + 1) * static_cast<double>(n) / 4, 1 / (dimensions + 4)) / std::sqrt(2.0);
}

double dot(const double* a, const double* b, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] = math::multiply_add(a[i + l], b[i + l], lanes[l]);
  double total = 0;
  for (int64_t l = 0; l < kLanes; ++l) total += lanes[l];
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

/// The sum of a block's numbers, which are used up.
double fold(double* block) {
  for (int64_t half = kBlock / 2; half > 0; half /= 2)
    for (int64_t t = 0; t < half; ++t) block[t] += block[t + half];
  return block[0];
}

/// y -= factor x.
void subtract(double* y, double factor, const double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] -= factor * x[i];
}

double sum_of(const double* x, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += x[i];
  return total;
}

/// One member's points, a row for each dimension, so that loops run over points.
class Whitened {
 public:
  /// z (n, d).
  template <class T>
  Whitened(const T* z, int64_t n, int64_t d)
      : n_(n),
        d_(d),
        stride_((n / kBlock + 2) * kBlock),
        y_(static_cast<size_t>(d * stride_), 0.0),
        triangle_(static_cast<size_t>(d * d), 0.0) {
    for (int64_t i = 0; i < d; ++i) {
      double* own = row(i);
      for (int64_t j = 0; j < n; ++j) own[j] = static_cast<double>(z[j * d + i]);
      const double mean = sum_of(own, n) / static_cast<double>(n);
      for (int64_t j = 0; j < n; ++j) own[j] -= mean;
      if (dot(own, own, n) <= std::pow(kRounding * mean, 2) * static_cast<double>(n)) is_singular_ = true;
      std::fill(own + n, own + stride_, i == 0 ? kFar : 0.0);
    }
    factorise();
    for (int64_t i = 0; i < d && !is_singular_; ++i) {
      for (int64_t j = 0; j < i; ++j) subtract(row(i), at(i, j), row(j), n);
      for (int64_t j = 0; j < n; ++j) row(i)[j] /= at(i, i);
    }
  }

  bool is_singular() const { return is_singular_; }
  int64_t points() const { return n_; }
  int64_t dimensions() const { return d_; }
  int64_t stride() const { return stride_; }
  double* row(int64_t i) { return y_.data() + i * stride_; }
  const double* row(int64_t i) const { return y_.data() + i * stride_; }

  /// From F, rows of `stride` like y: dHZ/dz in its place.
  void pull_back(std::vector<double>& f) const {
    const auto n = static_cast<double>(n_);
    std::vector<double> product(static_cast<size_t>(d_ * d_));
    for (int64_t i = 0; i < d_; ++i)
      for (int64_t k = 0; k < d_; ++k)
        product[static_cast<size_t>(i * d_ + k)] = dot(row(k), f.data() + i * stride_, n_) / n;
    for (int64_t i = 0; i < d_; ++i) {
      double* own = f.data() + i * stride_;
      for (int64_t k = 0; k < d_; ++k) subtract(own, product[static_cast<size_t>(i * d_ + k)], row(k), n_);
      const double mean = sum_of(own, n_) / n;
      for (int64_t j = 0; j < n_; ++j) own[j] -= mean;
    }
    for (int64_t i = d_ - 1; i >= 0; --i) {  // L^T x = f
      double* own = f.data() + i * stride_;
      for (int64_t k = i + 1; k < d_; ++k) subtract(own, at(k, i), f.data() + k * stride_, n_);
      for (int64_t j = 0; j < n_; ++j) own[j] /= at(i, i);
    }
  }

 private:
  double& at(int64_t i, int64_t j) { return triangle_[static_cast<size_t>(i * d_ + j)]; }
  double at(int64_t i, int64_t j) const { return triangle_[static_cast<size_t>(i * d_ + j)]; }

  /// L of the centred points, unless what a dimension adds to those before it is rounding.
  void factorise() {
    for (int64_t i = 0; i < d_; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        const double covariance = dot(row(i), row(j), n_) / static_cast<double>(n_);
        const double left = covariance - dot(&at(i, 0), &at(j, 0), j);
        if (i == j && !(left > kRounding * covariance)) is_singular_ = true;
        at(i, j) = i == j ? std::sqrt(left) : left / at(j, j);
      }
  }

  int64_t n_, d_, stride_;
  std::vector<double> y_, triangle_;
  bool is_singular_ = false;
};

/// Sums over a part of the pairs, e_jk = exp(-b^2 D_jk / 2): of all e_jk, each pair once; for the gradient
/// w_j = sum_k e_jk and v_j = sum_k e_jk y_k, each pair for both of its points.
struct PairSums {
  double total = 0;
  std::vector<double> w, v;
};

/// Where the number of dimensions is known here, as kDimensions, a block's numbers stay in registers.
template <bool kWithGradient, int64_t kDimensions>
void add_pairs_of(int64_t j, const Whitened& y, double half_b2, PairSums& sums, double* any_own) {
  const int64_t n = y.points(), d = kDimensions ? kDimensions : y.dimensions(), stride = y.stride();
  double e[kBlock], near[kBlock] = {}, few_own[std::max<int64_t>(1, kDimensions) * kBlock];
  double* own = kDimensions ? few_own : any_own;
  if constexpr (kWithGradient) std::fill(own, own + d * kBlock, 0.0);
  for (int64_t first = j + 1; first < n; first += kBlock) {
    std::fill(e, e + kBlock, 0.0);
    for (int64_t i = 0; i < d; ++i) {
      const double* other = y.row(i) + first;
      const double mine = y.row(i)[j];
      for (int64_t t = 0; t < kBlock; ++t) {
        const double off = mine - other[t];
        e[t] = math::multiply_add(off, off, e[t]);
      }
    }
    for (int64_t t = 0; t < kBlock; ++t) e[t] = exp_not_positive(-half_b2 * e[t]);
    for (int64_t t = 0; t < kBlock; ++t) near[t] += e[t];
    if constexpr (kWithGradient) {
      double* w = sums.w.data() + first;
      for (int64_t t = 0; t < kBlock; ++t) w[t] += e[t];
      for (int64_t i = 0; i < d; ++i) {
        const double* other = y.row(i) + first;
        const double mine = y.row(i)[j];
        double* v = sums.v.data() + i * stride + first;
        for (int64_t t = 0; t < kBlock; ++t) v[t] = math::multiply_add(e[t], mine, v[t]);
        double* sum = own + i * kBlock;
        for (int64_t t = 0; t < kBlock; ++t) sum[t] = math::multiply_add(e[t], other[t], sum[t]);
      }
    }
  }
  const double total = fold(near);
  sums.total += total;
  if constexpr (!kWithGradient) return;
  sums.w[static_cast<size_t>(j)] += total;
  for (int64_t i = 0; i < d; ++i) sums.v[static_cast<size_t>(i * stride + j)] += fold(own + i * kBlock);
}

/// The pairs whose first point is in every `parts`-th block of points, from `part` on: each part has its
/// share of the long rows and of the short ones.
template <bool kWithGradient, int64_t kDimensions>
PairSums pairs_of_part(const Whitened& y, double half_b2, int64_t part, int64_t parts) {
  const auto points = static_cast<size_t>(y.stride()), numbers = points * static_cast<size_t>(y.dimensions());
  PairSums sums;
  if constexpr (kWithGradient) sums.w.assign(points, 0.0), sums.v.assign(numbers, 0.0);
  std::vector<double> own(static_cast<size_t>(y.dimensions() * kBlock));
  for (int64_t j = 0; j < y.points(); ++j)
    if (j / kLanes % parts == part) add_pairs_of<kWithGradient, kDimensions>(j, y, half_b2, sums, own.data());
  return sums;
}

template <bool kWithGradient>
auto pairs_in(int64_t d) {
  return d == 1   ? pairs_of_part<kWithGradient, 1>
         : d == 2 ? pairs_of_part<kWithGradient, 2>
                  : pairs_of_part<kWithGradient, 0>;
}

void add(std::vector<double>& to, const std::vector<double>& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

/// HZ, and dHZ/dz (n, d) where a gradient is wanted, from the sums over all pairs.
template <class T>
double finish(const Whitened& y, double b, const PairSums& pairs, T* gradient) {
  const int64_t points = y.points(), d = y.dimensions(), stride = y.stride();
  const double n = static_cast<double>(points), half_d = static_cast<double>(d) / 2, b2 = b * b;
  const double factor = std::pow(1 + b2, -half_d), rate = b2 / (2 * (1 + b2));
  std::vector<double> near(static_cast<size_t>(points), 0.0);  // exp(-rate D_j)
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = 0; j < points; ++j) near[static_cast<size_t>(j)] += y.row(i)[j] * y.row(i)[j];
  for (double& each : near) each = exp_not_positive(-rate * each);
  const double statistic =
      1 + 2 * pairs.total / n - 2 * factor * sum_of(near.data(), points) + n * std::pow(1 + 2 * b2, -half_d);
  if (!gradient) return statistic;
  std::vector<double> f(static_cast<size_t>(d * stride), 0.0);
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = 0; j < points; ++j) {
      const auto at = static_cast<size_t>(i * stride + j), point = static_cast<size_t>(j);
      f[at] = 4 * factor * rate * near[point] * y.row(i)[j] -
              2 * b2 / n * (pairs.w[point] * y.row(i)[j] - pairs.v[at]);
    }
  y.pull_back(f);
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = 0; j < points; ++j)
      gradient[j * d + i] = static_cast<T>(f[static_cast<size_t>(i * stride + j)]);
  return statistic;
}

/// The statistic of every member, and its gradient (M, N, d) where that is defined.
template <class T>
void all_members(const Tensor& z, const Tensor& statistic, const Tensor& gradient) {
  const int64_t n = z.size(-2), d = z.size(-1), members = statistic.elements();
  const int64_t parts = std::clamp<int64_t>(n / kRows, 1, kParts);
  const double b = smoothing(n, d), half_b2 = b * b / 2;
  std::vector<std::unique_ptr<Whitened>> whitened(static_cast<size_t>(members));
  const int64_t few = std::max<int64_t>(1, kParallelGrain / (n * d * d));
  parallel_for(members, few, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m)
      whitened[static_cast<size_t>(m)] = std::make_unique<Whitened>(z.data<T>() + m * n * d, n, d);
  });
  std::vector<PairSums> sums(static_cast<size_t>(members * parts));
  const int64_t grain =
      std::max<int64_t>(1, kParallelGrain * parts / (n * n));  // a pair costs some operations
  const auto of_part = gradient.defined() ? pairs_in<true>(d) : pairs_in<false>(d);
  parallel_for(members * parts, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Whitened& y = *whitened[static_cast<size_t>(task / parts)];
      if (y.is_singular()) continue;
      sums[static_cast<size_t>(task)] = of_part(y, half_b2, task % parts, parts);
    }
  });
  parallel_for(members, few, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const Whitened& y = *whitened[static_cast<size_t>(m)];
      T* own = gradient.defined() ? gradient.data<T>() + m * n * d : nullptr;
      if (y.is_singular()) {
        statistic.data<T>()[m] = static_cast<T>(std::nan(""));
        if (own) std::fill(own, own + n * d, static_cast<T>(std::nan("")));
        continue;
      }
      PairSums& total = sums[static_cast<size_t>(m * parts)];
      for (int64_t part = 1; part < parts; ++part) {
        const PairSums& more = sums[static_cast<size_t>(m * parts + part)];
        total.total += more.total;
        add(total.w, more.w);
        add(total.v, more.v);
      }
      statistic.data<T>()[m] = static_cast<T>(finish(y, b, total, own));
    }
  });
}

/// x with axes of size 1 put where they broadcast: (M?) for (M?, N, d).
Tensor for_points(const Tensor& of_member) {
  return of_member.reshape(of_member.shape().concatenated({1, 1}));
}

}  // namespace

Variable henze_zirkler(const Variable& z) {
  check(z);
  if (z.value().device() == Device::cuda) return henze_zirkler_twin(z);
  const Tensor statistic = Tensor::empty(z.shape().drop_back(2), z.dtype());
  Tensor gradient;
  if (Tape::live() && z.needs_gradient()) gradient = Tensor::empty(z.shape(), z.dtype());
  z.dtype() == DType::f32 ? all_members<float>(z.value(), statistic, gradient)
                          : all_members<double>(z.value(), statistic, gradient);
  return Tape::record("henze_zirkler", {&z}, statistic, [gradient](Backward& pass) {
    pass.add(0, map(Product{}, gradient, for_points(pass.dy())));
  });
}

Variable henze_zirkler_twin(const Variable& z) {
  check(z);
  const int64_t points = z.size(-2), d = z.size(-1);
  const double n = static_cast<double>(points), half_d = static_cast<double>(d) / 2, b = smoothing(points, d),
               b2 = b * b;
  const Variable centred = z - mean(z, {-2}, true);
  const Variable factor = cholesky_factor(matmul_tn(centred, centred) / n);
  const auto element = [&](int64_t i, int64_t j) {  // of L, (M?, 1, 1)
    return slice(slice(factor, -2, i, i + 1), -1, j, j + 1);
  };
  std::vector<Variable> columns;  // of y, y L^T = centred
  for (int64_t i = 0; i < d; ++i) {
    Variable column = slice(centred, -1, i, i + 1);
    for (int64_t j = 0; j < i; ++j) column = column - element(i, j) * columns[static_cast<size_t>(j)];
    columns.push_back(column / element(i, i));
  }
  const Variable y = d > 1 ? concat(columns, -1) : columns[0];
  const Variable distance = sum(square(y), {-1}, true);  // D_j: (M?, N, 1)
  const Shape row = z.shape().drop_back(2).concatenated({1, points});
  const Variable pairs = distance + reshape(distance, row) - 2.0 * matmul_nt(y, y);  // D_jk
  return sum(exp(-b2 / 2 * pairs), {-1, -2}) / n -
         2 * std::pow(1 + b2, -half_d) * sum(exp(-b2 / (2 * (1 + b2)) * distance), {-1, -2}) +
         n * std::pow(1 + 2 * b2, -half_d);
}

HenzeZirklerNull henze_zirkler_null(int64_t n, int64_t d) {
  if (n < 1 || d < 1) fail("[henze_zirkler] {} points in {} dimensions; there must be some", n, d);
  const double b = smoothing(n, d), b2 = b * b, b4 = b2 * b2, b8 = b4 * b4, p = static_cast<double>(d);
  const double a = 1 + 2 * b2, w = (1 + b2) * (1 + 3 * b2);
  const double mean = 1 - std::pow(a, -p / 2) * (1 + p * b2 / a + p * (p + 2) * b4 / (2 * a * a));
  const double variance =
      2 * std::pow(1 + 4 * b2, -p / 2) +
      2 * std::pow(a, -p) * (1 + 2 * p * b4 / (a * a) + 3 * p * (p + 2) * b8 / (4 * a * a * a * a)) -
      4 * std::pow(w, -p / 2) * (1 + 3 * p * b4 / (2 * w) + p * (p + 2) * b8 / (2 * w * w));
  return {mean, variance};
}

double HenzeZirklerNull::p_value(double statistic) const {
  if (std::isnan(statistic)) return statistic;
  if (statistic <= 0) return 1;  // by rounding
  const double spread = std::sqrt(std::log1p(variance / (mean * mean)));
  const double centre = std::log(mean) - spread * spread / 2;
  return std::erfc((std::log(statistic) - centre) / (spread * std::sqrt(2.0))) / 2;
}

std::vector<HenzeZirklerTest> test_henze_zirkler(const Tensor& z, int64_t most, const RandomKey& key) {
  if (z.rank() < 2 || z.rank() > 3 || most < 1)
    fail("[henze_zirkler] needs z (N, d) or (M, N, d) and at least one point of it, got {} and {}",
         z.shape().str(), most);
  const int64_t n = z.size(-2), d = z.size(-1), members = z.rank() == 3 ? z.size(0) : 1;
  const Tensor chosen = permutation(n, key).slice(0, std::min(most, n));
  const int64_t points = chosen.size(0);
  const HenzeZirklerNull null = points > 0 ? henze_zirkler_null(points, d) : HenzeZirklerNull{};
  std::vector<HenzeZirklerTest> tests;
  for (int64_t m = 0; m < members; ++m) {
    const Tensor own = z.rank() == 3 ? z.slice(m) : z;
    const double statistic =
        points > d ? henze_zirkler(gather_rows(own.to(DType::f64).to(Device::cpu), chosen)).item()
                   : std::nan("");
    tests.push_back({statistic, null.p_value(statistic), points});
  }
  return tests;
}

}  // namespace elbo
