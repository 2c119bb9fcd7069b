// What a published number and ours are to each other, by tests that are stated: Welch's for a difference of
// two means, two one-sided tests for their being equivalent.
//
// The two are means over runs, theirs of `runs` with the deviation that the paper prints. A spread that one
// side does not know is taken to be the other's: runs of the same thing. What the paper's digits leave open,
// half a unit of the last one, counts as an error of variance h^2 / 3 beside that.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

namespace elbo::ledger {

/// A number as a paper prints it.
struct PublishedNumber {
  double value = 0;
  double deviation = std::nan("");  ///< between its runs; NaN where the paper gives none
  int64_t runs = 1;
  int digits = 0;  ///< printed after the point
  double half_unit() const { return 0.5 * std::pow(10.0, -digits); }
};

/// The same of ours. A closed form is exact, and has no runs.
struct Measured {
  double mean = 0;
  double deviation = std::nan("");
  int64_t runs = 1;
  bool exact = false;
};

enum class Better { neither, higher, lower };

enum class Verdict {
  not_run,
  not_comparable,  ///< other settings, a picture, or a published number that cannot be met
  within_error,    ///< no further from the paper's than its own printed error, ours being no larger than that
  equivalent,      ///< the 90 % interval of the difference lies within the margin
  not_told_apart,  ///< neither equivalent nor different, and neither holds nor fails: too few runs
  different,       ///< the 95 % interval of the difference leaves 0 out
  holds,           ///< of a claim in words
  fails,
};
const char* word(Verdict verdict);

struct Comparison {
  Verdict verdict = Verdict::not_told_apart;
  double difference = 0;                           ///< ours - the paper's
  double low = std::nan(""), high = std::nan("");  ///< its 95 % interval; NaN where no error is known
  bool too_good = false;                           ///< different, on the better side
  std::string why{};                               ///< what decided
};

/// `margin` is how large a difference does not matter, in the number's unit; 0: none is said.
Comparison compare(const PublishedNumber& paper, const Measured& here, double margin, Better better);

/// Half the width of the 95 % interval of our mean; NaN where it has none.
double half_interval(const Measured& here);

}  // namespace elbo::ledger
