#include "apps/support/csv.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr std::chrono::seconds kBetweenSaves{2};

std::string header(const std::vector<std::string>& columns) {
  return csv_line(std::vector<CsvCell>(columns.begin(), columns.end()));
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
    : path_(std::move(path)), text_(header(columns)), columns_(columns.size()) {
  save();
}

CsvFile::CsvFile(std::string path, const std::vector<std::string>& columns, double last)
    : path_(std::move(path)), text_(header(columns)), columns_(columns.size()) {
  if (std::filesystem::exists(path_)) {
    const std::string before = read_file(path_);
    if (!before.starts_with(text_))
      fail("[csv] {} has other columns than this run writes; resume with the version that began it",
           quote(path_));
    for (size_t begin = text_.size(); begin < before.size();) {
      const size_t end = before.find('\n', begin);
      if (end == std::string::npos) break;
      const std::string row = before.substr(begin, end + 1 - begin);
      if (std::strtod(row.c_str(), nullptr) <= last) text_ += row;
      begin = end + 1;
    }
  }
  save();
}

CsvFile::~CsvFile() {
  try {
    save();
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
}

void CsvFile::row(const std::vector<CsvCell>& cells) {
  if (cells.size() != columns_)
    fail("[csv] a row of {} values does not fit the {} columns of {}", cells.size(), columns_, quote(path_));
  text_ += csv_line(cells);
  unsaved_ = true;
  if (std::chrono::steady_clock::now() - saved_at_ >= kBetweenSaves) save();
}

void CsvFile::save() {
  if (!unsaved_) return;
  write_file_atomically(path_, text_);
  unsaved_ = false;
  saved_at_ = std::chrono::steady_clock::now();
}

}  // namespace elbo
