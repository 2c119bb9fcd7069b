#include "vae/two_sample.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "tensor/copy.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "vae/exponential.h"

namespace elbo {
namespace {

constexpr double kSmallest = 1e-5;          // under both roots, as in the reference implementation
constexpr int64_t kTogether = 64;           // repetitions whose points are drawn before they are looked at
constexpr int64_t kBlock = 256;             // rows of a matrix of all pairs that are there at a time
constexpr int64_t kMostNeighbours = 16384;  // points of which a matrix of all pairs, 2 GiB, is made

/// Both sets as one, (n1 + n2, D) f64 on the CPU.
Tensor pooled(const char* where, const Tensor& a, const Tensor& b, int64_t least) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1) || a.size(0) < least || b.size(0) < least)
    fail("[{}] needs two sets of points of one dimension, {} or more in each, got {} and {}", where, least,
         a.shape().str(), b.shape().str());
  const Tensor all = Tensor::empty({a.size(0) + b.size(0), a.size(1)}, DType::f64);
  all.slice(0, a.size(0)).copy_from(a.to(DType::f64).to(Device::cpu));
  all.slice(a.size(0), all.size(0)).copy_from(b.to(DType::f64).to(Device::cpu));
  return all;
}

bool is_finite(const Tensor& x) {
  return std::ranges::all_of(x.span<double>(), [](double value) { return std::isfinite(value); });
}

/// |x_i - x_j|^2 of points (n, D), row by row: what all rows together would be is symmetric to the last bit.
class SquaredDistances {
 public:
  explicit SquaredDistances(const Tensor& points)
      : n_(points.size(0)),
        dimensions_(points.size(1)),
        by_dimension_(static_cast<size_t>(n_ * dimensions_)) {  // loops then run over points
    for (int64_t i = 0; i < n_; ++i)
      for (int64_t j = 0; j < dimensions_; ++j)
        by_dimension_[static_cast<size_t>(j * n_ + i)] = points.data<double>()[i * dimensions_ + j];
  }

  int64_t points() const { return n_; }
  /// Those of point i: (n).
  void row(int64_t i, double* to) const {
    std::fill(to, to + n_, 0.0);
    for (int64_t k = 0; k < dimensions_; ++k) {
      const double* x = by_dimension_.data() + k * n_;
      const double own = x[i];
      for (int64_t j = 0; j < n_; ++j) {
        const double off = own - x[j];
        to[j] = math::multiply_add(off, off, to[j]);
      }
    }
  }
  /// Calls f(first row, rows (b, n)) for blocks of rows, in order.
  template <class F>
  void each_block(const F& f) const {
    const Tensor block = Tensor::empty({std::min(n_, kBlock), n_}, DType::f64);
    for (int64_t first = 0; first < n_; first += kBlock) {
      const Tensor rows = block.slice(0, std::min(kBlock, n_ - first));
      parallel_for(rows.size(0), std::max<int64_t>(1, kParallelGrain / (n_ * dimensions_ + 1)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) row(first + i, rows.data<double>() + i * n_);
                   });
      f(first, rows);
    }
  }

 private:
  int64_t n_, dimensions_;
  std::vector<double> by_dimension_;
};

/// The median of |x_i - x_j|^2 over pairs, the upper one of two, found by its bits from the highest on:
/// numbers of one sign are in the order of their bits.
double median_of(const SquaredDistances& distances) {
  constexpr int kBits = 16;
  const auto n = static_cast<uint64_t>(distances.points());
  uint64_t rank = n * (n - 1) / 2 / 2, known = 0;
  std::vector<uint64_t> counts(size_t{1} << kBits);
  for (int shift = 64 - kBits; shift >= 0; shift -= kBits) {
    std::fill(counts.begin(), counts.end(), uint64_t{0});
    distances.each_block([&](int64_t first, const Tensor& rows) {
      for (int64_t i = 0; i < rows.size(0); ++i) {
        const double* row = rows.data<double>() + i * rows.size(1);
        for (int64_t j = first + i + 1; j < rows.size(1); ++j) {
          const auto bits = std::bit_cast<uint64_t>(row[j]);
          const uint64_t part = bits >> shift;
          if (part >> kBits == known) ++counts[part & (counts.size() - 1)];
        }
      }
    });
    uint64_t part = 0;
    for (; rank >= counts[part]; ++part) rank -= counts[part];
    known = known << kBits | part;
  }
  return std::bit_cast<double>(known);
}

