#include "apps/ledger/verdict.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/support/statistics.h"
#include "apps/support/student_t.h"

namespace elbo::ledger {
namespace {

/// The standard error of the difference, and its degrees of freedom.
struct Spread {
  double error = std::nan(""), degrees = std::nan("");
  const char* from = "";
};

Spread spread_of(const PublishedNumber& paper, const Measured& here) {
  const double rounding = paper.half_unit() * paper.half_unit() / 3;
  const bool theirs = std::isfinite(paper.deviation) && paper.runs > 1,
             ours = std::isfinite(here.deviation) && here.runs > 1;
  Spread spread;
  if (here.exact) {
    const MeanError p = theirs ? error_of_mean(paper.deviation, paper.runs) : MeanError{};
    spread = {std::sqrt(p.variance + rounding), joint_degrees(p, {}, rounding), "a closed form here"};
  } else if (theirs && ours) {
    const MeanError p = error_of_mean(paper.deviation, paper.runs),
                    h = error_of_mean(here.deviation, here.runs);
    spread = {std::sqrt(p.variance + h.variance + rounding), joint_degrees(p, h, rounding), "Welch"};
  } else if (theirs || ours) {
    // One spread for both.
    const double deviation = theirs ? paper.deviation : here.deviation;
    const int64_t known = theirs ? paper.runs : here.runs;
    const double variance =
        deviation * deviation * (1 / static_cast<double>(paper.runs) + 1 / static_cast<double>(here.runs));
    spread = {std::sqrt(variance + rounding),
              joint_degrees({variance, static_cast<double>(known - 1)}, {}, rounding),
              theirs ? "one run here, taken to spread as theirs" : "the paper taken to spread as ours"};
  }
  return spread;
}

}  // namespace

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::not_run:
      return "not run";
    case Verdict::not_comparable:
      return "not comparable";
    case Verdict::within_error:
      return "within the paper's error";
    case Verdict::equivalent:
      return "equivalent";
    case Verdict::not_told_apart:
      return "not told apart";
    case Verdict::different:
      return "different";
    case Verdict::holds:
      return "holds";
    case Verdict::fails:
      return "fails";
  }
  return "";
}

double half_interval(const Measured& here) {
  if (here.exact) return 0;
  return elbo::half_interval(here.deviation, here.runs);
}

Comparison compare(const PublishedNumber& paper, const Measured& here, double margin, Better better) {
  Comparison c{.difference = here.mean - paper.value};
  const double apart = std::abs(c.difference), rounding = paper.half_unit();
  const bool printed = std::isfinite(paper.deviation);
  const Spread spread = spread_of(paper, here);
  const bool tested = std::isfinite(spread.error);
  double reach = std::nan("");
  if (tested) {
    reach = student_t_quantile(0.975, spread.degrees) * spread.error;
    c.low = c.difference - reach;
    c.high = c.difference + reach;
  }
  // Ours must be known as well as theirs, or being near them is luck.
  const double own = here.exact ? 0
                     : std::isfinite(here.deviation)
                         ? here.deviation / std::sqrt(static_cast<double>(here.runs))
                         : std::nan("");
  const double error = rounding + (printed ? paper.deviation : 0);
  if (apart <= error && (own <= error || (here.runs == 1 && printed && paper.runs > 1))) {
    c.verdict = Verdict::within_error;
    c.why = printed ? fmt::format("apart by {:.3g}, its error is {:g}", apart, paper.deviation)
                    : fmt::format("apart by {:.2g}, half a unit of its last digit is {:g}", apart, rounding);
    return c;
  }
  if (!tested) {
    c.why = margin > 0 ? fmt::format("one run each, apart by {:.3g}; margin {:.3g}", apart, margin)
                       : fmt::format("one run each, apart by {:.3g}", apart);
    return c;
  }
  const double narrow = student_t_quantile(0.95, spread.degrees) * spread.error;
  if (margin > 0 && apart + narrow <= margin) {
    c.verdict = Verdict::equivalent;
    c.why = fmt::format("90 % interval of the difference {:+.3g} ± {:.2g}, margin {:.3g}; {}", c.difference,
                        narrow, margin, spread.from);
    return c;
  }
  if (apart > reach) {
    c.verdict = Verdict::different;
    c.too_good =
        (better == Better::higher && c.difference > 0) || (better == Better::lower && c.difference < 0);
  }
  c.why =
      fmt::format("95 % interval of the difference {:+.3g} ± {:.2g}; {}", c.difference, reach, spread.from);
  return c;
}

}  // namespace elbo::ledger
