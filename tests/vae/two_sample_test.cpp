// Two-sample statistics: against all divisions of a few points, all choices of neighbours, sums in loops, and
// sets that are the same or are not.
#include "vae/two_sample.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "tensor/copy.h"
#include "tensor/memory.h"
#include "tests/error_of.h"
#include "tests/thread_count.h"
#include "tests/vae/helpers.h"

using namespace elbo;

namespace {

double distance(const Tensor& x, int64_t i, int64_t j) {
  double total = 1e-5;
  for (int64_t k = 0; k < x.size(1); ++k)
    total += std::pow(x.at(i * x.size(1) + k) - x.at(j * x.size(1) + k), 2);
  return std::sqrt(total);
}

/// Chances of neighbours by looking at every set of k others.
std::vector<double> by_all_sets(const Tensor& x, const SmoothKnnOptions& options) {
  const int64_t n = x.size(0);
  std::vector<double> chances(static_cast<size_t>(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) {
    double all = 0;
    std::vector<double> of_point(static_cast<size_t>(n), 0.0);
    for (uint32_t set = 0; set < (1u << n); ++set) {
      if (std::popcount(set) != options.neighbours || (set >> i & 1)) continue;
      double length = 0;
      for (int64_t j = 0; j < n; ++j)
        if (set >> j & 1) length += distance(x, i, j);
      const double weight = std::exp(-options.sharpness * length);
      all += weight;
      for (int64_t j = 0; j < n; ++j)
        if (set >> j & 1) of_point[static_cast<size_t>(j)] += weight;
    }
    for (int64_t j = 0; j < n; ++j)
      chances[static_cast<size_t>(i * n + j)] = of_point[static_cast<size_t>(j)] / all;
  }
  return chances;
}

/// Calls f with each division of n points into n1 and the rest, as bits.
template <class F>
void each_division(int64_t n, int64_t n1, F f) {
  for (uint32_t first = 0; first < (1u << n); ++first)
    if (std::popcount(first) == n1) f(first);
}

Tensor shifted(const Tensor& x, double by) { return (Variable(x) + by).value(); }

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("smooth k-NN: the chances of neighbours are those of all sets of k others") {
    const Tensor x = draw({9, 2}, 1);
    for (int64_t k : {1, 2, 3, 5, 8})
      for (double sharpness : {0.3, 1.0, 20.0}) {
        CAPTURE(k);
        CAPTURE(sharpness);
        const SmoothKnnOptions options{.neighbours = k, .sharpness = sharpness};
        const std::vector<double> expected = by_all_sets(x, options),
                                  got = soft_neighbours(x, options).to_vector();
        REQUIRE(got.size() == expected.size());
        for (size_t i = 0; i < got.size(); ++i) CHECK(close(got[i], expected[i], 1e-12));
      }
    // So sharp that every product underflows: the k nearest, for certain.
    const std::vector<double> hard = soft_neighbours(x, {.neighbours = 3, .sharpness = 1e6}).to_vector();
    for (int64_t i = 0; i < 9; ++i) {
      std::vector<int64_t> order(9);
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(),
                [&](int64_t a, int64_t b) { return distance(x, i, a) < distance(x, i, b); });
      for (size_t rank = 1; rank < 9; ++rank)
        CHECK(hard[static_cast<size_t>(i * 9 + order[rank])] == (rank <= 3 ? 1 : 0));
    }
  }

  TEST_CASE("smooth k-NN: mean and variance are those over all divisions of the points") {
    const Tensor x = draw({8, 2}, 2);
    for (int64_t k : {1, 3})
      for (int64_t n1 : {1, 2, 4, 5}) {
        CAPTURE(k);
        CAPTURE(n1);
        const SmoothKnnOptions options{.neighbours = k, .sharpness = 2};
        const std::vector<double> u = by_all_sets(x, options);
        double sum = 0, squares = 0, count = 0, own = 0;
        each_division(8, n1, [&](uint32_t first) {
          double crossings = 0;
          for (size_t i = 0; i < 8; ++i)
            for (size_t j = 0; j < 8; ++j)
              if ((first >> i & 1) != (first >> j & 1)) crossings += u[i * 8 + j];
          if (first == (1u << n1) - 1) own = crossings;
          sum += crossings;
          squares += crossings * crossings;
          ++count;
        });
        const double mean = sum / count, variance = squares / count - mean * mean;
        const SmoothKnn knn = smooth_knn(x.slice(0, n1), x.slice(n1, 8), options);
        CHECK(close(knn.crossings, own, 1e-12));
        CHECK(close(knn.mean, mean, 1e-12));
        CHECK(close(knn.variance, variance, 1e-12));
        CHECK(close(knn.statistic, -(own - mean) / std::sqrt(1e-5 + variance), 1e-10));
      }
  }

