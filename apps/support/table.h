// Table: rows of text under headers, printed aligned on a terminal or, by report.h, as HTML.
//
//   Table table({"op", Table::number("error"), Table::verdict("agrees")});
//   table.row({"sigmoid", "2.1e-11", verdict(true)});
//   fmt::print("{}", table.text());
//
// Cells come formatted, because only the caller knows how many digits mean something.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace elbo {

/// "ok" or "fails": verdicts are words, so they do not rest on colour.
std::string verdict(bool holds);

class Table {
 public:
  enum class Kind { text, number, verdict };
  struct Column {
    Column(std::string column_header, Kind column_kind = Kind::text)
        : header(std::move(column_header)), kind(column_kind) {}
    Column(const char* column_header) : header(column_header) {}
    std::string header;
    Kind kind = Kind::text;  ///< numbers are aligned to the right
  };
  static Column number(std::string header) { return {std::move(header), Kind::number}; }
  static Column verdict(std::string header) { return {std::move(header), Kind::verdict}; }

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Throws Error when there is not one cell for each column.
  void row(std::vector<std::string> cells);

  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }
  /// Header, rule and rows, two spaces between columns, a line break after each line, none with blanks at its
  /// end.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace elbo
