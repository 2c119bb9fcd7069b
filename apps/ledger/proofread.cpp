#include "apps/ledger/proofread.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tensor/math.h"

namespace elbo::ledger {
namespace {

struct Interval {
  double low, high;
};
Interval operator+(const Interval& a, const Interval& b) { return {a.low + b.low, a.high + b.high}; }
Interval operator-(const Interval& a, const Interval& b) { return {a.low - b.high, a.high - b.low}; }
/// How far they are from having a number in common.
double between(const Interval& a, const Interval& b) {
  return std::max({a.low - b.high, b.low - a.high, 0.0});
}
/// How far a number is outside.
double outside(const Interval& range, double value) {
  return std::max({range.low - value, value - range.high, 0.0});
}

/// All that a printed number may have been.
Interval range_of(const Printed& number) {
  return {number.value - number.half_unit, number.value + number.half_unit};
}
Interval positive_range_of(const Printed& number) {
  const Interval range = range_of(number);
  return {std::max(range.low, 1e-3 * number.value), range.high};
}

/// D/2 (ln(sigma^2 / s) + s / sigma^2 - 1), which is least where the two are equal, and grows with their
/// ratio either way.
double gain(double dimensions, double ratio) { return dimensions / 2 * (std::log(ratio) + 1 / ratio - 1); }

/// What a mean over runs, and estimates that were drawn apart, may be off by.
double slack(const ProofRow& row, const ProofOptions& o) {
  double squares = row.elbo_tuned ? row.elbo_tuned->deviation * row.elbo_tuned->deviation : 0;
  if (row.learned) squares += row.elbo->deviation * row.elbo->deviation;
  return 2 * squares / o.dimensions + o.tolerance / 100 * std::abs(row.elbo->value);
}

/// What tuning gains, by the ELBOs.
Interval gained_in(const ProofRow& row) { return range_of(*row.elbo_tuned) - range_of(*row.elbo); }

/// What it gains by the two sigma^2.
Interval expected_gain(const ProofRow& row, double dimensions) {
  const Interval sigma2 = positive_range_of(*row.sigma2), tuned = positive_range_of(*row.sigma2_tuned);
  const double least = sigma2.low / tuned.high, most = sigma2.high / tuned.low;
  const double ends[] = {gain(dimensions, least), gain(dimensions, most)};
  return {least <= 1 && most >= 1 ? 0 : std::min(ends[0], ends[1]), std::max(ends[0], ends[1])};
}

class Reader {
 public:
  Reader(const ProofTable& table, const ProofOptions& options, std::vector<Finding>& findings)
      : table_(table), o_(options), findings_(findings), broken_(table.rows.size()) {}

  void read() {
    for (size_t i = 0; i < table_.rows.size(); ++i) check_row(i);
    check_constant();
  }

 private:
  void add(const ProofRow& row, const char* columns, std::string what) {
    findings_.push_back({table_.name, row.name, columns, std::move(what)});
  }

  void check_row(size_t i) {
    const ProofRow& row = table_.rows[i];
    if (row.collapse_percent && outside({0, 100}, row.collapse_percent->value) > 0)
      add(row, "collapse_percent", fmt::format("{:g} % is no share of units", row.collapse_percent->value));
    if (row.kl && range_of(*row.kl).high < 0)
      add(row, "kl", fmt::format("a KL of {:g} is below 0", row.kl->value));
    if (!row.elbo_tuned) return;
    const Interval gained = gained_in(row);
    if (gained.high < -slack(row, o_))
      add(row, "elbo, elbo_tuned", fmt::format("tuning loses {:.4g} nats, which it cannot", -gained.high));
    if (!contradicts_itself(row, o_)) return;
    const Interval expected = expected_gain(row, o_.dimensions);
    broken_[i] = true;
    const double middle = (expected.low + expected.high) / 2;
    add(row, "sigma2, elbo, elbo_tuned, sigma2_tuned",
        fmt::format("the two σ² make a difference of {:.5g} nats between the ELBOs, printed are {:.5g}",
                    middle, row.elbo_tuned->value - row.elbo->value));
  }

  /// tuned + KL + D/2 (ln(2 pi s) + 1), which is the same of all rows.
  std::optional<Interval> constant_of(const ProofRow& row) const {
    if (!row.elbo_tuned || !row.kl || !row.sigma2_tuned) return std::nullopt;
    const Interval s = positive_range_of(*row.sigma2_tuned);
    const auto part = [&](double value) {
      return o_.dimensions / 2 * (math::kLogTwoPi + std::log(value) + 1);
    };
    return range_of(*row.elbo_tuned) + range_of(*row.kl) + Interval{part(s.low), part(s.high)};
  }