  TEST_CASE(
      "smooth k-NN: sets from one distribution have mean 0 and variance 1, others more, the more apart") {
    Estimate same;
    double near = 0, far = 0;
    for (uint64_t r = 0; r < 200; ++r) {
      const Tensor a = draw({60, 2}, 100 + 2 * r), b = draw({40, 2}, 101 + 2 * r);
      same.add(smooth_knn(a, b).statistic);
      near += smooth_knn(a, shifted(b, 0.7)).statistic / 200;
      far += smooth_knn(a, shifted(b, 3)).statistic / 200;
    }
    MESSAGE("same " << same.mean() << " +- " << same.standard_error() << ", near " << near << ", far "
                    << far);
    CHECK(std::abs(same.mean()) < 4 * same.standard_error());
    CHECK(close(same.standard_error() * std::sqrt(200.0), 1, 0.2));
    CHECK(near > 1);
    CHECK(far > 2 * near);
    // Neither the order of the sets, nor their place, nor their type is looked at.
    const Tensor a = draw({30, 3}, 5), b = draw({20, 3}, 6);
    const double plain = smooth_knn(a, b).statistic;
    CHECK(close(smooth_knn(b, a).statistic, plain, 1e-9));
    CHECK(close(smooth_knn(shifted(a, 5), shifted(b, 5)).statistic, plain, 1e-9));
    CHECK(close(smooth_knn(a.to(DType::f32), b.to(DType::f32)).statistic, plain, 1e-4));
  }

  TEST_CASE("smooth k-NN, repeated: the mean over repetitions and its error, for any number of threads") {
    const Tensor a = draw({80, 2}, 1), b = draw({90, 2}, 2);
    const RandomKey of_a{.seed = 1, .stream = kSubset}, of_b{.seed = 2, .stream = kSubset};
    const RepeatedKnnOptions options{.points = 20, .repetitions = 150, .knn = {.neighbours = 2}};
    Estimate by_hand;
    for (int64_t r = 0; r < 150; ++r)
      by_hand.add(
          smooth_knn(points_among(a, of_a)(r, 20), points_among(b, of_b)(r, 20), options.knn).statistic);
    for (int count : {1, 3}) {
      const ThreadCount with(count);
      const RepeatedKnn got = repeated_smooth_knn(points_among(a, of_a), points_among(b, of_b), options);
      CHECK(close(got.mean, by_hand.mean(), 1e-12));
      CHECK(close(got.standard_error, by_hand.standard_error(), 1e-12));
    }
    CHECK(std::isnan(
        repeated_smooth_knn(points_among(a, of_a), points_among(b, of_b), {.points = 20, .repetitions = 1})
            .standard_error));
    // What is drawn: points of the set, none twice, others in another repetition, all where there are few.
    const Tensor numbered = Tensor::from<double>({6, 1}, {0, 1, 2, 3, 4, 5});
    std::vector<double> seen(6, 0.0);
    for (int64_t r = 0; r < 600; ++r) {
      std::vector<double> drawn = points_among(numbered, of_a)(r, 3).to_vector();
      for (double value : drawn) seen[static_cast<size_t>(value)] += 1;
      std::sort(drawn.begin(), drawn.end());
      CHECK((drawn.size() == 3 && drawn[0] != drawn[1] && drawn[1] != drawn[2]));
    }
    for (double times : seen) CHECK(std::abs(times - 300) < 5 * std::sqrt(150.0));
    CHECK(points_among(numbered, of_a)(0, 10).shape() == Shape{6, 1});
  }

