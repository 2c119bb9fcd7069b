// CsvFile: a table of numbers that grows while a run goes on and can be followed from outside.
//
// The rows are kept, and the whole file is rewritten beside and renamed every two seconds at most, so whoever
// opens it finds complete rows and a killed run loses seconds. Knows nothing of what the columns mean.
//
//   CsvFile csv = run.csv("metrics.csv", {"epoch", "elbo", "seconds"});
//   csv.row({epoch, elbo, seconds});
//   csv.save();  // at the end: an error here is an Error, in the destructor only a line
#pragma once

#include <chrono>
#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbo {

/// One value of a CSV row, as text. Doubles keep every digit; what is not finite is nan, inf or -inf.
struct CsvCell {
  template <std::integral T>
  CsvCell(T value) : text(std::to_string(value)) {}
  CsvCell(double value);
  /// Quoted where it must be (RFC 4180), and where gnuplot would see a comment; line breaks become spaces.
  CsvCell(std::string_view value);
  CsvCell(const char* value) : CsvCell(std::string_view(value)) {}
  CsvCell(const std::string& value) : CsvCell(std::string_view(value)) {}

  std::string text;
};

/// The cells joined by commas, and a line break.
std::string csv_line(std::span<const CsvCell> cells);

class CsvFile {
 public:
  /// Starts the file anew and writes the header. Throws Error when that is not possible.
  CsvFile(std::string path, const std::vector<std::string>& columns);
  /// Continues the file of an interrupted run: keeps the rows whose first value is at most `last`, and starts
  /// anew when there is none. Throws Error when the file has other columns.
  CsvFile(std::string path, const std::vector<std::string>& columns, double last);
  ~CsvFile();
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;

  /// Adds a row. Throws Error when it has not one cell for each column, or the disk is full.
  void row(const std::vector<CsvCell>& cells);
  /// Writes what has not been written yet.
  void save();

 private:
  std::string path_, text_;
  size_t columns_;
  bool unsaved_ = true;
  std::chrono::steady_clock::time_point saved_at_;
};

}  // namespace elbo
