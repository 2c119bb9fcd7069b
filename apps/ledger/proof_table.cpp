#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "apps/ledger/proofread.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo::ledger {
namespace {

std::string trimmed(std::string text) {
  const auto blank = [](unsigned char c) { return std::isspace(c) != 0; };
  text.erase(std::find_if_not(text.rbegin(), text.rend(), blank).base(), text.end());
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), blank));
  return text;
}

/// Cells of a line, quoted or not (RFC 4180, but for line breaks in cells).
std::vector<std::string> cells_of(const std::string& line, const std::string& where) {
  std::vector<std::string> cells(1);
  bool quoted = false, closed = false;  // within quotes; behind those of this cell
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"') {
      const bool doubled = i + 1 < line.size() && line[i + 1] == '"';
      if (doubled)
        cells.back() += line[++i];
      else
        quoted = false, closed = true;
    } else if (quoted) {
      cells.back() += c;
    } else if (c == ',') {
      cells.emplace_back();
      closed = false;
    } else if (c == '"' && !closed && trimmed(cells.back()).empty()) {
      cells.back().clear();
      quoted = true;
    } else if (c == '"' || (closed && c != ' ' && c != '\t')) {
      fail("[proofread] {}: quotes are around a whole cell or not at all", where);
    } else {
      cells.back() += c;
    }
  }
  if (quoted) fail("[proofread] {}: a quote is opened and not closed", where);
  for (std::string& cell : cells) cell = trimmed(cell);
  return cells;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// Names that people give to columns.