  void check_constant() {
    const auto middle = [](const Interval& range) { return (range.low + range.high) / 2; };
    std::vector<Interval> sound;
    for (size_t i = 0; i < table_.rows.size(); ++i)
      if (const auto own = constant_of(table_.rows[i]); own && !broken_[i]) sound.push_back(*own);
    constexpr size_t kFewest = 3;  // from which on one of them stands out
    if (!o_.constant && sound.size() < kFewest) return;
    // The median of the half whose digits say most.
    std::sort(sound.begin(), sound.end(),
              [](const Interval& a, const Interval& b) { return a.high - a.low < b.high - b.low; });
    sound.resize(std::min(sound.size(), std::max(kFewest, (sound.size() + 1) / 2)));
    std::sort(sound.begin(), sound.end(),
              [&](const Interval& a, const Interval& b) { return middle(a) < middle(b); });
    const Interval constant = o_.constant ? Interval{*o_.constant, *o_.constant} : sound[sound.size() / 2];
    for (size_t i = 0; i < table_.rows.size(); ++i) {
      const ProofRow& row = table_.rows[i];
      const auto own = constant_of(row);
      if (!own || broken_[i] || between(*own, constant) <= slack(row, o_)) continue;
      add(row, "elbo_tuned, sigma2_tuned, kl",
          fmt::format("they leave {:.6g} nats for the constant of the units, {} {:.6g}", middle(*own),
                      o_.constant ? "which is" : "the other rows", middle(constant)));
    }
  }

  const ProofTable& table_;
  const ProofOptions& o_;
  std::vector<Finding>& findings_;
  std::vector<bool> broken_;
};

bool same(const std::optional<Printed>& a, const std::optional<Printed>& b) {
  return a && b && std::abs(a->value - b->value) <= std::max(a->half_unit, b->half_unit) * 1.000001;
}

struct Column {
  const char* name;
  std::optional<Printed> ProofRow::*value;
};
constexpr Column kMade[] = {{"elbo", &ProofRow::elbo},
                            {"elbo_tuned", &ProofRow::elbo_tuned},
                            {"sigma2_tuned", &ProofRow::sigma2_tuned},
                            {"kl", &ProofRow::kl}};

/// Whether two rows have the same ELBO and at least one number more, and nothing that differs. Where the KL
/// is 0 there is only one model to arrive at.
bool are_copies(const ProofRow& a, const ProofRow& b) {
  if (!same(a.elbo, b.elbo) || (a.kl && a.kl->value == 0)) return false;
  int shared = 0;
  for (const Column& column : kMade) {
    if (!(a.*column.value) && !(b.*column.value)) continue;
    if (!same(a.*column.value, b.*column.value)) return false;
    ++shared;
  }
  return shared > 1;
}

/// Rows of the same setting in two tables: of the same ELBO, all else should be the same; and where some rows
/// are the same and others are not, the tables are of different things, and some were copied.
void compare_tables(const ProofTable& a, const ProofTable& b, std::vector<Finding>& findings) {
  std::vector<std::pair<const ProofRow*, const ProofRow*>> equal;
  size_t other = 0;
  for (const ProofRow& row : b.rows)
    for (const ProofRow& first : a.rows) {
      if (first.setting != row.setting) continue;
      std::string differing;
      int shared = 0;
      for (const Column& column : kMade) {
        if (!(first.*column.value) || !(row.*column.value)) continue;
        ++shared;
        if (!same(first.*column.value, row.*column.value))
          differing += fmt::format("{}{}", differing.empty() ? "" : ", ", column.name);
      }
      if (!same(first.elbo, row.elbo))
        ++other;
      else if (differing.empty() && shared > 1)
        equal.push_back({&first, &row});
      else if (!differing.empty())
        findings.push_back(
            {b.name, row.name, differing,
             fmt::format("{} has the same ELBO for this setting, and other values here", a.name)});
    }
  if (other == 0) return;
  for (const auto& [first, row] : equal)
    findings.push_back(
        {b.name, row->name, "all",
         fmt::format("the row of {} again, though other settings differ between the two", a.name)});
}

}  // namespace

bool contradicts_itself(const ProofRow& row, const ProofOptions& o) {
  if (!row.elbo_tuned || !row.sigma2_tuned) return false;
  return between(expected_gain(row, o.dimensions), gained_in(row)) > slack(row, o);
}

Printed printed(double value, double deviation) {
  const std::string text = fmt::format("{}", value);
  const size_t point = text.find('.');
  const double decimals = point == std::string::npos ? 0 : static_cast<double>(text.size() - point - 1);
  return {value, deviation, 0.5 * std::pow(10.0, -decimals)};
}

std::vector<Finding> proofread(const std::vector<ProofTable>& tables, const ProofOptions& options) {
  std::vector<Finding> findings;
  for (size_t i = 0; i < tables.size(); ++i) {
    Reader(tables[i], options, findings).read();
    // A table's values that stand in two of its rows.
    const std::vector<ProofRow>& rows = tables[i].rows;
    for (size_t b = 0; b < rows.size(); ++b)
      for (size_t a = 0; a < b; ++a) {
        if (are_copies(rows[a], rows[b]))
          findings.push_back(
              {tables[i].name, rows[b].name, "all", fmt::format("the same numbers as of {}", rows[a].name)});
        if (same(rows[a].elbo_tuned, rows[b].elbo_tuned) &&
            same(rows[a].sigma2_tuned, rows[b].sigma2_tuned) && same(rows[a].kl, rows[b].kl) &&
            !same(rows[a].elbo, rows[b].elbo))
          findings.push_back({tables[i].name, rows[b].name, "elbo_tuned, sigma2_tuned, kl",
                              fmt::format("the same three as of {}", rows[a].name)});
      }
    for (size_t first = 0; first < i; ++first) compare_tables(tables[first], tables[i], findings);
  }
  return findings;
}

}  // namespace elbo::ledger
