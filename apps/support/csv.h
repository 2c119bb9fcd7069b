// CsvFile: a table of numbers that grows while a run goes on and can be followed from outside.
//
// Rows are added to the end of the file every two seconds at most, always whole ones, so whoever opens it
// finds complete rows and a killed run loses seconds. A resumed run cuts off what its checkpoint does not
// know of. Knows nothing of what the columns mean.
//
//   CsvFile csv = run.csv("metrics.csv", {"epoch", "elbo", "seconds"});
//   csv.row({epoch, elbo, seconds});
//   csv.save();  // with a checkpoint and at the end: an error is an Error, in the destructor only a line
#pragma once

#include <chrono>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/support/appended_file.h"

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
  /// Continues the file of an interrupted run: cuts it off at the first row that is not whole or whose first
  /// value is above `last`, and starts anew when there is no file. Throws Error when the file has other
  /// columns.
  CsvFile(std::string path, const std::vector<std::string>& columns, double last);
  ~CsvFile();
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;

  /// Adds a row. Throws Error when it has not one cell for each column, or the disk is full.
  void row(const std::vector<CsvCell>& cells);
  /// Writes what has not been written yet, to last through a power cut.
  void save();

 private:
  void begin(const std::string& header);
  void flush();

  std::string path_, waiting_;  // whole rows that are not in the file yet
  size_t columns_;
  std::optional<AppendedFile> file_;
  std::chrono::steady_clock::time_point written_at_ = std::chrono::steady_clock::now();
};

/// The first columns of a CSV file of numbers, of its rows whose first value is at most `last`.
std::vector<std::vector<double>> read_columns(const std::string& path, size_t columns, double last);

}  // namespace elbo