std::string column_of(std::string header) {
  std::transform(header.begin(), header.end(), header.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  replace_all(header, "σ²", "sigma2");
  replace_all(header, "sigma^2", "sigma2");
  for (char& c : header)
    if (c == ' ' || c == '-') c = '_';
  static const std::map<std::string, std::string> others{{"final_sigma2", "sigma2"},
                                                         {"tuned_elbo", "elbo_tuned"},
                                                         {"tuned_sigma2", "sigma2_tuned"},
                                                         {"kl_divergence", "kl"},
                                                         {"collapse", "collapse_percent"}};
  const auto found = others.find(header);
  return found == others.end() ? header : found->second;
}

/// A decimal number, and half a unit of its last digit. Of a size that numbers of a table have: no square of
/// it, or of its inverse, is more than a double holds.
std::optional<Printed> number_of(std::string text) {
  replace_all(text, "−", "-");
  text = trimmed(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.erase(0, 1);
  Printed number;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number.value);
  if (error != std::errc() || at != end || !std::isfinite(number.value)) return std::nullopt;
  const size_t exponent = std::min(text.find_first_of("eE"), text.size()), point = text.find('.');
  const double decimals = point < exponent ? static_cast<double>(exponent - point - 1) : 0;
  double power = 0;
  if (exponent < text.size()) {
    const size_t digits = exponent + 1 + (text[exponent + 1] == '+' ? 1 : 0);
    if (std::from_chars(text.data() + digits, end, power).ec != std::errc()) return std::nullopt;
  }
  number.half_unit = 0.5 * std::pow(10.0, power - decimals);
  constexpr double kLargest = 1e100;
  const double size = std::abs(number.value);
  if (size > kLargest || number.half_unit > kLargest || (size > 0 && size < 1 / kLargest))
    return std::nullopt;
  return number;
}

/// "-1450.3 ± 4.2", also with +- or +/-.
std::optional<Printed> printed_of(const std::string& text) {
  for (const std::string sign : {"±", "+/-", "+-"}) {
    const size_t at = text.find(sign);
    if (at == std::string::npos) continue;
    std::optional<Printed> number = number_of(text.substr(0, at));
    const std::optional<Printed> deviation = number_of(text.substr(at + sign.size()));
    if (!number || !deviation || deviation->value < 0) return std::nullopt;
    number->deviation = deviation->value + deviation->half_unit;
    return number;
  }
  return number_of(text);
}

std::optional<Printed> ProofRow::*field_of(const std::string& column) {
  static const std::map<std::string, std::optional<Printed> ProofRow::*> fields{
      {"sigma2", &ProofRow::sigma2},
      {"elbo", &ProofRow::elbo},
      {"elbo_tuned", &ProofRow::elbo_tuned},
      {"sigma2_tuned", &ProofRow::sigma2_tuned},
      {"kl", &ProofRow::kl},
      {"collapse_percent", &ProofRow::collapse_percent}};
  const auto found = fields.find(column);
  return found == fields.end() ? nullptr : found->second;
}

/// Whether sigma^2 was learned, as the column of that name says.
bool is_learned(const std::string& text, const std::string& where) {
  for (const char* word : {"1", "yes", "true", "learned"})
    if (text == word) return true;
  for (const char* word : {"0", "no", "false", "fixed"})
    if (text == word) return false;
  fail("[proofread] {}: {} in column learned is neither yes nor no", where, quote(text));
}

/// The header's columns. What two of them mean must not be the same, or one would be lost.
std::vector<std::string> columns_of(const std::vector<std::string>& header, const std::string& where) {
  std::vector<std::string> columns;
  for (const std::string& cell : header) {
    const std::string column = column_of(cell);
    if (column.empty()) fail("[proofread] {}: column {} has no name", where, columns.size() + 1);
    if (std::find(columns.begin(), columns.end(), column) != columns.end())
      fail("[proofread] {}: there are two columns {}", where, column);
    columns.push_back(column);
  }
  for (const char* needed : {"sigma2", "elbo"})
    if (std::find(columns.begin(), columns.end(), needed) == columns.end())
      fail("[proofread] {}: there is no column {}; there are {}", where, needed, fmt::join(columns, ", "));
  return columns;
}

ProofRow row_of(const std::vector<std::string>& columns, const std::vector<std::string>& cells,
                const std::string& where) {
  ProofRow row;
  std::vector<std::string> said;
  bool fixed = false;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string &column = columns[i], &cell = cells[i];
    if (auto field = field_of(column)) {
      if (cell.empty()) continue;
      row.*field = printed_of(cell);
      if (!(row.*field))
        fail("[proofread] {}: {} is no number of a table in column {}", where, quote(cell), column);
    } else if (!column.ends_with("_deviation")) {
      if (column == "learned") {
        row.learned = is_learned(cell, where);
        fixed = !row.learned;
      }
      said.push_back(fmt::format("{} {}", column, cell));
    }
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    constexpr std::string_view kEnd = "_deviation";
    if (!columns[i].ends_with(kEnd) || cells[i].empty()) continue;
    const auto field = field_of(columns[i].substr(0, columns[i].size() - kEnd.size()));
    const std::optional<Printed> deviation = number_of(cells[i]);
    if (!field || !deviation || deviation->value < 0)
      fail("[proofread] {}: {} in column {} is no deviation of a column", where, quote(cells[i]), columns[i]);
    if (!(row.*field)) continue;
    if ((row.*field)->deviation > 0)
      fail("[proofread] {}: a deviation stands in the cell and in column {}; give it once", where,
           columns[i]);
    (row.*field)->deviation = deviation->value + deviation->half_unit;
  }
  if (!row.sigma2 || !row.elbo) fail("[proofread] {}: a row needs sigma2 and elbo", where);
  if (fixed) row.sigma2->half_unit = 0;  // a setting, not a result
  for (const auto& [value, name] :
       {std::pair{row.sigma2, "sigma2"}, std::pair{row.sigma2_tuned, "sigma2_tuned"}})
    if (value && value->value <= 0) fail("[proofread] {}: {} must be above 0", where, name);
  row.setting = fmt::format("{}", fmt::join(said, ", "));
  return row;
}

}  // namespace

ProofTable proof_table(const std::string& path) {
  std::string text = read_file(path);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  ProofTable table{.name = std::filesystem::path(path).filename().string(), .rows = {}};
  std::vector<std::string> columns;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = trimmed(text.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    const std::string where = fmt::format("{}, line {}", quote(table.name), number);
    const std::vector<std::string> cells = cells_of(line, where);
    if (columns.empty()) {
      columns = columns_of(cells, where);
      continue;
    }
    if (cells.size() != columns.size())
      fail("[proofread] {}: {} cells under {} columns", where, cells.size(), columns.size());
    table.rows.push_back(row_of(columns, cells, where));
    table.rows.back().name = fmt::format("line {}", number);
  }
  if (table.rows.empty()) fail("[proofread] {} has no rows", quote(table.name));
  std::set<std::string> settings;
  for (const ProofRow& row : table.rows) settings.insert(row.setting);
  for (ProofRow& row : table.rows) {
    // sigma^2 tells rows apart that nothing else does.
    if (settings.size() < table.rows.size())
      row.setting += fmt::format("{}sigma2 {:g}", row.setting.empty() ? "" : ", ", row.sigma2->value);
    row.name += ", " + row.setting;
  }
  return table;
}

}  // namespace elbo::ledger