/// The chance of each of m others to be among the k that are chosen with a chance proportional to the product
/// of their e^(-alpha distance). Such products are elementary symmetric polynomials, of the others before one
/// and of those after it; divided by what the nearest contribute, they neither overflow nor all vanish.
class SoftChoice {
 public:
  SoftChoice(int64_t others, const SmoothKnnOptions& options)
      : m_(static_cast<size_t>(others)),
        k_(static_cast<size_t>(options.neighbours)),
        alpha_(options.sharpness),
        order_(m_),
        sorted_(m_),
        ratio_(k_ * m_),
        before_((m_ + 1) * k_),
        after_(k_) {}

  void choose(const std::vector<double>& distances, std::vector<double>& chances) {
    if (k_ == 1) return choose_one(distances, chances);
    std::iota(order_.begin(), order_.end(), size_t{0});
    // Of the others beyond the nearest k, only that they are beyond matters.
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(k_), order_.end(),
                      [&](size_t a, size_t b) {
                        return distances[a] < distances[b] || (distances[a] == distances[b] && a < b);
                      });
    for (size_t s = 0; s < m_; ++s) sorted_[s] = distances[order_[s]];
    for (size_t r = 0; r < k_; ++r) weigh(sorted_.data() + r, sorted_[r], ratio_.data() + r * m_ + r, m_ - r);
    const double all = sum_before();
    sum_after(all, chances);
  }

 private:
  /// weights = e^(-alpha (distances - nearest)).
  void weigh(const double* distances, double nearest, double* weights, size_t count) const {
    const double alpha = alpha_;
    for (size_t s = 0; s < count; ++s) weights[s] = exp_not_positive(-alpha * (distances[s] - nearest));
  }

  /// What `choose` is for k = 1, a softmax, in a tenth of the time.
  void choose_one(const std::vector<double>& distances, std::vector<double>& chances) const {
    double nearest = distances[0];
    for (double each : distances) nearest = each < nearest ? each : nearest;
    weigh(distances.data(), nearest, chances.data(), m_);
    double all = 0;
    for (double chance : chances) all += chance;
    for (double& chance : chances) chance /= all;
  }

  double ratio(size_t s, size_t r) const { return ratio_[r * m_ + s]; }  // r <= s
  /// The polynomial of degree r of the first s others.
  double& before(size_t s, size_t r) { return before_[s * k_ + r]; }

  /// That of degree k of all others.
  double sum_before() {
    std::fill(before_.begin(), before_.end(), 0.0);
    before(0, 0) = 1;
    double all = 0;
    for (size_t s = 0; s < m_; ++s) {
      if (s + 1 >= k_) all += ratio(s, k_ - 1) * before(s, k_ - 1);
      before(s + 1, 0) = 1;
      for (size_t r = 1; r < k_; ++r)
        before(s + 1, r) = before(s, r) + (s + 1 >= r ? ratio(s, r - 1) * before(s, r - 1) : 0);
    }
    return all;
  }

  /// From the last of the others to the first; after_[t] is that of degree t of those after s.
  void sum_after(double all, std::vector<double>& chances) {
    std::fill(after_.begin(), after_.end(), 0.0);
    after_[0] = 1;
    for (size_t s = m_; s-- > 0;) {
      double chance = 0;
      for (size_t t = k_; t > 0; --t) {  // from high degrees down, as each is made from the one below
        if (s < k_ - t) continue;
        const double with_own = ratio(s, k_ - t) * after_[t - 1];
        chance += before(s, k_ - t) * with_own;
        if (t < k_) after_[t] += with_own;
      }
      chances[order_[s]] = chance / all;
    }
  }

  size_t m_, k_;
  double alpha_;
  std::vector<size_t> order_;
  std::vector<double> sorted_, ratio_, before_, after_;
};

