#include "apps/support/table.h"

#include <algorithm>

#include "apps/support/text.h"
#include "tensor/error.h"

namespace elbo {

std::string verdict(bool holds) { return holds ? "ok" : "fails"; }

void Table::row(std::vector<std::string> cells) {
  if (cells.size() != columns_.size())
    fail("[table] a row of {} cells does not fit {} columns", cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<int> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    int width = display_width(columns_[i].header);
    for (const auto& cells : rows_) width = std::max(width, display_width(cells[i]));
    widths.push_back(width);
  }

  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string cell = on_one_line(cell_of(i));
      const std::string padding(static_cast<size_t>(widths[i] - display_width(cell)), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].kind == Kind::number ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  add_line([&](size_t i) { return columns_[i].header; });
  add_line([&](size_t i) { return std::string(static_cast<size_t>(widths[i]), '-'); });
  for (const auto& cells : rows_) add_line([&](size_t i) { return cells[i]; });
  return out;
}

}  // namespace elbo