  TEST_CASE("MMD: the unbiased estimate is that of loops, with the median distance as bandwidth") {
    const Tensor a = draw({7, 2}, 3), b = shifted(draw({5, 2}, 4), 0.5);
    const Tensor all = concat({a, b}, 0).value();
    std::vector<double> pairs;
    for (int64_t i = 0; i < 12; ++i)
      for (int64_t j = i + 1; j < 12; ++j)
        pairs.push_back(std::sqrt(std::pow(distance(all, i, j), 2) - 1e-5));
    std::sort(pairs.begin(), pairs.end());
    for (double bandwidth : {0.0, 0.4}) {
      const double s = bandwidth > 0 ? bandwidth : pairs[pairs.size() / 2];
      double expected = 0;
      for (int64_t i = 0; i < 12; ++i)
        for (int64_t j = 0; j < 12; ++j) {
          if (i == j) continue;
          const double k = std::exp(-(std::pow(distance(all, i, j), 2) - 1e-5) / (2 * s * s));
          expected += i < 7 && j < 7 ? k / 42 : (i >= 7 && j >= 7 ? k / 20 : -k / 35);
        }
      const Mmd mmd = maximum_mean_discrepancy(a, b, {.bandwidth = bandwidth, .permutations = 0});
      CHECK(close(mmd.squared, expected, 1e-12));
      CHECK(close(mmd.bandwidth, s, 1e-10));
      CHECK(std::isnan(mmd.p_value));
    }
  }