/// Mean and variance of T over all divisions, from U (n, n).
void set_moments(SmoothKnn& knn, const Tensor& u, double n1, double n2) {
  const int64_t points = u.size(0);
  const double n = n1 + n2, *value = u.data<double>();
  double total = 0, squares = 0, mirrored = 0, squared_degrees = 0;
  for (int64_t i = 0; i < points; ++i) {
    double degree = 0;
    for (int64_t j = 0; j < points; ++j) {
      const double to = value[i * points + j], from = value[j * points + i];
      total += to;
      squares += to * to;
      mirrored += to * from;
      degree += to + from;
    }
    squared_degrees += degree * degree;
  }
  const double c1 = n1 * n2 / (n * (n - 1)), c2 = 4 * (n1 - 1) * (n2 - 1) / ((n - 2) * (n - 3));
  knn.mean = 2 * total * c1;
  knn.variance =
      c1 * (1 - c2) * squared_degrees + c1 * c2 * (squares + mirrored) + c1 * (c2 - 4 * c1) * total * total;
}

}  // namespace

Tensor soft_neighbours(const Tensor& points, const SmoothKnnOptions& options) {
  const int64_t n = points.size(0);
  if (options.neighbours < 1 || options.neighbours >= n)
    fail("[smooth_knn] {} neighbours of {} points; there must be 1 to {}", options.neighbours, n, n - 1);
  if (!(options.sharpness > 0) || !std::isfinite(options.sharpness))
    fail("[smooth_knn] the sharpness must be positive, got {}", options.sharpness);
  const Tensor own = points.to(DType::f64).to(Device::cpu);
  if (n > kMostNeighbours)
    fail(
        "[smooth_knn] {} points in both sets would take {:.1f} GB for the chances of all pairs; draw at most "
        "{}",
        n, 8e-9 * static_cast<double>(n) * static_cast<double>(n), kMostNeighbours);
  if (!is_finite(own)) return Tensor::full({n, n}, std::nan(""), DType::f64);
  const SquaredDistances squared(own);
  const Tensor chances = Tensor::zeros({n, n}, DType::f64);
  parallel_for(n, std::max<int64_t>(1, kParallelGrain / n), [&](int64_t begin, int64_t end) {
    SoftChoice choice(n - 1, options);
    std::vector<double> distances(static_cast<size_t>(n - 1)), of_others(static_cast<size_t>(n - 1));
    std::vector<double> row(static_cast<size_t>(n));
    for (int64_t i = begin; i < end; ++i) {
      squared.row(i, row.data());
      double* to = chances.data<double>() + i * n;
      for (int64_t j = 0; j < n - 1; ++j)
        distances[static_cast<size_t>(j)] =
            std::sqrt(kSmallest + row[static_cast<size_t>(j < i ? j : j + 1)]);
      choice.choose(distances, of_others);
      for (int64_t j = 0; j < n - 1; ++j) to[j < i ? j : j + 1] = of_others[static_cast<size_t>(j)];
    }
  });
  return chances;
}

SmoothKnn smooth_knn(const Tensor& a, const Tensor& b, const SmoothKnnOptions& options) {
  const Tensor all = pooled("smooth_knn", a, b, 1);
  const int64_t n1 = a.size(0), n = all.size(0);
  if (n < 4) fail("[smooth_knn] {} points in both sets; four are the least", n);
  const Tensor u = soft_neighbours(all, options);
  SmoothKnn knn;
  for (int64_t i = 0; i < n1; ++i)
    for (int64_t j = n1; j < n; ++j)
      knn.crossings += u.data<double>()[i * n + j] + u.data<double>()[j * n + i];
  set_moments(knn, u, static_cast<double>(n1), static_cast<double>(n - n1));
  knn.statistic = -(knn.crossings - knn.mean) / std::sqrt(kSmallest + knn.variance);
  return knn;
}

PointSampler points_among(const Tensor& points, const RandomKey& key) {
  if (points.rank() != 2) fail("[two_sample] points must be (N, D), got {}", points.shape().str());
  return [own = points.to(DType::f64).to(Device::cpu), key](int64_t repetition, int64_t n) {
    RandomKey of_repetition = key;
    of_repetition.step += static_cast<uint64_t>(repetition);
    const Tensor order = permutation(own.size(0), of_repetition);
    return gather_rows(own, order.slice(0, std::min(n, own.size(0))));
  };
}

