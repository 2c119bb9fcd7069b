// The mutual information gap: against a table worked out by hand, codes whose gap is known, and a loop over
// pairs of classes.
#include "vae/disentanglement.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>

#include "tests/error_of.h"
#include "tests/vae/helpers.h"

using namespace elbo;

namespace {

const double kLog2 = std::log(2.0);

/// n x columns.size() from columns.
Tensor side_by_side(const std::vector<std::vector<double>>& columns) {
  std::vector<double> all;
  for (size_t i = 0; i < columns[0].size(); ++i)
    for (const std::vector<double>& column : columns) all.push_back(column.at(i));
  return Tensor::from<double>({static_cast<int64_t>(columns[0].size()), static_cast<int64_t>(columns.size())},
                              all);
}

/// A column of whole numbers 0 .. values - 1.
std::vector<double> drawn(int64_t n, int values, uint64_t seed) {
  std::vector<double> column = uniform({n}, DType::f64, {.seed = seed, .stream = kTestInput}).to_vector();
  for (double& x : column) x = std::floor(x * values);
  return column;
}

Tensor factors_of(const std::vector<std::vector<double>>& columns) {
  return side_by_side(columns).to(DType::i64);
}

/// I(a; b) as the definition has it, sum p(a, b) ln p(a, b) / p(a) p(b), classes found by their values.
double information_between(const std::vector<double>& a, const std::vector<double>& b) {
  std::map<double, double> of_a, of_b;
  std::map<std::pair<double, double>, double> of_both;
  const auto n = static_cast<double>(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    of_a[a[i]] += 1 / n;
    of_b[b[i]] += 1 / n;
    of_both[{a[i], b[i]}] += 1 / n;
  }
  double total = 0;
  for (const auto& entry : of_both)
    total +=
        entry.second * std::log(entry.second / (of_a.at(entry.first.first) * of_b.at(entry.first.second)));
  return total;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("disentanglement: a table worked out by hand") {
    // Of v = 0 0 1 1 the first unit tells nothing, the second everything, the third, by two bins, that half
    // of the ones are ones.
    const Tensor codes = side_by_side({{0, 1, 0, 1}, {-3, -3, 9, 9}, {0, 0.1, 0.2, 1}});
    const Disentanglement found = disentanglement(codes, factors_of({{7, 7, -2, -2}}), 2);
    const double third = kLog2 + (0.75 * std::log(4 / 3.0) + 0.25 * std::log(4.0)) - 1.5 * kLog2;
    REQUIRE(found.information.shape() == Shape{1, 3});
    CHECK(close(found.information.at(0), 0, 1e-15));
    CHECK(close(found.information.at(1), kLog2, 1e-15));
    CHECK(close(found.information.at(2), third, 1e-15));
    CHECK(close(found.entropy.at(0), kLog2, 1e-15));
    CHECK(close(found.gap_per_factor.at(0), (kLog2 - third) / kLog2, 1e-15));
    CHECK(found.gap == found.gap_per_factor.at(0));
    CHECK(found.best_unit(0) == 1);
    CHECK(found.best_factor(2) == 0);
  }

  TEST_CASE(
      "disentanglement: bins are of equal width, an edge belongs to the bin above, the end to the last") {
    // Four bins of 0..8 have their edges at 2, 4 and 6.
    const std::vector<double> code{0, 1.9, 2, 3.9, 4, 5.9, 6, 8}, bin{0, 0, 1, 1, 2, 2, 3, 3};
    CHECK(close(disentanglement(side_by_side({code}), factors_of({bin}), 4).information.at(0),
                information_between(bin, bin), 1e-15));
    const std::vector<double> other{0, 0, 0, 1, 2, 2, 3, 4};
    const double apart = disentanglement(side_by_side({code}), factors_of({other}), 4).information.at(0);
    CHECK(close(apart, information_between(bin, other), 1e-14));
    CHECK(apart < information_between(other, other) - 0.1);
  }

  TEST_CASE("disentanglement: many units and factors are those of loops over classes") {
    const int64_t n = 3000;
    const std::vector<std::vector<double>> factors{drawn(n, 3, 1), drawn(n, 7, 2), drawn(n, 2, 3)};
    std::vector<std::vector<double>> codes{drawn(n, 20, 4), factors[0], factors[1], factors[2]};
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      codes[1][i] = std::floor((codes[1][i] + codes[0][i]) / 2);
      codes[2][i] = codes[2][i] + codes[3][i];
    }
    for (auto& code : codes) {  // so that each of the 20 classes is a bin: 0 and 19 are among them
      code[0] = 0;
      code[1] = 19;
    }
    const Disentanglement found = disentanglement(side_by_side(codes), factors_of(factors));
    double gap = 0;
    for (size_t f = 0; f < 3; ++f) {
      std::vector<double> told;
      for (size_t u = 0; u < 4; ++u) {
        told.push_back(information_between(factors[f], codes[u]));
        CHECK(close(found.information.at(static_cast<int64_t>(4 * f + u)), told[u], 1e-12));
      }
      const auto best = std::max_element(told.begin(), told.end());
      CHECK(found.best_unit(static_cast<int64_t>(f)) == best - told.begin());
      const double first = *best;
      *best = -1;
      const double expected =
          (first - *std::max_element(told.begin(), told.end())) / information_between(factors[f], factors[f]);
      CHECK(close(found.gap_per_factor[f], expected, 1e-12));
      gap += expected / 3;
    }
    CHECK(close(found.gap, gap, 1e-12));
    for (int64_t u = 0; u < 4; ++u)
      for (int64_t f = 0; f < 3; ++f)
        CHECK(found.information.at(4 * found.best_factor(u) + u) >= found.information.at(4 * f + u));
  }

