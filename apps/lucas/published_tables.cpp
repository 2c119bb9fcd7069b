#include <fmt/format.h>

#include <cmath>

#include "apps/lucas/published.h"
#include "apps/lucas/tables.h"

namespace elbo::lucas {
namespace {

using ledger::Better;
using ledger::Line;
using ledger::Measured;
using ledger::Reading;

/// The digits after the point that a number was printed with, at least so many: what was read in has lost
/// zeros at its end.
int digits_of(double value, int least) {
  const std::string text = fmt::format("{}", value);
  const size_t point = text.find('.');
  return std::max(least, point == std::string::npos ? 0 : static_cast<int>(text.size() - point - 1));
}

/// A column of the tables: what it is called, and where `collapse` and `train` have it.
struct Column {
  const char *name, *unit, *key;
  double PaperRow::*value;
  double PaperRow::*deviation;  ///< null: the paper prints none
  int digits;
  Better better;
  bool in_nats;         ///< moved by the constant of the papers' units
  double share, least;  ///< the margin of equivalence: a share of the number, but at least so much
};
constexpr Column kColumns[] = {
    {"final σ²", "", "sigma2_final", &PaperRow::final_sigma2, nullptr, 3, Better::neither, false, 0.05, 0},
    {"ELBO", "nats", "elbo", &PaperRow::elbo, &PaperRow::elbo_deviation, 1, Better::higher, true, 0.01, 0},
    {"tuned ELBO", "nats", "elbo_tuned", &PaperRow::elbo_tuned, &PaperRow::elbo_tuned_deviation, 1,
     Better::higher, true, 0.01, 0},
    {"tuned σ²", "", "sigma2_tuned", &PaperRow::sigma2_tuned, nullptr, 3, Better::neither, false, 0.05, 0},
    {"collapsed units", "%", "collapse_percent", &PaperRow::collapse_percent, nullptr, 1, Better::neither,
     false, 0, 5},
    {"KL", "nats", "kl", &PaperRow::kl, &PaperRow::kl_deviation, 1, Better::neither, false, 0.05, 1}};

/// The number of a full model that was trained alone, from `train`.
std::optional<Reading> of_trained(const Json& result, const PaperRow& row, const Column& column) {
  using ledger::metric;
  const Json started = ledger::value_at(result, "config.sigma2");
  if (row.learned != (ledger::value_at(result, "config.learn_sigma2") == true) || started.size() != 1 ||
      started[0] != row.sigma2)
    return std::nullopt;
  const bool final = std::string(column.key) == "sigma2_final";
  double value = metric(result, final ? "sigma2" : column.key);
  if (column.in_nats) value += metric(result, "elbo_paper_units") - metric(result, "elbo");
  if (!std::isfinite(value)) return std::nullopt;
  return Reading{.number = Measured{.mean = value}};
}

std::optional<Reading> reading_of(const Json& result, const PaperRow& row, const Column& column) {
  if (result.at("command") == "train") return of_trained(result, row, column);
  const Json own = collapse_row(result, row.sigma2, row.learned, false);
  if (own.is_null()) return std::nullopt;
  Measured number{.mean = number_or_nan(own.at(column.key)), .runs = own.at("trials").get<int64_t>()};
  if (column.in_nats) number.mean += ledger::metric(result, "paper_constant");
  const std::string deviation = std::string(column.key) + "_deviation";
  if (number.runs > 1 && own.contains(deviation)) number.deviation = number_or_nan(own.at(deviation));
  if (!std::isfinite(number.mean)) return std::nullopt;
  return Reading{.number = number};
}

/// Why a published number cannot be met, whatever is run; empty: it can.
std::string fault_of(int table, const PaperRow& row, const Column& column, double dimensions) {
  if (!contradicts_itself(row, dimensions)) return "";
  if (table != 4) return "the row's two σ² cannot have made its two ELBOs";
  const bool tuned = column.value == &PaperRow::elbo_tuned || column.value == &PaperRow::sigma2_tuned;
  if (!tuned) return "";
  return row.sigma2 >= 1 ? "its tuning of σ² had not converged: the closed form gives about 0.067"
                         : "its tuning of σ² had not converged";
}

constexpr const char* kIds[] = {"lucas/table2", "lucas/table3", "lucas/table4", "lucas/table5"};

void add_rows(std::vector<Line>& lines, const PaperTable& table, double dimensions) {
  const char* const id = kIds[table.number - 2];
  for (const PaperRow& row : table.rows)
    for (const Column& column : kColumns) {
      if (!row.learned && column.value == &PaperRow::final_sigma2) continue;
      const double value = row.*column.value;
      lines.push_back(
          {.item = id,
           .what = fmt::format("σ² {} {:g}: {}", row.learned ? "learned from" : "fixed at", row.sigma2,
                               column.name),
           .unit = column.unit,
           .number =
               ledger::PublishedNumber{.value = value,
                                       .deviation = column.deviation ? row.*column.deviation : std::nan(""),
                                       .runs = 5,
                                       .digits = digits_of(value, column.digits)},
           .better = column.better,
           .margin = std::max(column.share * std::abs(value), column.least),
           .unlike = fault_of(table.number, row, column, dimensions),
           .read = [&row, &column](const Json& result) { return reading_of(result, row, column); }});
    }
}

/// Table 1's row of fixed sigma^2 = 0.01, of which three values are those of 0.003.
void add_copied_row(std::vector<Line>& lines) {
  const auto add = [&](const char* what, const char* unit, double value, int digits, double right) {
    lines.push_back({.item = "lucas/table1",
                     .what = fmt::format("MNIST, σ² fixed at 0.01: {}", what),
                     .unit = unit,
                     .number = ledger::PublishedNumber{.value = value, .runs = 5, .digits = digits},
                     .unlike = fmt::format("copied from the row of 0.003; Table 2 has {}", right)});
  };
  add("tuned ELBO", "nats", -2090.8, 1, -1403.1);
  add("tuned σ²", "", 0.877, 3, 1.006);
  add("KL", "nats", 695.9, 1, 560.9);
}

}  // namespace

Json collapse_row(const Json& result, double sigma2, bool learned, bool annealed) {
  for (const Json& row : ledger::value_at(result, "metrics.rows"))
    if (row.at("sigma2") == sigma2 && row.at("learned") == learned && row.at("annealed") == annealed)
      return row;
  return nullptr;
}

std::vector<Line> table_lines() {
  constexpr double kDimensions[] = {784, 12288, 784, 12288};
  std::vector<Line> lines;
  add_copied_row(lines);
  for (const PaperTable& table : lucas_tables()) add_rows(lines, table, kDimensions[table.number - 2]);
  lines.push_back({.item = "lucas/table5",
                   .what = "σ² fixed: ten rows",
                   .words = "as Table 3, digit for digit",
                   .unlike = "Table 5 repeats the fixed rows of Table 3, which are of other data"});
  return lines;
}

}  // namespace elbo::lucas
