#include "apps/support/figure.h"

#include <algorithm>
#include <cmath>

#include "apps/support/figure_cell.h"
#include "tensor/error.h"

namespace elbo {
namespace {

using S = PageSizes;

/// Positions on a page in gnuplot's words: shares of its width, and of its height from its foot.
struct Page {
  double width, height;

  std::string across(double x) const { return fmt::format("{:.4f}", x / width); }
  std::string up(double y) const { return fmt::format("{:.4f}", 1 - y / height); }
  std::string label(const std::string& text, double x, double y, double size, const char* look = "") const {
    return fmt::format("set label {} at screen {},{} center noenhanced font ',{}'{}\n", gnuplot_string(text),
                       across(x), up(y), size, look);
  }
  /// Lines below each other, the first one's middle at y.
  std::string labels(const std::vector<std::string>& lines, double x, double y, double row, double size,
                     const char* look = "") const {
    std::string text;
    for (const std::string& line : lines) text += label(line, x, y, size, look), y += row;
    return text;
  }
  std::string colour_bar(double left, double top, double bar_width, const std::string& text) const {
    std::string commands =
        fmt::format("set colorbox horizontal user origin screen {},{} size screen {},{:.4f} border 101\n",
                    across(left), up(top + S::kBarHeight), across(bar_width), S::kBarHeight / height);
    if (text.empty()) return commands;
    const double middle = top + S::kBarHeight + S::kBarRows + 4;
    return commands + label(text, left + 0.5 * bar_width, middle, S::kText);
  }
};

std::string quoted_ticks(const Ticks& ticks, bool numbers) {
  std::string text;
  for (size_t i = 0; i < ticks.at.size(); ++i)
    text += fmt::format("{}'{}' {}", i ? ", " : "", numbers ? ticks.labels[i] : "", ticks.at[i]);
  return "(" + text + ")";
}

/// The commands for one axis; `letter` is x, y or cb.
std::string axis_commands(const char* letter, const Range& range, const Ticks& ticks, bool numbers) {
  return fmt::format("set {0}range [{1}:{2}]\n{3}set logscale {0}\nset {0}tics {4}\n", letter, range.low,
                     range.high, ticks.log ? "" : "un", quoted_ticks(ticks, numbers));
}

/// The commands that draw one cell.
std::string cell_commands(const FigureGrid& grid, const PageLayout& layout, const Page& page, size_t number,
                          FigureData& data) {
  const Figure& figure = grid.cells[number];
  const CellLayout& cell = layout.cells[number];
  const double right = cell.left + layout.box_width, foot = cell.top + layout.box_height;
  const double middle = 0.5 * (cell.left + right);
  std::string text = fmt::format("set lmargin at screen {}\nset rmargin at screen {}\n",
                                 page.across(cell.left), page.across(right));
  text +=
      fmt::format("set tmargin at screen {}\nset bmargin at screen {}\n", page.up(cell.top), page.up(foot));
  text += axis_commands("x", cell.x, cell.x_ticks, cell.x_numbers) +
          axis_commands("y", cell.y, cell.y_ticks, cell.y_numbers);
  text += figure.surface ? "unset grid\nset border 15 linestyle 101\n"
                         : "set grid linestyle 102\nset border 3 linestyle 101\n";

  const double head = static_cast<double>(cell.title.size()) * S::kTextRow +
                      static_cast<double>(cell.note.size()) * S::kNoteRow + 4;
  text += page.labels(cell.title, middle, cell.top - head + 8, S::kTextRow, S::kText);
  text += page.labels(cell.note, middle,
                      cell.top - head + 8 + static_cast<double>(cell.title.size()) * S::kTextRow, S::kNoteRow,
                      S::kNote, " textcolor rgb '#444444'");
  double below = foot + (cell.x_numbers ? S::kTickRow : 0) + 6;
  if (cell.x_label) {
    text += page.labels(lines_of(figure.x.label, layout.box_width + 40, S::kText, 1), middle, below + 10, 0,
                        S::kText);
    below += S::kLabelRow;
  }
  // Beside a single row, a label may be longer than the axis.
  const double room = layout.box_height + (layout.cells.size() > columns_of(grid) ? 16 : 60);
  if (cell.y_label)
    text += page.labels(lines_of(figure.y.label, room, S::kText, 1),
                        cell.left - (cell.y_numbers ? cell.y_ticks.width + S::kTickGap : 0) - 15,
                        cell.top + 0.5 * layout.box_height, 0, S::kText, " rotate by 90");

  if (cell.has_colours) {
    const ColourScale& scale = grid.share_colours ? grid.cells.front().colours : figure.colours;
    text += palette_command(scale.palette) + axis_commands("cb", cell.colours, cell.colour_ticks, true);
    size_t last = number;
    for (size_t i = number; i < layout.cells.size(); ++i)
      if (layout.cells[i].has_colours) last = i;
    if (cell.bar)
      text += page.colour_bar(cell.left, below + 4, layout.box_width, scale.label);
    else if (layout.shared_bar && last == number)
      text += page.colour_bar(layout.bar_left, layout.bar_top, layout.bar_width, scale.label);
    else
      text += "unset colorbox\n";
  }
  return text + plot_commands(figure, cell, data);
}

/// What the cell is called in the CSV.
std::string panel_name(const FigureGrid& grid, size_t number) {
  if (!grid.cells[number].title.empty()) return grid.cells[number].title;
  std::string name;
  const size_t columns = columns_of(grid);
  if (!grid.row_titles.empty()) name = grid.row_titles[number / columns];
  if (!grid.column_titles.empty()) name += (name.empty() ? "" : ", ") + grid.column_titles[number % columns];
  return name.empty() ? std::to_string(number + 1) : name;
}

/// Titles of the page, its rows and columns.
std::string page_titles(const FigureGrid& grid, const PageLayout& layout, const Page& page) {
  std::string text = page.labels(layout.title, 0.5 * layout.width, 20, S::kTitleRow, S::kTitle);
  const double below_title = 20 + static_cast<double>(layout.title.size()) * S::kTitleRow;
  const size_t columns = columns_of(grid);
  size_t most = 0;
  for (const auto& lines : layout.column_titles) most = std::max(most, lines.size());
  for (size_t i = 0; i < layout.column_titles.size(); ++i) {
    const double first =
        below_title + static_cast<double>(most - layout.column_titles[i].size()) * S::kTextRow;
    text += page.labels(layout.column_titles[i], layout.cells[i].left + 0.5 * layout.box_width, first,
                        S::kTextRow, S::kText);
  }
  for (size_t i = 0; i < grid.row_titles.size(); ++i)
    text +=
        page.labels(lines_of(grid.row_titles[i], layout.box_height + 40, S::kText, 1), 18,
                    layout.cells[i * columns].top + 0.5 * layout.box_height, 0, S::kText, " rotate by 90");
  return text;
}

}  // namespace

Drawing draw(const FigureGrid& grid, const std::string& directory, const std::string& program) {
  check(grid);
  const PageLayout layout = lay_out(grid);
  FigureData data(grid);
  Legend legend;
  std::vector<std::string> cells(grid.cells.size());
  // The page's height is known once the legend is, and the legend once all cells are.
  for (const Figure& cell : grid.cells) add_to_legend(cell, legend);
  const Page page{layout.width, layout.height + legend.height(layout.width)};
  for (size_t i = 0; i < grid.cells.size(); ++i) {
    data.begin_panel(panel_name(grid, i));
    cells[i] = cell_commands(grid, layout, page, i, data);
  }

  std::string script =
      gnuplot_preamble(grid.name, static_cast<int>(page.width), static_cast<int>(page.height));
  script += fmt::format(
      "data = '{}.csv'\nunset key\nset xtics offset 0,0.3\nset cbtics scale 0.4 offset 0,0.5\n", grid.name);
  script += "set clip two\nset multiplot\n" + page_titles(grid, layout, page) +
            legend.commands(page.width, page.height);
  for (size_t i = 0; i < cells.size(); ++i)
    script += fmt::format("\n# Panel {}\n{}unset label\nunset arrow\nunset object\n", i + 1, cells[i]);
  script += "\nunset multiplot\n";
  return draw(directory, grid.name, data.csv(), script, program);
}

Drawing draw(const Figure& figure, const std::string& directory, const std::string& program) {
  FigureGrid grid{.name = figure.name, .title = figure.title, .cells = {figure}, .columns = 1};
  grid.cells.front().title.clear();
  return draw(grid, directory, program);
}

}  // namespace elbo