  TEST_CASE("disentanglement: a code that is the factor has a gap of 1, a second copy of it 0") {
    const int64_t n = kGapPoints;
    const std::vector<double> shape = drawn(n, 3, 1), place = drawn(n, 16, 2),
                              nothing(static_cast<size_t>(n), 2);
    CHECK(close(disentanglement(side_by_side({shape, place}), factors_of({shape})).gap, 1, 0.02));
    CHECK(close(disentanglement(side_by_side({shape, nothing}), factors_of({shape})).gap, 1, 1e-12));
    CHECK(close(disentanglement(side_by_side({shape}), factors_of({shape})).gap, 1, 1e-12));
    CHECK(disentanglement(side_by_side({place, shape, nothing, place}), factors_of({place})).gap == 0);
    const Disentanglement both =
        disentanglement(side_by_side({place, shape, place}), factors_of({shape, place}));
    CHECK(close(both.gap_per_factor[0], 1, 0.02));
    CHECK(both.gap_per_factor[1] == 0);
    CHECK(close(both.gap, 0.5, 0.01));
  }

  TEST_CASE("disentanglement: independent codes tell no more than the bias of a finite sample") {
    const int64_t n = kGapPoints, units = 6;
    const Tensor codes = uniform({n, units}, DType::f32, {.seed = 5, .stream = kTestInput});
    const Disentanglement found = disentanglement(codes, factors_of({drawn(n, 10, 6), drawn(n, 4, 7)}));
    Estimate tens;
    for (int64_t u = 0; u < units; ++u) tens.add(found.information.at(u));
    // 2 N I is about chi squared with (20 - 1)(10 - 1) degrees of freedom.
    const double bias = 19 * 9 / (2.0 * static_cast<double>(n)),
                 deviation = bias * std::sqrt(2 / 171.0 / static_cast<double>(units));
    CHECK(std::abs(tens.mean() - bias) < 4 * deviation);
    CHECK(found.gap >= 0);
    CHECK(found.gap < 0.003);
  }

  TEST_CASE("disentanglement: scale, place and order of the codes do not matter") {
    const int64_t n = 500;
    const Tensor codes = draw({n, 3}, 1);
    const Tensor factors = factors_of({drawn(n, 5, 2), drawn(n, 2, 3)});
    const Disentanglement plain = disentanglement(codes, factors),
                          moved = disentanglement((Variable(codes) * 8.0).value(), factors);
    CHECK(plain.information.to_vector() == moved.information.to_vector());
    CHECK(plain.gap == moved.gap);
    const Disentanglement single = disentanglement(codes.to(DType::f32), factors);
    CHECK(close(single.gap, plain.gap, 1e-2));
  }

  TEST_CASE("disentanglement: a factor that does not vary is left out of the mean") {
    const std::vector<double> code{0, 1, 2, 3}, still{4, 4, 4, 4};
    const Disentanglement found = disentanglement(side_by_side({code}), factors_of({still, code}));
    CHECK(std::isnan(found.gap_per_factor[0]));
    CHECK(found.entropy[0] == 0);
    CHECK(close(found.gap, 1, 1e-12));
    CHECK(std::isnan(disentanglement(side_by_side({code}), factors_of({still})).gap));
  }

  TEST_CASE("disentanglement: what cannot be measured is refused") {
    const Tensor codes = draw({5, 2}, 1), factors = factors_of({{0, 1, 2, 3, 4}});
    CHECK(mentions(error_of([&] { disentanglement(codes.slice(0, 4), factors); }), "(4, 2)"));
    CHECK(mentions(error_of([&] { disentanglement(codes.slice(0, 0), factors.slice(0, 0)); }), "(0, 2)"));
    CHECK(mentions(error_of([&] { disentanglement(codes, factors.to(DType::f64)); }), "i64"));
    CHECK(mentions(error_of([&] { disentanglement(codes, factors, 0); }), "bin"));
    codes.fill(std::numeric_limits<double>::quiet_NaN());
    CHECK(mentions(error_of([&] { disentanglement(codes, factors); }), "not finite"));
  }
}