  TEST_CASE(
      "MMD: by blocks of rows, it is that of all pairs at once, in memory for the points and not the pairs") {
    // Pairs of rows and columns of one block and of several, and a last block that is not whole.
    for (const auto& [n1, n2] : {std::pair<int64_t, int64_t>{100, 155}, {256, 40}, {300, 217}}) {
      const int64_t n = n1 + n2;
      CAPTURE(n);
      const Tensor a = draw({n1, 3}, 3), b = shifted(draw({n2, 3}, 4), 0.2);
      const Tensor all = concat({a, b}, 0).value();
      std::vector<double> pairs;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = i + 1; j < n; ++j) pairs.push_back(std::pow(distance(all, i, j), 2) - 1e-5);
      std::nth_element(pairs.begin(), pairs.begin() + static_cast<std::ptrdiff_t>(pairs.size() / 2),
                       pairs.end());
      const double s2 = pairs[pairs.size() / 2];
      std::vector<double> kernel(static_cast<size_t>(n * n), 0.0);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
          if (i != j)
            kernel[static_cast<size_t>(i * n + j)] =
                std::exp(-(std::pow(distance(all, i, j), 2) - 1e-5) / (2 * s2));
      const auto squared_of = [&](const std::vector<bool>& first) {
        const auto c1 = static_cast<double>(a.shape()[0]), c2 = static_cast<double>(b.shape()[0]);
        double within_first = 0, within_second = 0, across = 0;
        for (size_t i = 0; i < first.size(); ++i)
          for (size_t j = 0; j < first.size(); ++j)
            (first[i] != first[j] ? across
             : first[i]           ? within_first
                                  : within_second) += kernel[i * first.size() + j];
        return within_first / (c1 * (c1 - 1)) + within_second / (c2 * (c2 - 1)) - across / (c1 * c2);
      };
      std::vector<bool> sets(static_cast<size_t>(n));
      std::fill(sets.begin(), sets.begin() + n1, true);
      const double own = squared_of(sets);
      RandomKey key{.seed = 2, .stream = kEvaluation};
      int64_t as_far = 0;
      for (int64_t p = 0; p < 9; ++p, ++key.step) {
        const Tensor order = permutation(n, key);
        std::fill(sets.begin(), sets.end(), false);
        for (int64_t i = 0; i < n1; ++i) sets[static_cast<size_t>(order.data<int64_t>()[i])] = true;
        as_far += squared_of(sets) >= own ? 1 : 0;
      }
      const Mmd mmd =
          maximum_mean_discrepancy(a, b, {.permutations = 9, .key = {.seed = 2, .stream = kEvaluation}});
      CHECK(close(mmd.bandwidth, std::sqrt(s2), 1e-9));
      CHECK(std::abs(mmd.squared - own) < 1e-12);
      CHECK(mmd.p_value == static_cast<double>(1 + as_far) / 10);
    }
    const Tensor many = draw({1000, 1}, 5);
    reset_peak_memory();
    const size_t before = memory_counters().peak;
    maximum_mean_discrepancy(many, shifted(many, 0.1), {.permutations = 1});
    CHECK(memory_counters().peak - before < size_t{2000} * 2000 * 8 / 4);
  }

  TEST_CASE("MMD: the p-value is the share of divisions that are as far apart") {
    const Tensor a = draw({5, 1}, 3), b = shifted(draw({4, 1}, 4), 1.5);
    const Tensor all = concat({a, b}, 0).value();
    const MmdOptions plain{.bandwidth = 1, .permutations = 0};
    const double own = maximum_mean_discrepancy(a, b, plain).squared;
    double as_far = 0, count = 0;
    each_division(9, 5, [&](uint32_t first) {
      std::vector<double> one, other;
      for (int64_t i = 0; i < 9; ++i) (first >> i & 1 ? one : other).push_back(all.at(i));
      as_far += maximum_mean_discrepancy(Tensor::from<double>({5, 1}, one),
                                         Tensor::from<double>({4, 1}, other), plain)
                            .squared >= own - 1e-12
                    ? 1
                    : 0;
      ++count;
    });
    const Mmd mmd = maximum_mean_discrepancy(
        a, b, {.bandwidth = 1, .permutations = 4000, .key = {.seed = 1, .stream = kEvaluation}});
    const double share = as_far / count;
    MESSAGE("of " << count << " divisions " << as_far << " are as far apart; estimated " << mmd.p_value);
    CHECK(std::abs(mmd.p_value - share) < 5 * std::sqrt(share * (1 - share) / 4000) + 1e-3);
  }

  TEST_CASE("MMD: small p-values where sets differ, any where they do not; unbiased, so of either sign") {
    Estimate same;
    int64_t below_tenth = 0, negative = 0;
    for (uint64_t r = 0; r < 200; ++r) {
      const Mmd mmd =
          maximum_mean_discrepancy(draw({40, 2}, 300 + 2 * r), draw({50, 2}, 301 + 2 * r),
                                   {.permutations = 39, .key = {.seed = r, .stream = kEvaluation}});
      same.add(mmd.squared);
      below_tenth += mmd.p_value <= 0.1 ? 1 : 0;
      negative += mmd.squared < 0 ? 1 : 0;
    }
    CHECK(std::abs(same.mean()) < 4 * same.standard_error());
    CHECK(below_tenth >= 6);
    CHECK(below_tenth <= 36);
    CHECK(negative > 60);
    const Mmd other = maximum_mean_discrepancy(draw({100, 2}, 1), shifted(draw({100, 2}, 2), 1));
    CHECK(other.p_value == 1.0 / 200);
    CHECK(other.squared > 0.1);
  }

  TEST_CASE("two-sample statistics: bad sets are told in one line, broken points make no number") {
    const Tensor a = draw({5, 2}, 1);
    CHECK(error_of([&] {
            smooth_knn(a, draw({5, 3}, 1));
          }) ==
          "[smooth_knn] needs two sets of points of one dimension, 1 or more in each, got (5, 2) and (5, 3)");
    CHECK(mentions(error_of([&] { smooth_knn(draw({1, 2}, 1), draw({2, 2}, 1)); }), "3 points in both sets"));
    CHECK(mentions(error_of([&] { smooth_knn(a, a, {.neighbours = 10}); }), "10 neighbours of 10 points"));
    CHECK(mentions(error_of([&] { smooth_knn(a, a, {.neighbours = 0}); }), "0 neighbours"));
    const Tensor many = Tensor::zeros({16384, 2}, DType::f64);
    CHECK(mentions(error_of([&] { smooth_knn(many, a); }), "16389 points in both sets would take 2.1 GB"));
    CHECK(mentions(error_of([&] { smooth_knn(a, a, {.sharpness = 0}); }), "sharpness must be positive"));
    CHECK(mentions(error_of([&] { maximum_mean_discrepancy(a, a.slice(0, 1)); }), "2 or more in each"));
    CHECK(mentions(error_of([&] { maximum_mean_discrepancy(a, a, {.bandwidth = -1}); }), "negative"));
    CHECK(mentions(error_of([&] { points_among(draw({5}, 1), {}); }), "must be (N, D)"));
    CHECK(mentions(
        error_of([&] { repeated_smooth_knn(points_among(a, {}), points_among(a, {}), {.repetitions = 0}); }),
        "0 repetitions"));
    Tensor broken = a.clone();
    for (double value : {NAN, INFINITY}) {
      broken.data<double>()[3] = value;
      for (int64_t k : {1, 2}) CHECK(std::isnan(smooth_knn(broken, a, {.neighbours = k}).statistic));
      CHECK(std::isnan(maximum_mean_discrepancy(broken, a).squared));
    }
    // Points that are all one have neighbours, and no median distance.
    const Tensor one = Tensor::zeros({5, 2}, DType::f64);
    CHECK(close(smooth_knn(one, one).statistic, 0, 1e-9));
    CHECK(close(maximum_mean_discrepancy(one, one).squared, 0, 1e-12));
  }
}
