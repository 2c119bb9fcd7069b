#include "apps/support/csv.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <utility>

#include "apps/support/log.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr std::chrono::seconds kBetweenWrites{2};

std::string header(const std::vector<std::string>& columns) {
  return csv_line(std::vector<CsvCell>(columns.begin(), columns.end()));
}

/// Where the row that begins at `begin` ends, if it is whole: it begins with a number, has that many cells
/// and ends in a line break.
std::optional<size_t> end_of_row(const std::string& text, size_t begin, size_t columns) {
  const size_t end = text.find('\n', begin);
  if (end == std::string::npos) return {};
  char* behind_number = nullptr;
  std::strtod(text.c_str() + begin, &behind_number);
  // What is no number is passed over with the white space before it, line breaks included.
  if (behind_number == text.c_str() + begin || behind_number > text.c_str() + end) return {};
  if (*behind_number != ',' && *behind_number != '\n') return {};
  size_t cells = 1;
  bool quoted = false;
  for (size_t i = begin; i < end; ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (text[i] == ',' && !quoted) ++cells;
    if (text[i] == '\0') return {};
  }
  return cells == columns ? std::optional(end + 1) : std::nullopt;
}

}  // namespace

CsvCell::CsvCell(double value) : text(fmt::format("{}", value)) {}

CsvCell::CsvCell(std::string_view value) {
  const bool quoted = value.find_first_of(",\"\r\n#") != std::string_view::npos;
  if (quoted) text += '"';
  for (char c : value) {
    if (c == '"') text += '"';
    text += c == '\n' || c == '\r' ? ' ' : c;
  }
  if (quoted) text += '"';
}

std::string csv_line(std::span<const CsvCell> cells) {
  std::string line;
  for (const CsvCell& cell : cells) {
    if (&cell != cells.data()) line += ',';
    line += cell.text;
  }
  return line + '\n';
}

CsvFile::CsvFile(std::string path, const std::vector<std::string>& columns)
    : path_(std::move(path)), columns_(columns.size()) {
  begin(header(columns));
}

CsvFile::CsvFile(std::string path, const std::vector<std::string>& columns, double last)
    : path_(std::move(path)), columns_(columns.size()) {
  const std::string first = header(columns);
  const std::string before = std::filesystem::exists(path_) ? read_file(path_) : "";
  if (first.starts_with(before)) {  // it was killed at its very beginning
    begin(first);
    return;
  }
  if (!before.starts_with(first))
    fail("[csv] {} has other columns than this run writes; resume with the version that began it",
         quote(path_));
  size_t kept = first.size();
  while (const std::optional<size_t> end = end_of_row(before, kept, columns_)) {
    if (!(std::strtod(before.c_str() + kept, nullptr) <= last)) break;
    kept = *end;
  }
  file_.emplace(path_);
  if (kept < before.size()) file_->truncate(kept);
}

CsvFile::~CsvFile() {
  try {
    flush();
  } catch (const Error& error) {
    log_line(error.what());
  }
}

void CsvFile::begin(const std::string& header) {
  write_file_atomically(path_, header);
  file_.emplace(path_);
}

void CsvFile::row(const std::vector<CsvCell>& cells) {
  if (cells.size() != columns_)
    fail("[csv] a row of {} values does not fit the {} columns of {}", cells.size(), columns_, quote(path_));
  waiting_ += csv_line(cells);
  if (std::chrono::steady_clock::now() - written_at_ >= kBetweenWrites) flush();
}

void CsvFile::flush() {
  // On an error the rows are given up: a resumed run has them again.
  if (const std::string rows = std::exchange(waiting_, {}); !rows.empty()) file_->append(rows);
  written_at_ = std::chrono::steady_clock::now();
}

void CsvFile::save() {
  flush();
  file_->sync();
}

std::vector<std::vector<double>> read_columns(const std::string& path, size_t columns, double last) {
  std::vector<std::vector<double>> values(columns);
  std::istringstream rows(read_file(path));
  for (std::string row; std::getline(rows, row);) {
    std::vector<double> cells;
    const char* at = row.c_str();
    for (char* end = nullptr; cells.size() < columns; at = end + (*end == ',')) {
      const double value = std::strtod(at, &end);
      if (end == at) break;
      cells.push_back(value);
    }
    if (cells.size() < columns || !(cells[0] <= last)) continue;  // the header, or a row that comes again
    for (size_t c = 0; c < columns; ++c) values[c].push_back(cells[c]);
  }
  return values;
}

}  // namespace elbo
