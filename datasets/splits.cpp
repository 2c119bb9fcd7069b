#include "datasets/splits.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/file.h"
#include "tensor/random.h"

namespace elbo {
namespace {

constexpr uint64_t kDivision = 1;  // a random key's step; 0 is that of `subset`, which has the same stream
constexpr std::array kNames{"train", "validation", "test", "all"};
constexpr std::array kWords{"training split", "validation split", "test split", "whole"};

/// How many of the points "--validation 0.1" or "--test 5000" names.
int64_t count_of(Split split, double amount, int64_t points) {
  if (amount < 0 || (amount >= 1 && amount != std::floor(amount)))
    fail("[--{}] {} is neither a share below 1 nor a whole number of points", name(split), amount);
  if (amount >= 1) return static_cast<int64_t>(std::min(amount, static_cast<double>(points)));
  const int64_t count = std::llround(amount * static_cast<double>(points));
  if (amount > 0 && count == 0)
    fail("[--{}] {} of {} points is less than one; give a larger share, or how many", name(split), amount,
         points);
  return count;
}

}  // namespace

const char* name(Split split) { return kNames[static_cast<size_t>(split)]; }

const char* words(Split split) { return kWords[static_cast<size_t>(split)]; }

Split parse_split(const std::string& text) {
  const auto found = std::find(kNames.begin(), kNames.end(), text);
  if (found == kNames.end())
    fail("[--split] unknown split {}; there are {}", quote(text), fmt::join(kNames, ", "));
  return static_cast<Split>(found - kNames.begin());
}

Tensor rows_of_split(int64_t points, const Division& division, Split split) {
  const int64_t test = count_of(Split::test, division.test, points),
                validation = count_of(Split::validation, division.validation, points);
  if (test + validation >= points)
    fail("[--{}] of {} points, {} for validation and {} for test leave none to train on",
         division.validation > 0 ? "validation" : "test", points, validation, test);
  // Test points come first, so that they stay what they are when validation changes.
  const std::array<int64_t, 4> ends{points, test + validation, test, points},
      begins{test + validation, test, 0, 0};
  const auto which = static_cast<size_t>(split);
  const Tensor rows = permutation(points, {.seed = division.seed, .stream = kSubset, .step = kDivision})
                          .slice(begins[which], ends[which])
                          .clone();
  std::sort(rows.data<int64_t>(), rows.data<int64_t>() + rows.elements());
  return rows;
}

}  // namespace elbo