RepeatedKnn repeated_smooth_knn(const PointSampler& a, const PointSampler& b,
                                const RepeatedKnnOptions& options) {
  if (options.points < 2 || options.repetitions < 1)
    fail("[smooth_knn] {} repetitions with {} points of each side; there must be some, with two or more",
         options.repetitions, options.points);
  const auto all = static_cast<size_t>(options.repetitions);
  std::vector<double> statistics(all);
  for (int64_t first = 0; first < options.repetitions; first += kTogether) {
    const int64_t count = std::min(kTogether, options.repetitions - first);
    std::vector<std::pair<Tensor, Tensor>> drawn;
    for (int64_t r = first; r < first + count; ++r)
      drawn.emplace_back(a(r, options.points), b(r, options.points));
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const auto& [of_a, of_b] = drawn[static_cast<size_t>(r)];
        statistics[static_cast<size_t>(first + r)] = smooth_knn(of_a, of_b, options.knn).statistic;
      }
    });
  }
  const auto count = static_cast<double>(all);
  const double mean = std::accumulate(statistics.begin(), statistics.end(), 0.0) / count;
  double squares = 0;
  for (double value : statistics) squares += (value - mean) * (value - mean);
  return {mean, all > 1 ? std::sqrt(squares / (count - 1) / count) : std::nan("")};
}

Mmd maximum_mean_discrepancy(const Tensor& a, const Tensor& b, const MmdOptions& options) {
  if (options.bandwidth < 0 || options.permutations < 0)
    fail("[mmd] the bandwidth ({}) and the permutations ({}) must not be negative", options.bandwidth,
         options.permutations);
  const Tensor all = pooled("mmd", a, b, 2);
  const int64_t n1 = a.size(0), n = all.size(0);
  if (!is_finite(all)) return {std::nan(""), std::nan(""), std::nan("")};
  const SquaredDistances distances(all);
  Mmd mmd{.bandwidth = options.bandwidth, .p_value = std::nan("")};
  if (mmd.bandwidth == 0) {
    mmd.bandwidth = std::sqrt(median_of(distances));
    if (mmd.bandwidth == 0) mmd.bandwidth = 1;  // most points are one: any width tells the others apart
  }
  const double rate = 1 / (2 * mmd.bandwidth * mmd.bandwidth);
  // A row for each division, 1 for the points of the first set; that of the sets themselves comes first.
  const Tensor divisions = Tensor::zeros({options.permutations + 1, n}, DType::f64);
  divisions.slice(0).slice(0, n1).fill(1);
  for (int64_t p = 0; p < options.permutations; ++p) {
    RandomKey key = options.key;
    key.step += static_cast<uint64_t>(p);
    const Tensor order = permutation(n, key);
    for (int64_t i = 0; i < n1; ++i) divisions.slice(p + 1).data<double>()[order.data<int64_t>()[i]] = 1;
  }
  const Tensor sums = Tensor::empty({n, options.permutations + 1}, DType::f64);  // with the first set
  double total = 0;
  distances.each_block([&](int64_t at, const Tensor& kernel) {  // and soon that
    double* value = kernel.data<double>();
    parallel_for(kernel.size(0), std::max<int64_t>(1, kParallelGrain / n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < n; ++j) value[i * n + j] = exp_not_positive(-rate * value[i * n + j]);
        value[i * n + at + i] = 0;  // the unbiased estimate leaves out what points are to themselves
      }
    });
    total = std::accumulate(value, value + kernel.elements(), total);
    sums.slice(at, at + kernel.size(0)).copy_from(matmul(kernel, Transpose::no, divisions, Transpose::yes));
  });
  const double first = static_cast<double>(n1), second = static_cast<double>(n - n1);
  int64_t as_far = 0;
  for (int64_t p = 0; p <= options.permutations; ++p) {
    const double *is_first = divisions.slice(p).data<double>(), *with_first = sums.data<double>() + p;
    double within_first = 0, across = 0;
    for (int64_t i = 0; i < n; ++i)
      (is_first[i] == 1 ? within_first : across) += with_first[i * (options.permutations + 1)];
    const double within_second = total - within_first - 2 * across;
    const double squared = within_first / (first * (first - 1)) + within_second / (second * (second - 1)) -
                           2 * across / (first * second);
    if (p == 0)
      mmd.squared = squared;
    else if (squared >= mmd.squared)
      ++as_far;
  }
  if (options.permutations > 0)
    mmd.p_value = static_cast<double>(1 + as_far) / static_cast<double>(1 + options.permutations);
  return mmd;
}

}  // namespace elbo
